"""Field of view of an ultrasound picture: without the black surround and what was drawn into it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import BoolMask, FloatImage

# A mark is this bright and rises this far above what it is drawn on, as shares of the brightest
# pixel; its dimmer parts, where strokes were thinned by reduction, touch such a place.
_BRIGHT, _RISE = 0.6, 0.35
_DIM_BRIGHT, _DIM_RISE = 0.45, 0.25
# The soft rim of a stroke, smoothed or compressed, still stands out this far.
_RIM_RISE = 0.12
# Speckle of this many standard deviations is rarer than a pixel a picture.
_BEYOND_SPECKLE = 6.0
# px at the network's scale. Strokes are thinner; an echo is wider across, as the beam is.
_ACROSS = np.ones((1, 5), np.uint8)
_STROKE = np.ones((7, 7), np.uint8)
_FILL_SIDE = 15
# Share of the picture that a field of view exceeds and a word does not.
_ISLAND = 0.02


def surround(image: FloatImage, side: int) -> BoolMask:
    """The black around the field of view, with what is written on it.

    Zero areas at least `side` px wide with their thin corners, but not single lost echoes; and
    the small islands in them: words, scales, logos.
    """
    zero = (image <= 0).astype(np.uint8)
    wide = cv2.morphologyEx(zero, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    if not wide.any():
        return np.zeros(image.shape, np.bool_)
    black = _touching(zero, wide > 0)
    _, area, stats, _ = cv2.connectedComponentsWithStats((~black).astype(np.uint8))
    island = stats[:, cv2.CC_STAT_AREA] < _ISLAND * image.size
    return np.asarray(black | island[area])


def marks(image: FloatImage, root: FloatImage, sigma: float) -> BoolMask | None:
    """Calipers and text drawn into the picture; None if there are none.

    image: float32 [height, width], grey values. root: 2 sqrt of it on the 0..255 scale, in which
        speckle has the standard deviation `sigma`.

    A mark is bright, narrower than 5 px across, and falls off harder than speckle can: near the
    brightest pixel, 35 % of it and six standard deviations of the speckle above the level left
    and right. The beam blurs tissue across the picture more than along it, so thin echoes lie
    level, as fascia does, and are wider than that. Dimmer strokes belong to the mark that they
    touch, with a rim of one pixel.
    """
    brightest = float(image.max())
    level = cv2.morphologyEx(image, cv2.MORPH_OPEN, _ACROSS)
    core = (image - level >= _RISE * brightest) & (image >= _BRIGHT * brightest)
    if not core.any():
        return None
    root_level = cv2.morphologyEx(root, cv2.MORPH_OPEN, _ACROSS)
    core &= root - root_level >= _BEYOND_SPECKLE * sigma
    rise = image - cv2.morphologyEx(image, cv2.MORPH_OPEN, _STROKE)
    core &= rise >= _RISE * brightest
    if not core.any():
        return None
    strokes = (rise >= _DIM_RISE * brightest) & (image >= _DIM_BRIGHT * brightest)
    found = _touching(strokes.astype(np.uint8), core)
    grown = cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(found | (grown & (rise >= _RIM_RISE * brightest)))


def filled(image: FloatImage, holes: BoolMask) -> FloatImage:
    """A copy with `holes` filled by the mean of the other pixels around; the nearest 7 px."""
    kept = (~holes).astype(np.float32)
    side = (_FILL_SIDE, _FILL_SIDE)
    total, count = cv2.blur(image * kept, side), cv2.blur(kept, side)
    return np.asarray(np.where(holes & (count > 0), total / np.maximum(count, 1e-6), image))


def _touching(areas: NDArray[np.uint8], seeds: BoolMask) -> BoolMask:
    """The connected areas (8 neighbours, nonzero) that hold a pixel of `seeds`, in full."""
    count, area = cv2.connectedComponents(areas)
    kept = np.zeros(count, np.bool_)
    kept[area[seeds]] = True
    return np.asarray(kept[area] & (areas > 0))
