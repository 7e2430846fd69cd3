"""Pictures of a reading as PNG bytes.

Vermilion for malignant, sky blue for benign: two colours of the Okabe-Ito palette, which stay
apart in every common colour blindness and in grey. Source: Okabe and Ito, Color Universal
Design, 2008. Every finding also carries its number and its label as text.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.output import rle
from mammosono.appliance.values import Finding, ImageReading, Label, Pictures

COLOURS = {Label.MALIGNANT: (213, 94, 0), Label.BENIGN: (86, 180, 233)}
"""RGB."""

FILL = 0.22
_HALO = (16, 16, 16)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels, half-open."""


def grey_png(picture: NDArray[np.uint8]) -> bytes:
    """A grey picture, uint8 [height, width]."""
    return _png(picture)


def rgb_png(picture: NDArray[np.uint8]) -> bytes:
    """A colour picture, uint8 RGB [height, width, 3]."""
    return _png(picture[..., ::-1])


def mask_png(image: ImageReading) -> bytes:
    """Where the findings are, in the size of the image: 0 nothing, 128 benign, 255 malignant."""
    canvas = np.zeros((image.height, image.width), np.uint8)
    for finding in image.findings:
        value = 255 if finding.label is Label.MALIGNANT else 128
        canvas[rle.decode(finding.mask) & (canvas < value)] = value
    return _png(canvas)


def overlay_png(pictures: Pictures, image: ImageReading) -> bytes:
    """The original with its findings: outline, translucent fill, number, label and score.

    Findings are numbered from 1 in the order of the reading; the best scored is drawn last.
    """
    return rgb_png(overlay(pictures.original, image))


def overlay(picture: NDArray[np.uint8], image: ImageReading) -> NDArray[np.uint8]:
    """The findings of `image` over `picture`, uint8 [height, width]; RGB [height, width, 3]."""
    canvas = np.repeat(picture[..., None], 3, axis=2)
    ranked = sorted(enumerate(image.findings, start=1), key=lambda pair: pair[1].score)
    for _, finding in ranked:
        _draw_region(canvas, finding)
    taken: list[Rect] = []
    for number, finding in reversed(ranked):
        taken.append(_draw_label(canvas, number, finding, taken))
    return canvas


def _draw_region(canvas: NDArray[np.uint8], finding: Finding) -> None:
    mask = rle.decode(finding.mask)
    colour = COLOURS[finding.label]
    tinted = np.array(colour) * FILL + canvas[mask] * (1 - FILL)
    canvas[mask] = tinted.astype(np.uint8)
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    width = _line_width(canvas)
    # The dark halo keeps the line visible on bright tissue.
    cv2.drawContours(canvas, outlines, -1, _HALO, width + 2, cv2.LINE_AA)
    cv2.drawContours(canvas, outlines, -1, colour, width, cv2.LINE_AA)


def _draw_label(
    canvas: NDArray[np.uint8], number: int, finding: Finding, taken: list[Rect]
) -> Rect:
    """Write the label beside its finding, clear of the labels in `taken`; return its place."""
    text = f"{number} {finding.label.value} {finding.score:.2f}"
    scale, thickness = _font(canvas, text)
    (width, height), base = cv2.getTextSize(text, _FONT, scale, thickness)
    margin = max(1, height // 4)
    rect = place_label(
        (width + 2 * margin, height + base + 2 * margin),
        finding.box,
        (canvas.shape[0], canvas.shape[1]),
        taken,
    )
    x0, y0, x1, y1 = rect
    canvas[y0:y1, x0:x1] = COLOURS[finding.label]
    at = (x0 + margin, y0 + margin + height)
    cv2.putText(canvas, text, at, _FONT, scale, _HALO, thickness, cv2.LINE_AA)
    return rect


def place_label(
    label: tuple[int, int], box: tuple[float, ...], size: tuple[int, int], taken: list[Rect]
) -> Rect:
    """Choose where a label goes: above its box, below, or within, first where none is yet.

    label: (width, height) in pixels; size: (height, width) of the picture. The answer never
    leaves the picture; if every place is taken, the first is used.
    """
    (width, height), (rows, columns) = label, size
    x = max(0, min(round(box[0]), columns - width))
    tops = [round(box[1]) - height, round(box[3]), round(box[1]), round(box[3]) - height]
    places = [
        (x, y, min(x + width, columns), min(y + height, rows))
        for y in (max(0, min(top, rows - height)) for top in tops)
    ]
    free = (place for place in places if not any(_overlap(place, other) for other in taken))
    return next(free, places[0])


def _overlap(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _font(canvas: NDArray[np.uint8], text: str) -> tuple[float, int]:
    """Scale and stroke: 1/55 of the longer side high, 13 pixels at least, if the width allows."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    wanted = max(13.0, _longer_side(canvas) / 55) / height
    scale = min(wanted, 0.9 * canvas.shape[1] / width)
    return scale, max(1, round(1.6 * scale))


def _line_width(canvas: NDArray[np.uint8]) -> int:
    return max(1, round(_longer_side(canvas) / 400))


def _longer_side(canvas: NDArray[np.uint8]) -> int:
    height, width = canvas.shape[:2]
    return int(max(height, width))


def _png(picture: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError("OpenCV could not write a PNG")
    return data.tobytes()
