"""Average precision by pycocotools, and the truth and findings as COCO files.

pycocotools matches findings to lesions and is the measure; what it does next (accumulate over
images) is repeated here with weights, so that whole cases can be resampled without matching anew.
One category, "lesion": the question is where lesions are, the label is judged by the images.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import Finding
from mammosono.tools.evaluation.metrics import Bools, Floats, ratio
from mammosono.tools.evaluation.outcome import Search

CATEGORY = {"id": 1, "name": "lesion"}
MOST = 100
"""Findings of an image that count; the network gives fewer."""
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """pycocotools' matches at IoU 0.50, 0.55, ... 0.95 (t = 10), scores falling.

    image: int [k], score: float [k], hit: bool [t, k], of each finding; lesions: float [n], how
    many each image has.
    """

    image: NDArray[np.intp]
    score: Floats
    hit: Bools
    lesions: Floats


def truth_file(searches: Sequence[Search]) -> dict[str, Any]:
    """The lesions in COCO's format, `label` beside each; image ids count from 1."""
    annotations: list[dict[str, Any]] = []
    for index, search in enumerate(searches, start=1):
        for lesion in search.lesions:
            x0, y0, x1, y1 = lesion.box
            entry = {
                "id": len(annotations) + 1,
                "image_id": index,
                "category_id": CATEGORY["id"],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "label": lesion.label.value,
                "circle": lesion.is_circle,
            }
            if lesion.mask is not None:
                entry["segmentation"] = asdict(lesion.mask)
            annotations.append(entry)
    images = [
        {"id": index, "file_name": s.record.name, "height": s.size[0], "width": s.size[1]}
        for index, s in enumerate(searches, start=1)
    ]
    return {"info": {}, "images": images, "annotations": annotations, "categories": [CATEGORY]}


def findings_file(searches: Sequence[Search]) -> list[dict[str, Any]]:
    """Everything seen in COCO's results format.

    score: the lesion score, which ranks; malignancy: the finding's score; label: the device's;
    reported: whether the device reports it.
    """
    return [
        _result(index, finding, reported)
        for index, search in enumerate(searches, start=1)
        for finding, reported in _with_reported(search)
    ]


def match(searches: Sequence[Search], kind: str) -> Matches:
    """Let pycocotools match what was seen with the lesions; kind is "bbox" or "segm".

    Raises ValueError if a lesion lacks what `kind` compares.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    lesions = [lesion for search in searches for lesion in search.lesions]
    if any(x.is_circle or (kind == "segm" and x.mask is None) for x in lesions):
        raise ValueError(f"a lesion has no {'mask' if kind == 'segm' else 'box'}")
    with redirect_stdout(io.StringIO()):  # pycocotools tells of its progress with print
        truth, found = COCO(), COCO()
        truth.dataset = truth_file(searches)
        truth.createIndex()
        results = findings_file(searches)
        found.dataset = {
            **truth.dataset,
            "annotations": [_annotation(i, each) for i, each in enumerate(results, start=1)],
        }
        found.createIndex()
        judge = COCOeval(truth, found, kind)
        judge.params.areaRng, judge.params.areaRngLbl = [judge.params.areaRng[0]], ["all"]
        judge.params.maxDets = [MOST]
        judge.evaluate()
    return _matches(judge.evalImgs, len(searches), len(judge.params.iouThrs))


def average_precision(matches: Matches, weights: Floats) -> Floats:
    """COCO's AP at each IoU, [..., t]: the mean over 101 recalls of the best precision from
    there on. weights: [..., n], how often an image counts. NaN without a lesion.
    """
    w = weights[..., matches.image]
    total = weights @ matches.lesions
    out = [_one(w * hit, w * ~hit, total) for hit in matches.hit]
    return np.stack(out, axis=-1)


def _one(hits: Floats, misses: Floats, total: Floats) -> Floats:
    true, false = np.cumsum(hits, axis=-1), np.cumsum(misses, axis=-1)
    recall = np.nan_to_num(ratio(true, total[..., None]))
    precision = np.nan_to_num(ratio(true, true + false))
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    # How many of the 101 recalls each finding is the first to reach; those never reached give 0.
    reached = np.searchsorted(RECALLS, recall, side="right")
    first = np.diff(reached, axis=-1, prepend=0)
    return np.where(total > 0, (first * best).sum(axis=-1) / RECALLS.size, np.nan)


def _matches(judged: Sequence[dict[str, Any] | None], images: int, thresholds: int) -> Matches:
    image, score, hit, lesions = [], [], [], np.zeros(images)
    for each in judged:
        if each is None:  # neither a lesion nor a finding
            continue
        index = each["image_id"] - 1
        lesions[index] = len(each["gtIds"])
        score += list(each["dtScores"])
        image += [index] * len(each["dtScores"])
        hit.append(np.asarray(each["dtMatches"]).reshape(thresholds, -1) > 0)
    order = np.argsort(-np.array(score), kind="mergesort")  # pycocotools' own order of equal scores
    hits = np.concatenate(hit, axis=1) if hit else np.zeros((thresholds, 0), bool)
    return Matches(
        np.array(image, np.intp)[order], np.array(score, float)[order], hits[:, order], lesions
    )


def _with_reported(search: Search) -> list[tuple[Finding, bool]]:
    """What was seen, and which of it the device reports: that with as high a lesion score."""
    least = min((finding.lesion_score for finding in search.reported), default=np.inf)
    return [(finding, finding.lesion_score >= least) for finding in search.seen]


def _result(image_id: int, finding: Finding, reported: bool) -> dict[str, Any]:
    x0, y0, x1, y1 = finding.box
    return {
        "image_id": image_id,
        "category_id": CATEGORY["id"],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "score": finding.lesion_score,
        "segmentation": asdict(finding.mask),
        "malignancy": finding.score,
        "label": finding.label.value,
        "reported": reported,
    }


def _annotation(identity: int, result: dict[str, Any]) -> dict[str, Any]:
    """A result as pycocotools' loadRes would make it of a file."""
    *_, width, height = result["bbox"]
    return {**result, "id": identity, "iscrowd": 0, "area": width * height}
