"""Frame of the network's input in the image as posted: crop to the breast, scale, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.detector.area import Rect, area_mean
from mammosono.appliance.pipeline.detector.boxes import Boxes, clip
from mammosono.appliance.values import Modality

_SEARCH_SIDE = 256
"""Long side in px of the thumbnail in which the breast is looked for."""
_MARGIN = 0.02
"""Rim kept around the breast, as a share of the thumbnail's long side."""
_MIN_SHARE = 0.05
"""A smaller region than this share of the film is not taken for a breast."""
_MIN_STRUCTURE = 0.6
"""Share of a thumbnail's variance that a small blur must leave: of white noise it leaves 0.04 to
0.37, the more the smaller the picture; of films at least 0.85."""
_BLUR_PX = 1.5
MAX_ENLARGE = 2.0
"""Small pictures are enlarged at most this much: there is nothing more in them to see."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The rectangle of the image that the network sees, and its scale.

    crop: x0, y0, x1, y1 in px of the image as posted, half-open.
    scale: network px per image px. The crop's corner lands on the input's corner (0, 0).
    input_size: (height, width) of the network's input.
    found: the breast was found (always so for ultrasound); else the crop is the whole image.
    """

    crop: tuple[int, int, int, int]
    scale: float
    input_size: tuple[int, int]
    found: bool = True

    @property
    def working_size(self) -> tuple[int, int]:
        """(height, width) of the working image: network scale, but never enlarged."""
        x0, y0, x1, y1 = self.crop
        scale = min(self.scale, 1.0)
        return max(round((y1 - y0) * scale), 1), max(round((x1 - x0) * scale), 1)

    def cut(self, pixels: NDArray[Any], coarseness: int = 1) -> NDArray[np.float32]:
        """The working image [h, w] in the image's own units, area-reduced to network scale."""
        x0, y0, x1, y1 = self.crop
        height, width = self.working_size
        if coarseness > 1:
            return area_mean(pixels, on_coarse_grid(self.crop, coarseness, pixels), (height, width))
        if (y1 - y0, x1 - x0) == (height, width):
            return pixels[y0:y1, x0:x1].astype(np.float32)
        return area_mean(pixels, self.crop, (height, width))

    def place(self, working: NDArray[np.float32]) -> NDArray[np.float32]:
        """The working image on the network's canvas [H, W], zero outside."""
        canvas = np.zeros(self.input_size, np.float32)
        x0, y0, x1, y1 = self.crop
        height = min(max(round((y1 - y0) * self.scale), 1), self.input_size[0])
        width = min(max(round((x1 - x0) * self.scale), 1), self.input_size[1])
        if working.shape != (height, width):
            canvas[:height, :width] = cv2.resize(working, (width, height))
        else:
            canvas[:height, :width] = working
        return canvas

    def restore(self, working: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
        """A copy of `pixels` with the crop replaced by the working image, enlarged to fit."""
        x0, y0, x1, y1 = self.crop
        restored: NDArray[Any] = pixels.copy()
        part = np.asarray(cv2.resize(working, (x1 - x0, y1 - y0)))
        restored[y0:y1, x0:x1] = np.rint(part).astype(pixels.dtype)
        return restored

    def to_image(self, boxes: Boxes, size: tuple[int, int]) -> Boxes:
        """Boxes in input px -> boxes in px of the image as posted, cut to its `size` (h, w)."""
        corner = np.array([self.crop[0], self.crop[1]] * 2, np.float32)
        return clip(boxes / np.float32(self.scale) + corner, size)

    def to_input(self, boxes: Boxes) -> Boxes:
        """Boxes in px of the image as posted -> boxes in input px, cut to the canvas."""
        corner = np.array([self.crop[0], self.crop[1]] * 2, np.float32)
        return clip((boxes - corner) * np.float32(self.scale), self.input_size)


def on_coarse_grid(box: Rect, coarseness: int, pixels: NDArray[Any]) -> Rect:
    """A box of the image as posted in coarse `pixels`, of which (x, y) stands for what lies around
    the middle of the image's pixel (coarseness x, coarseness y)."""
    height, width = pixels.shape
    x0, y0, x1, y1 = ((end - 0.5) / coarseness + 0.5 for end in box)
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def frame(
    pixels: NDArray[Any], modality: Modality, input_size: tuple[int, int],
    size: tuple[int, int] | None = None,
) -> Frame:  # fmt: skip
    """The frame of an image [height, width]: mammograms are cropped to the breast first.

    A mass takes 6 % of a film's long side; what the crop saves goes into its pixels.
    size: of the image as posted, if `pixels` are coarser.
    """
    height, width = size or pixels.shape
    crop, found = (0, 0, width, height), True
    if MODALITIES[modality].cropped:
        region = breast_box(pixels, (height, width))
        found = region is not None
        crop = region or crop
    x0, y0, x1, y1 = crop
    scale = min(input_size[0] / (y1 - y0), input_size[1] / (x1 - x0), MAX_ENLARGE)
    return Frame(crop, scale, input_size, found)


def breast_box(
    pixels: NDArray[Any], size: tuple[int, int] | None = None
) -> tuple[int, int, int, int] | None:
    """Bounding box x0, y0, x1, y1 of the breast with a small rim, or None if there is none.

    The largest bright region of a thumbnail after an opening that cuts labels and film edges off.
    size: as of `frame`.
    """
    height, width = size or pixels.shape
    shrink = _SEARCH_SIDE / max(height, width)
    small = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    thumb = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    if not _smooth(thumb).var() > _MIN_STRUCTURE * thumb.var():
        return None  # nothing, or nothing but noise, which the stretch below would make a breast
    low, high = np.percentile(thumb, (0.5, 99.5))
    grey = np.clip((thumb - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    # White film rims would join the breast to the frame; they are thin, so cut a rim off.
    rim = 3
    grey[:rim], grey[-rim:], grey[:, :rim], grey[:, -rim:] = 0, 0, 0, 0
    grey = _smooth(grey).astype(np.uint8)
    otsu, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    mask = (grey > max(otsu * 0.4, 12)).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)), np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[best, cv2.CC_STAT_AREA] < _MIN_SHARE * mask.size:
        return None
    x, y, w, h = (float(v) for v in stats[best, :4])
    margin = _MARGIN * _SEARCH_SIDE
    # Where the breast reaches the rim that was cut off, it reaches the film's edge.
    x0 = 0 if x <= rim else x - margin
    y0 = 0 if y <= rim else y - margin
    x1 = small[0] if x + w >= small[0] - rim else x + w + margin
    y1 = small[1] if y + h >= small[1] - rim else y + h + margin
    fx, fy = width / small[0], height / small[1]
    return (
        int(max(x0, 0) * fx),
        int(max(y0, 0) * fy),
        min(round(x1 * fx), width),
        min(round(y1 * fy), height),
    )


def _smooth(picture: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _BLUR_PX))


def normalise(
    working: NDArray[np.float32], percentiles: tuple[float, float]
) -> NDArray[np.float32]:
    """Grey levels to 0..1 between two percentiles of the working image: any bit depth, any dose."""
    low, high = np.percentile(working, percentiles)
    span = max(float(high - low), 1e-6)
    return np.asarray(
        np.clip((working - np.float32(low)) / np.float32(span), 0, 1), dtype=np.float32
    )
