"""Breasts among labelled images: the two standard views of one side of one case."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from mammosono.appliance.intake.file_name import side_and_view
from mammosono.appliance.pipeline.scoring import STANDARD_VIEWS, breast_score
from mammosono.appliance.values import Modality, Scoring, Verdict
from mammosono.tools.data.index import LABELS, Record
from mammosono.tools.evaluation.outcome import ImageOutcome

T = TypeVar("T")


def by_breast(items: Sequence[T], record: Callable[[T], Record]) -> dict[str, list[T]]:
    """Of each breast that has both standard views its images, by source, case and side.

    record: of an item. Side and view are read in the images' names.
    """
    sides: defaultdict[str, dict[str, T]] = defaultdict(dict)
    for item in items:
        own = record(item)
        side, view = side_and_view(own.name)
        if side is not None and view is not None and own.modality is Modality.MG:
            sides[f"{own.source}/{own.case}/{side.value}"][view] = item
    return {
        name: list(views.values())
        for name, views in sides.items()
        if set(views) == set(STANDARD_VIEWS)
    }


def breast_outcomes(outcomes: Sequence[ImageOutcome], scoring: Scoring) -> list[ImageOutcome]:
    """Each breast as the device judges it from its two views, as one outcome without lesions.

    It is as malignant as its worst view; unread where one view is. Raises ValueError if the scoring
    has no rule for breasts.
    """
    if scoring.breast is None:
        raise ValueError("the bundle has no rule for breasts")
    judged = []
    for name, views in by_breast(outcomes, lambda outcome: outcome.record).items():
        worst = max((view.record.label for view in views), key=LABELS.index)
        record = replace(views[0].record, name=name, label=worst, masks=(), lesions=())
        seen = [view.evidence for view in views if view.evidence is not None]
        unread = any(view.unread for view in views) or len(seen) < len(views)
        score = math.nan if unread else breast_score(seen, scoring)
        positive = score >= scoring.breast.operating_point
        verdict = Verdict.POSITIVE if positive else Verdict.NEGATIVE
        judged.append(
            ImageOutcome(
                record,
                Verdict.INDETERMINATE if unread else verdict,
                score,
                math.nan if unread else max(view.lesion_score for view in views),
                sum(view.findings for view in views),
                dice=math.nan,
                jaccard=math.nan,
                box_hit=math.nan,
                centre_hit=math.nan,
            )
        )
    return judged
