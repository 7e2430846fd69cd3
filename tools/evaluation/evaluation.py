"""What an evaluation measured, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mammosono.appliance.values import ModelInfo
from mammosono.tools.evaluation.curves import Curves
from mammosono.tools.evaluation.detection_metrics import Found
from mammosono.tools.evaluation.figures import Figures
from mammosono.tools.evaluation.outcome import Outcome
from mammosono.tools.evaluation.pairs import PairFigures
from mammosono.tools.evaluation.search import Search

OUTSIDE = frozenset({"mini-MIAS"})
"""Sources never trained on: reported by themselves, neither pooled with others nor paired."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every image's outcome, and the figures of groups of them.

    split_hash: which image belonged to which split, see mammosono.tools.data.index.
    groups: by modality ("MG": all its sources but those OUTSIDE) and by source ("US/BUSI").
    pairs: None unless both modalities have images that are not from outside.
    searches, found, curves: every image searched for lesions, and what came of it by group; empty
    if the images were read only as the device reads them. A group without a located lesion is not
    in `found`.
    split_kept: whether the index divides the model's own training sources as its training did; None
    where its manifest does not say. If not, images judged here may have trained it.
    denoising: "on" as on the device, "off" or "log", see mammosono.tools.evaluation.readers.
    """

    model: ModelInfo
    split_hash: str
    outcomes: tuple[Outcome, ...]
    groups: Mapping[str, Figures]
    pairs: PairFigures | None
    searches: tuple[Search, ...]
    found: Mapping[str, Found]
    curves: Mapping[str, Curves]
    split_kept: bool | None = None
    denoising: str = "on"
