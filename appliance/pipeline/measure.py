"""Measurements of a finding, from its mask.

Frame: pixel edges, as boxes have it. (0, 0) is the outer corner of the first pixel, pixel (x, y)
covers [x, x + 1) x [y, y + 1), its centre is (x + 0.5, y + 0.5).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.output import rle
from mammosono.appliance.values import Box, Finding, Label

CONTOUR_TOLERANCE_PX = 0.75


def describe(
    mask: NDArray[np.bool_],
    left: int,
    top: int,
    size: tuple[int, int],
    spacing_mm: tuple[float, float] | None,
    box: Box,
    label: Label,
    score: float,
    lesion_score: float,
) -> Finding:
    """Measure one finding.

    mask: bool [h, w], a crop whose first pixel is column `left`, row `top` of the image.
    size: (height, width) of the image.
    spacing_mm: (row, column) distance of pixel centres; None leaves the millimetres None.

    An empty mask has area and diameter 0, no contour, and the box's centre as its centroid.
    Raises ValueError if the crop reaches outside the image.
    """
    area = int(np.count_nonzero(mask))
    offset = np.array([left, top], float)
    area_mm2 = diameter_mm = None
    if spacing_mm is not None:
        area_mm2 = area * spacing_mm[0] * spacing_mm[1]
        diameter_mm = feret_diameter(mask, spacing_mm)
    return Finding(
        label=label,
        score=score,
        lesion_score=lesion_score,
        box=box,
        centroid=_point(centroid(mask) + offset) if area else _centre(box),
        area_px=area,
        area_mm2=area_mm2,
        diameter_mm=diameter_mm,
        contour=tuple(_point(point) for point in contour(mask) + offset),
        mask=rle.encode(mask, top, left, size),
    )


def extent(mask: NDArray[np.bool_], left: int, top: int) -> tuple[int, int, int, int]:
    """The least x0, y0, x1, y1 (half-open px of the image) around a mask whose crop begins at
    column `left`, row `top`."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return left + x, top + y, left + x + width, top + y + height


def centroid(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean (x, y) of the pixel centres of a mask that is not empty, in pixels of the mask."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) + 0.5


def feret_diameter(mask: NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Longest distance between two points of the mask's border; 0 if the mask is empty.

    spacing: (row, column) size of a pixel; the answer has its unit. The border's points are the
    middles of the pixel edges on it, so a row of n pixels is n wide and a disk of radius r
    measures 2 r (as scikit-image's `feret_diameter_max`).
    """
    if not mask.any():
        return 0.0
    points = np.concatenate([_row_ends(mask), _row_ends(mask.T)[:, ::-1]])
    hull = cv2.convexHull((points * (spacing[1], spacing[0])).astype(np.float32))[:, 0]
    return float(np.linalg.norm(hull[:, None] - hull[None, :], axis=2).max())


def contour(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Outer outline of the largest part, (x, y) rows, through the centres of its border pixels.

    Simplified within CONTOUR_TOLERANCE_PX; no rows if the mask is empty.
    """
    if not mask.any():
        return np.empty((0, 2))
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    part = (parts == largest).astype(np.uint8)
    (outline, *_), _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    simple = cv2.approxPolyDP(outline, CONTOUR_TOLERANCE_PX, closed=True)
    return np.asarray(simple[:, 0], float) + 0.5


def _row_ends(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Both ends, (x, y), of every row of the mask that holds something."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.concatenate([first, last]), np.concatenate([rows, rows]) + 0.5], axis=1)
    return np.asarray(ends, float)


def _point(point: NDArray[np.float64]) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
