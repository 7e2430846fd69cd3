"""Where a lesion is, as text of the index: `box:x,y,w,h:label` or `circle:cx,cy,r:label`.

Pixels of the stored picture, origin top left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mammosono.appliance.values import Box, Label

_NUMBERS = {"box": 4, "circle": 3}


@dataclass(frozen=True, slots=True)
class LesionMark:
    """Where a lesion is. `box` of a circle is the square around it, so its side is 2 r."""

    label: Label
    box: Box
    is_circle: bool = False


def parse_mark(text: str) -> LesionMark:
    """Raises ValueError that quotes the text."""
    shape, numbers, label = _three(text)
    values = tuple(float(number) for number in numbers.split(","))
    if len(values) != _NUMBERS[shape] or not all(map(math.isfinite, values)):
        raise ValueError(f"annotation '{text}': {shape} takes {_NUMBERS[shape]} finite numbers")
    x, y, width, height = values if shape == "box" else _square(*values)
    if width <= 0 or height <= 0:
        raise ValueError(f"annotation '{text}': the size must be above zero")
    return LesionMark(Label(label), (x, y, x + width, y + height), shape == "circle")


def mark_text(mark: LesionMark) -> str:
    """The text that parse_mark reads, to a thousandth of a pixel."""
    x0, y0, x1, y1 = mark.box
    width, height = x1 - x0, y1 - y0
    if mark.is_circle:
        shape, values = "circle", [x0 + width / 2, y0 + height / 2, width / 2]
    else:
        shape, values = "box", [x0, y0, width, height]
    return f"{shape}:{','.join(f'{round(value, 3):.12g}' for value in values)}:{mark.label.value}"


def _three(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    lesions = tuple(label.value for label in Label)
    if len(parts) != 3 or parts[0] not in _NUMBERS or parts[2] not in lesions:
        raise ValueError(f"annotation '{text}': expected box:x,y,w,h:label or circle:cx,cy,r:label")
    return parts[0], parts[1], parts[2]


def _square(cx: float, cy: float, radius: float) -> Box:
    """x, y, width, height of the square around a circle."""
    return cx - radius, cy - radius, 2 * radius, 2 * radius
