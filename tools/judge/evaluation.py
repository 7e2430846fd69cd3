"""What an evaluation measured, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.values import ModelInfo
from tools.judge.figures import Figures
from tools.judge.outcome import Outcome
from tools.judge.pairs import PairFigures

OUTSIDE = frozenset({"mini-MIAS"})
"""Sources never trained on: reported by themselves, neither pooled with others nor paired."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Every image's outcome, and the figures of groups of them.

    split_hash: which image belonged to which split, see tools.data.index.
    groups: by modality ("MG": all its sources but those OUTSIDE) and by source ("US/BUSI").
    pairs: None unless both modalities have images that are not from outside.
    """

    model: ModelInfo
    split_hash: str
    outcomes: tuple[Outcome, ...]
    groups: Mapping[str, Figures]
    pairs: PairFigures | None
