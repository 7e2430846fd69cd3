"""How well an outline is followed."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def boundary_f(a: NDArray[np.bool_], b: NDArray[np.bool_], tolerance_px: float) -> float:
    """F-score of two masks' outlines [H, W]: the harmonic mean of the shares of each outline that
    lie within `tolerance_px` of the other (Csurka 2013; Perazzi 2016). 0 if one mask is empty,
    NaN if both are.
    """
    if not a.any() and not b.any():
        return float("nan")
    if not a.any() or not b.any():
        return 0.0
    first, second = _outline(a), _outline(b)
    precision = float((_distance_to(second)[first] <= tolerance_px).mean())
    recall = float((_distance_to(first)[second] <= tolerance_px).mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask's own pixels that touch the background, or the edge of the picture, on a side."""
    grey = mask.astype(np.uint8)
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    inner = cv2.erode(grey, cross, borderType=cv2.BORDER_CONSTANT, borderValue=(0.0,))
    return np.asarray(mask & (inner == 0))


def _distance_to(outline: NDArray[np.bool_]) -> NDArray[np.float32]:
    """[H, W] Euclidean distance in px to the nearest pixel of the outline."""
    away = (~outline).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
