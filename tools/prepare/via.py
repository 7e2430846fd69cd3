"""VIA (VGG Image Annotator) JSON: its exports read and written, its shapes as masks and back.

Read: the project (`_via_img_metadata`) and the annotations export, regions as a dict (1.x) or a
list (2.x). Written: the annotations export of 2.x, which Mask R-CNN's sample code reads too.

A polygon's points are pixel centres and its outline belongs to it, as OpenCV draws and follows
outlines; so a mask without holes survives the way to polygons and back, pixel for pixel. A polygon
that crosses itself is filled even-odd. What lies outside the picture is cut off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import BoolMask, Label
from mammosono.tools.prepare.item import Entry, Region

_FARTHEST_PX = 32_767
"""Beyond it OpenCV's 16.16 fixed point overflows, and there is no picture."""
_Points = NDArray[np.float64]


class BadShape(ValueError):
    """The shape outlines nothing in the picture; the message says why."""


class IgnoredShape(BadShape):
    """A point: it marks a place and outlines nothing."""


def mask_of(shape: Mapping[str, Any], size: tuple[int, int]) -> tuple[BoolMask, bool]:
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


def shapes_of(mask: BoolMask) -> list[dict[str, Any]]:
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


def _polygon(points: _Points, size: tuple[int, int]) -> tuple[BoolMask, bool]:
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
) -> tuple[BoolMask, bool]:
    """Half-open: from the rounded corner up to the opposite one."""
    x0, y0, x1, y1 = round(x), round(y), round(x + width), round(y + height)
    mask = np.zeros(size, np.bool_)
    mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return _inside(mask), min(x0, y0) < 0 or x1 > size[1] or y1 > size[0]


def _ellipse(
    cx: float, cy: float, rx: float, ry: float, theta: float, size: tuple[int, int]
) -> tuple[BoolMask, bool]:
    """Pixels whose centre lies in it. theta: radians from x to y, as a canvas turns (clockwise)."""
    cos, sin = math.cos(theta), math.sin(theta)
    half_x, half_y = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    dx = np.arange(size[1])[np.newaxis] - cx
    dy = np.arange(size[0])[:, np.newaxis] - cy
    mask = ((dx * cos + dy * sin) / rx) ** 2 + ((dy * cos - dx * sin) / ry) ** 2 <= 1
    cut = cx - half_x < -0.5 or cy - half_y < -0.5
    return _inside(mask), cut or cx + half_x > size[1] - 0.5 or cy + half_y > size[0] - 0.5


def _inside(mask: BoolMask) -> BoolMask:
    if not mask.any():
        raise BadShape("a region outside the picture or too small to cover a pixel")
    return mask


@dataclass(frozen=True, slots=True)
class ViaImage:
    """filename: as annotated, relative or an address. attributes: of the file."""

    filename: str
    regions: tuple[Region, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ViaFile:
    """folder: where the project looks for its pictures (default_filepath), may be empty.
    broken: keys of entries that are none."""

    images: tuple[ViaImage, ...]
    folder: str
    broken: tuple[str, ...]


def read_via(path: Path) -> ViaFile:
    """Raises ValueError if the file is no VIA export; OSError."""
    try:
        document = json.loads(path.read_text("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the VIA file is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the VIA file is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("the VIA file must hold an object; export it as JSON from VIA")
    folder = ""
    if "_via_img_metadata" in document:
        core = _mapping(_mapping(document.get("_via_settings")).get("core"))
        folder = str(core.get("default_filepath", ""))
        document = _mapping(document["_via_img_metadata"])
    images, broken = [], []
    for key, value in document.items():
        image = _image(value)
        if image:
            images.append(image)
        else:
            broken.append(key)
    if not images:
        raise ValueError("the VIA file names no picture; export its annotations as JSON from VIA")
    return ViaFile(tuple(images), folder, tuple(broken))


def region_label(attributes: Mapping[str, Any]) -> Label | None:
    """The lesion's label among free attributes, as a word or a ticked box; None if there is none
    or more than one."""
    words = set(_words(attributes))
    found = [label for label in Label if label.value in words]
    return found[0] if len(found) == 1 else None


def is_normal(attributes: Mapping[str, Any]) -> bool:
    return "normal" in set(_words(attributes))


def write_via(path: Path, entries: Iterable[tuple[Entry, str]]) -> None:
    """Pictures with their splits, one VIA entry each; pictures without a region stay, to be
    annotated. Raises OSError."""
    document = {}
    for entry, split in entries:
        document[f"{entry.image}{entry.sizes[0]}"] = {
            "filename": entry.image,
            "size": entry.sizes[0],
            "regions": [region for lesion in entry.lesions for region in lesion.regions],
            "file_attributes": {
                "label": entry.label,
                "modality": entry.modality,
                "case": entry.case,
                "source": entry.source,
                "licence": entry.licence,
                "split": split,
            },
        }
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def _image(value: Any) -> ViaImage | None:
    if not isinstance(value, dict) or not isinstance(value.get("filename"), str):
        return None
    regions = value.get("regions") or []
    if isinstance(regions, dict):
        regions = list(regions.values())
    if not isinstance(regions, list):
        return None
    return ViaImage(value["filename"], tuple(regions), _mapping(value.get("file_attributes")))


def _words(attributes: Mapping[str, Any]) -> Iterator[str]:
    for value in attributes.values():
        if isinstance(value, str):
            yield value.strip().lower()
        elif isinstance(value, dict):
            yield from (
                str(word).strip().lower() for word, ticked in value.items() if ticked is True
            )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
