"""Judgement of the kind network: how many images of each hospital pass as what they are, and how
many pictures of each family are stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from mammosono.appliance.pipeline.kind import CLASSES, KindModel, kind_of
from mammosono.engines.interface import Engine
from mammosono.tools.kind.augment import OTHER
from mammosono.tools.kind.family import Grey
from mammosono.tools.kind.material import Pictured
from mammosono.tools.kind.training import best_kind, left_out, probabilities, validation
from mammosono.tools.tables import terminal
from mammosono.tools.training.checkpoint import save

PASS = 0.99
"""Share of each hospital's images that must pass."""
MARGIN = 0.5
"""`least` as a share of the largest value with which they do: hospitals differ that were not seen.
"""
MOST = {"MG": 0.25, "US": 0.5}
"""`least` is never above these. Detectors that were not seen differ most; chosen on folds alone.
"""


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share, right of n > 0.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    J. Am. Stat. Assoc. 22, 1927.
    """
    share, wide = right / n, z * z / n
    middle = (share + wide / 2) / (1 + wide)
    half = z * math.sqrt(share * (1 - share) / n + wide / (4 * n)) / (1 + wide)
    return max(middle - half, 0.0), min(middle + half, 1.0)


@dataclass(frozen=True, slots=True)
class Row:
    """right: images of n that passed as what they are, or of other things, that neither slot took.

    group: "mammogram", "ultrasound" or the family's. name: of hospital or family.
    """

    group: str
    name: str
    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Wilson."""
        return wilson(self.right, self.n)


Probabilities = Callable[[Sequence[Grey]], NDArray[np.float32]]
"""Pictures [H, W] -> [n, classes]."""


def by_bundle(engine: Engine, model: KindModel) -> Probabilities:
    """As the appliance answers with a bundle."""

    def answer(greys: Sequence[Grey]) -> NDArray[np.float32]:
        kinds = (kind_of(engine, model, grey) for grey in greys)
        return np.array([(k.mammogram, k.ultrasound, k.other) for k in kinds], np.float32)

    return answer


def passed(
    answers: NDArray[np.float32], kind: int, least: Mapping[str, float]
) -> NDArray[np.bool_]:
    """[n] of answers [n, classes]: a breast image that its slot takes, a thing that none takes."""
    taken = np.stack([answers[:, k] >= least[CLASSES[k]] for k in range(OTHER)], 1)
    return np.asarray(~taken.any(1) if kind == OTHER else taken[:, kind])


def table(
    pictures: Sequence[Pictured], answer: Probabilities, least: Mapping[str, float]
) -> list[Row]:
    """Each hospital's and each family's row, in the pictures' order."""
    sets: dict[tuple[str, str], tuple[int, list[Grey]]] = {}
    for one in pictures:
        group = one.group or CLASSES[one.kind]
        sets.setdefault((group, one.name), (one.kind, []))[1].append(one.grey)
    return [
        Row(group, name, int(passed(answer(greys), kind, least).sum()), len(greys))
        for (group, name), (kind, greys) in sets.items()
    ]


def choose_least(answers: Iterable[tuple[int, NDArray[np.float32]]]) -> dict[str, float]:
    """The least probability of an image's own kind, by class, of hospitals' validation images and
    phantoms, each with its class and answers [n, classes].

    So that at least PASS of each pass, all where there are few, with the margin besides.
    """
    chosen = dict(MOST)
    for kind, own in answers:
        if kind != OTHER:
            allowed = int(len(own) * (1 - PASS))
            bound = float(np.sort(own[:, kind])[allowed])
            chosen[CLASSES[kind]] = min(chosen[CLASSES[kind]], MARGIN * bound)
    return {name: round(value, 4) for name, value in chosen.items()}


def settle(run: Path, pictures: Sequence[Pictured]) -> dict[str, float]:
    """Choose `least` for a finished run on its own validation pictures, and keep it in best.pt.

    Raises BadRun.
    """
    network, provenance = best_kind(run)
    sets = validation(pictures, left_out(run)).values()
    least = choose_least((kind, probabilities(network, greys)) for kind, greys in sets)
    state = {"network": network.state_dict(), "provenance": {**provenance, "least": least}}
    save(run, "best.pt", state)
    return least


def held_out(run: Path, pictures: Sequence[Pictured]) -> list[Row]:
    """Of a run that left something out, the rows of just that. Raises BadRun."""
    network, provenance = best_kind(run)
    without = left_out(run)
    own = [one for one in pictures if one.name in without or one.group in without]
    return table(own, partial(probabilities, network), provenance["least"])


def as_rich(found: Sequence[Row], title: str) -> Table:
    lines = [["", title, "right", "n", "share", "95 %"]]
    for row in found:
        low, high = row.interval
        lines.append([
            row.group, row.name, str(row.right), str(row.n), f"{row.share:.3f}",
            f"{low:.3f} to {high:.3f}",
        ])  # fmt: skip
    return terminal(lines, labels=2)


def as_dict(found: Sequence[Row]) -> list[dict[str, Any]]:
    """Plain values for JSON with stable keys."""
    return [
        {
            "group": row.group, "name": row.name, "right": row.right, "n": row.n,
            "share": round(row.share, 4), "interval": [round(v, 4) for v in row.interval],
        }
        for row in found
    ]  # fmt: skip
