"""Average precision of lesion boxes, by pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def average_precision(
    truth: Sequence[Boxes], found: Sequence[Boxes], scores: Sequence[NDArray[np.float32]]
) -> tuple[float, float]:
    """AP50 and AP50:95 (COCO's 101 points, up to 100 boxes an image), whatever the lesion's kind.

    One entry an image: truth [n, 4] and found [m, 4] xyxy px, scores [m]. (NaN, NaN) without
    any lesion. Raises ModuleNotFoundError without pycocotools.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not any(len(boxes) for boxes in truth):
        return float("nan"), float("nan")
    images = [{"id": k} for k in range(1, len(truth) + 1)]
    lesions = [entry for k, boxes in enumerate(truth, 1) for entry in _entries(k, boxes)]
    for number, entry in enumerate(lesions, 1):
        entry |= {"id": number, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
    answers = [
        entry | {"score": float(score)}
        for k, (boxes, marks) in enumerate(zip(found, scores, strict=True), 1)
        for entry, score in zip(_entries(k, boxes), marks, strict=True)
    ]
    if not answers:
        return 0.0, 0.0
    with redirect_stdout(StringIO()):
        gold = COCO()
        gold.dataset = {"images": images, "annotations": lesions, "categories": [{"id": 1}]}
        gold.createIndex()
        judge = COCOeval(gold, gold.loadRes(answers), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[1]), float(judge.stats[0])


def _entries(image: int, boxes: Boxes) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": 1,
            "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)],
        }
        for x0, y0, x1, y1 in boxes
    ]
