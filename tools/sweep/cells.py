"""Cells of the sweep: the same network with one thing changed each, and the images they see.

The base is the compact preset before this sweep chose anything of it, written out here, so that
its tables stay comparable when a default follows them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mammosono.tools.data.index import Record
from mammosono.tools.data.sample import Sample
from mammosono.tools.network.config import TrainConfig, preset
from mammosono.tools.training.datasets import phantom_samples, real_samples, required

View = Literal["denoised", "raw"]
BATCH = 8
WARMUP_STEPS = 40
EMA_DECAY = 0.98
BASE_GEOMETRY: dict[str, Any] = {"roi_levels": "by_size"}


def sweep_material(
    records: Sequence[Record],
    sources: Sequence[str],
    most: int,
    input_size: tuple[int, int],
    on_sample: Callable[[int, int], None],
) -> tuple[list[Sample], list[Sample]]:
    """Training samples (at most `most` of each source and label, and phantoms) and those of val.

    Raises ValueError if either split is empty, BadTruth if an image cannot be read.
    """
    train = balanced(
        [r for r in required(records, "train", sources) if not r.abnormal_without_location], most
    )
    val = [r for r in required(records, "val", sources) if not r.abnormal_without_location]
    samples = real_samples([*train, *val], input_size, on_sample)
    return samples[: len(train)] + phantom_samples(input_size), samples[len(train) :]


def balanced(records: Sequence[Record], most: int) -> list[Record]:
    """At most `most` of each source and label, evenly spaced, in order."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for k, record in enumerate(records):
        groups[record.source, record.label].append(k)
    chosen = []
    for places in groups.values():
        count = min(most, len(places))
        chosen += [places[k * len(places) // count] for k in range(count)]
    return [records[k] for k in sorted(chosen)]


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing changed in the base.

    loss, geometry, network, train: fields that are replaced at that level of the configuration.
    judged: which picture of a validation image the network is shown.
    """

    name: str
    what: str
    loss: dict[str, Any] = field(default_factory=dict)
    geometry: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    judged: tuple[View, ...] = ("denoised",)


CELLS = (
    Cell("base", "alpha 2, huber, RoIs by level, stride 32, both views",
         judged=("denoised", "raw")),
    Cell("alpha-1", "box loss: smooth L1 (alpha 1, huber)", loss={"box_alpha": 1.0}),
    Cell("denoise-off", "trained on raw pictures alone", train={"views": "off"},
         judged=("raw", "denoised")),
    Cell("fused", "RoI features: mean over all levels", geometry={"roi_levels": "fused"}),
    Cell("dilated", "last stage: stride 1, dilated, in the place of 2",
         geometry={"pyramid_strides": (4, 8, 16, 16), "rpn_strides": (8, 16, 16, 32)},
         network={"stage_strides": (1, 2, 2, 1)}),
    Cell("alpha-0.5", "box loss: alpha 0.5", loss={"box_alpha": 0.5}),
    Cell("alpha-1.5", "box loss: alpha 1.5", loss={"box_alpha": 1.5}),
    Cell("gaussian", "box loss: alpha 2, gaussian kernel", loss={"box_kernel": "gaussian"}),
    Cell("denoise-only", "trained on denoised pictures alone", train={"views": "only"},
         judged=("denoised", "raw")),
)  # fmt: skip


def cell_config(cell: Cell, seed: int, epochs: int, input_size: tuple[int, int]) -> TrainConfig:
    """The cell's run: the base at a small scale, with the cell's one change.

    Anchors and the levels' size ranges shrink with the input's height, as the lesions do.
    """
    config = preset("compact")
    geometry = config.network.geometry
    shrink = input_size[0] / geometry.input_size[0]
    geometry = replace(
        geometry,
        input_size=input_size,
        anchor_sizes=tuple(
            tuple(round(side * shrink, 1) for side in sides) for sides in geometry.anchor_sizes
        ),
        roi_level_sizes=tuple(round(side * shrink, 1) for side in geometry.roi_level_sizes),
        **BASE_GEOMETRY | cell.geometry,
    )
    return replace(
        config,
        network=replace(config.network, geometry=geometry, **cell.network),
        loss=replace(config.loss, **cell.loss),
        epochs=epochs,
        batch_size=BATCH,
        warmup_steps=WARMUP_STEPS,
        ema_decay=EMA_DECAY,
        seed=seed,
        **cell.train,
    )
