"""VIA's region shapes as masks, and masks as VIA's polygons.

A polygon's points are pixel centres and its outline belongs to it, as OpenCV draws and follows
outlines; so a mask without holes survives the way to polygons and back, pixel for pixel. A polygon
that crosses itself is filled even-odd. What lies outside the picture is cut off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.tools.prepare.item import Mask

_FARTHEST_PX = 32_767
"""Beyond it OpenCV's 16.16 fixed point overflows, and there is no picture."""
_Points = NDArray[np.float64]


class BadShape(ValueError):
    """The shape outlines nothing in the picture; the message says why."""


class IgnoredShape(BadShape):
    """A point: it marks a place and outlines nothing."""


def mask_of(shape: Mapping[str, Any], size: tuple[int, int]) -> tuple[Mask, bool]:
    """Mask, bool [height, width], of VIA's `shape_attributes`; and whether part was cut off.

    size: (height, width) of the picture. Raises BadShape, IgnoredShape.
    """
    name = shape.get("name")
    if name in ("polygon", "polyline"):
        return _polygon(_points(shape), size)
    if name == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        if min(width, height) <= 0:
            raise BadShape("a rectangle without area")
        return _rect(x, y, width, height, size)
    if name in ("circle", "ellipse"):
        cx, cy = _numbers(shape, "cx", "cy")
        rx, ry = _numbers(shape, "r", "r") if name == "circle" else _numbers(shape, "rx", "ry")
        (theta,) = _numbers({"theta": 0, **shape}, "theta")
        if min(rx, ry) <= 0:
            raise BadShape("a circle or ellipse without area")
        return _ellipse(cx, cy, rx, ry, theta if name == "ellipse" else 0.0, size)
    if name == "point":
        raise IgnoredShape("a point outlines nothing")
    raise BadShape("an unknown shape")


def shapes_of(mask: Mask) -> list[dict[str, Any]]:
    """`shape_attributes` that cover the mask: a polygon for each connected part.

    Holes are lost: VIA has none. A part too thin for a polygon becomes rectangles.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    shapes: list[dict[str, Any]] = []
    for contour in found:
        points = contour[:, 0]
        if _has_area(points.astype(np.float64)):
            xs, ys = points.T.tolist()
            shapes.append({"name": "polygon", "all_points_x": xs, "all_points_y": ys})
        else:
            shapes += [_pixel(x, y) for x, y in _line(points)]
    return shapes


def shape_of_mark(mark: str) -> dict[str, Any]:
    """`shape_attributes` of an index's box or circle."""
    kind, numbers, _ = mark.split(":")
    values = [float(number) for number in numbers.split(",")]
    names = ("x", "y", "width", "height") if kind == "box" else ("cx", "cy", "r")
    return {"name": "rect" if kind == "box" else "circle", **dict(zip(names, values, strict=True))}


def _pixel(x: int, y: int) -> dict[str, Any]:
    return {"name": "rect", "x": x, "y": y, "width": 1, "height": 1}


def _line(points: NDArray[Any]) -> list[tuple[int, int]]:
    """Every pixel of a line that is straight along a row, a column or a diagonal."""
    low, high = points.min(0), points.max(0)
    canvas = np.zeros(tuple(high - low + 1)[::-1], np.uint8)
    # From the last point to the first as well: a single point is a line of its own.
    cv2.polylines(canvas, [points - low], isClosed=True, color=1)
    ys, xs = np.nonzero(canvas)
    return list(zip((xs + low[0]).tolist(), (ys + low[1]).tolist(), strict=True))


def _points(shape: Mapping[str, Any]) -> _Points:
    xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(xs, Sequence) or not isinstance(ys, Sequence) or len(xs) != len(ys):
        raise BadShape("a polygon whose coordinates do not pair up")
    points = [_numbers({"x": x, "y": y}, "x", "y") for x, y in zip(xs, ys, strict=True)]
    return np.array(points, np.float64).reshape(-1, 2)


def _numbers(shape: Mapping[str, Any], *names: str) -> tuple[float, ...]:
    values = [shape.get(name) for name in names]
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadShape("a coordinate that is no number")
        if not math.isfinite(value) or abs(value) > _FARTHEST_PX:
            raise BadShape("a coordinate beyond any picture")
    return tuple(float(value) for value in values if value is not None)


def _polygon(points: _Points, size: tuple[int, int]) -> tuple[Mask, bool]:
    """Open outlines are closed from the last point to the first."""
    if len(np.unique(points, axis=0)) < 3:
        raise BadShape("a polygon of fewer than 3 points")
    if not _has_area(points):
        raise BadShape("a polygon whose points lie on a line")
    height, width = size
    rounded = np.rint(points).astype(np.int32)
    low, high = rounded.min(0), rounded.max(0)
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [rounded], 1)
    cut = bool((low < 0).any() or high[0] >= width or high[1] >= height)
    return _inside(canvas.view(np.bool_)), cut


def _has_area(points: _Points) -> bool:
    """Whether the convex hull has any; a figure of eight may have a signed area of zero."""
    return bool(np.linalg.matrix_rank(points - points[0], tol=1e-6) == 2)


def _rect(
    x: float, y: float, width: float, height: float, size: tuple[int, int]
) -> tuple[Mask, bool]:
    """Half-open: from the rounded corner up to the opposite one."""
    x0, y0, x1, y1 = round(x), round(y), round(x + width), round(y + height)
    mask = np.zeros(size, np.bool_)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return _inside(mask), min(x0, y0) < 0 or x1 > size[1] or y1 > size[0]


def _ellipse(
    cx: float, cy: float, rx: float, ry: float, theta: float, size: tuple[int, int]
) -> tuple[Mask, bool]:
    """Pixels whose centre lies in it. theta: radians from x to y, as a canvas turns (clockwise)."""
    cos, sin = math.cos(theta), math.sin(theta)
    half_x, half_y = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    dx = np.arange(size[1])[np.newaxis] - cx
    dy = np.arange(size[0])[:, np.newaxis] - cy
    mask = ((dx * cos + dy * sin) / rx) ** 2 + ((dy * cos - dx * sin) / ry) ** 2 <= 1
    cut = cx - half_x < -0.5 or cy - half_y < -0.5
    return _inside(mask), cut or cx + half_x > size[1] - 0.5 or cy + half_y > size[0] - 0.5


def _inside(mask: Mask) -> Mask:
    if not mask.any():
        raise BadShape("a region outside the picture or too small to cover a pixel")
    return mask
