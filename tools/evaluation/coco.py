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

from mammosono.appliance.pipeline.detector.boxes import Boxes
from mammosono.appliance.values import Finding
from mammosono.tools.evaluation.bootstrap import Floats
from mammosono.tools.evaluation.metrics import Bools, ratio
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
    """All detections in COCO's results format.

    score: the lesion score, which ranks; malignancy: the finding's score; label: the device's;
    reported: whether the device reports it.
    """
    return [
        _result(index, finding, reported)
        for index, search in enumerate(searches, start=1)
        for finding, reported in _with_reported(search)
    ]


def match(searches: Sequence[Search], kind: str) -> Matches:
    """Let pycocotools match detections with lesions; kind is "bbox" or "segm".

    Raises ValueError if a lesion lacks what `kind` compares.
    """
    lesions = [lesion for search in searches for lesion in search.lesions]
    if any(x.is_circle or (kind == "segm" and x.mask is None) for x in lesions):
        raise ValueError(f"a lesion has no {'mask' if kind == 'segm' else 'box'}")
    return _match(truth_file(searches), findings_file(searches), kind)


def _match(truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: str) -> Matches:
    """truth: a COCO data set; results: entries of its results format."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(io.StringIO()):  # pycocotools tells of its progress with print
        lesions, findings = COCO(), COCO()
        lesions.dataset = truth
        lesions.createIndex()
        entries = [_annotation(i, each) for i, each in enumerate(results, start=1)]
        findings.dataset = {**truth, "annotations": entries}
        findings.createIndex()
        comparison = COCOeval(lesions, findings, kind)
        params = comparison.params
        params.areaRng, params.areaRngLbl, params.maxDets = [params.areaRng[0]], ["all"], [MOST]
        comparison.evaluate()
    return _matches(comparison.evalImgs, len(truth["images"]), len(params.iouThrs))


def box_average_precision(
    truth: Sequence[Boxes], boxes: Sequence[Boxes], scores: Sequence[NDArray[np.float32]]
) -> tuple[float, float]:
    """AP50 and AP50:95 of lesion boxes, whatever the lesion's kind; (NaN, NaN) without a lesion.

    One entry an image: truth [n, 4] and boxes [m, 4] xyxy px, scores [m].
    """
    lesions = [
        _entry(image, box) for image, each in enumerate(truth, start=1) for box in each.tolist()
    ]
    data = {
        "images": [{"id": image} for image, _ in enumerate(truth, start=1)],
        "annotations": [_annotation(i, each) for i, each in enumerate(lesions, start=1)],
        "categories": [CATEGORY],
    }
    results = [
        _entry(image, box) | {"score": float(score)}
        for image, each in enumerate(zip(boxes, scores, strict=True), start=1)
        for box, score in zip(each[0].tolist(), each[1], strict=True)
    ]
    by_iou = average_precision(_match(data, results, "bbox"), np.ones(len(truth)))
    return float(by_iou[0]), float(by_iou.mean())


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


def _matches(comparisons: Sequence[dict[str, Any] | None], images: int, thresholds: int) -> Matches:
    image, score, hit, lesions = [], [], [], np.zeros(images)
    for each in comparisons:
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
    """Detections, and which of them the device reports: that with as high a lesion score."""
    least = min((finding.lesion_score for finding in search.reported), default=np.inf)
    return [(finding, finding.lesion_score >= least) for finding in search.detections]


def _result(image_id: int, finding: Finding, reported: bool) -> dict[str, Any]:
    return {
        **_entry(image_id, finding.box),
        "score": finding.lesion_score,
        "segmentation": asdict(finding.mask),
        "malignancy": finding.score,
        "label": finding.label.value,
        "reported": reported,
    }


def _entry(image_id: int, box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {
        "image_id": image_id,
        "category_id": CATEGORY["id"],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
    }


def _annotation(identity: int, result: dict[str, Any]) -> dict[str, Any]:
    """An entry as pycocotools' loadRes would make it of a file."""
    *_, width, height = result["bbox"]
    return {**result, "id": identity, "iscrowd": 0, "area": width * height}
