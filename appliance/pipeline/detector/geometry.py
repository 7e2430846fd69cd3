"""Geometry that training and device share: anchors, levels, decoding, limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import inf, log
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class Geometry:
    """Everything about coordinates that the weights were trained with; part of the manifest.

    Coordinates are pixels of the network's input, xyxy, half-open. Leaving one of these numbers
    to a default on the device once cost a third of the Dice unnoticed, so none has a default
    there: they are read from the bundle.
    """

    input_size: tuple[int, int]
    """(height, width) of the network's input."""
    pyramid_strides: tuple[int, ...]
    """Stride of each level whose rows stand in the flat pyramid, in its order."""
    rpn_strides: tuple[int, ...]
    """Stride of each level that proposes."""
    anchor_sizes: tuple[tuple[float, ...], ...]
    """For each proposing level, the square roots of the anchors' areas in px."""
    anchor_ratios: tuple[float, ...] = (0.6, 1.0, 1.6)
    """Height over width."""
    rpn_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    """Deltas are divided by these when decoded."""
    delta_clamp: float = log(1000.0 / 16)
    """Largest log-size step, so that an untrained delta cannot overflow exp."""
    pre_nms_top_n: int = 300
    """Candidates a level before NMS."""
    proposal_nms_iou: float = 0.7
    proposals: int = 64
    """R: the static number of rows of the heads stage."""
    proposals_floor: int = 6
    """Every level keeps at least this many of its best, so that no scale is crowded out."""
    min_box_px: float = 2.0
    roi_level_sizes: tuple[float, ...] = (28.0, 56.0, 112.0)
    """Upper bound of sqrt(area) for each pyramid level but the last."""
    roi_levels: Literal["by_size", "fused"] = "fused"
    """Features from the level that fits the RoI's size, or the mean over all levels."""
    box_bins: int = 7
    mask_bins: int = 14
    samples_per_bin: int = 2
    """Bilinear samples along each side of a bin."""
    mask_size: int = 56
    findings: int = 12
    """D: the static number of rows of the masks stage."""
    finding_nms_iou: float = 0.3
    mask_threshold: float = 0.5

    def __post_init__(self) -> None:
        """Raises ValueError if a list does not fit the levels that it describes, or if a number is
        one with which the network would find nothing, whatever it is shown."""
        for name in (field.name for field in fields(self)):
            if name in ("roi_levels", "proposals_floor"):
                continue
            # Written so that NaN is refused as well.
            if not all(0 < number < inf for number in _numbers(getattr(self, name))):
                raise ValueError(f"{name} needs finite numbers above 0")
        if self.proposals_floor < 0:
            raise ValueError("proposals_floor is at least 0")
        for name in ("proposal_nms_iou", "finding_nms_iou", "mask_threshold"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} is at most 1")
        if self.min_box_px >= min(self.input_size):
            raise ValueError("min_box_px is as large as input_size")
        if len(self.anchor_sizes) != len(self.rpn_strides):
            raise ValueError("anchor_sizes needs one entry for each of rpn_strides")
        if len(self.roi_level_sizes) != len(self.pyramid_strides) - 1:
            raise ValueError("roi_level_sizes needs one entry fewer than pyramid_strides")

    @property
    def samples_per_row(self) -> int:
        """K: pyramid rows that are weighed into one bin."""
        levels = len(self.pyramid_strides) if self.roi_levels == "fused" else 1
        return 4 * self.samples_per_bin**2 * levels

    def level_shapes(self, strides: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """(height, width) of the feature map at each stride."""
        height, width = self.input_size
        return tuple((-(-height // s), -(-width // s)) for s in strides)

    @property
    def pyramid_rows(self) -> int:
        """P: rows of the flat pyramid."""
        return sum(h * w for h, w in self.level_shapes(self.pyramid_strides))

    def to_manifest(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_manifest(cls, entry: Mapping[str, Any]) -> Geometry:
        """Raises KeyError, TypeError or ValueError: one is missing, unknown, or makes no sense."""
        missing = set(cls.__dataclass_fields__) - set(entry)
        if missing:
            raise KeyError(f"{', '.join(sorted(missing))} of the geometry")
        unknown = set(entry) - set(cls.__dataclass_fields__)
        if unknown:
            raise TypeError(f"{', '.join(sorted(unknown))} of the geometry is unknown")
        try:
            # From JSON, where strict mode has lists only; a float field takes a whole number.
            return _GEOMETRY.validate_json(json.dumps(entry), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            said = first.get("ctx", {}).get("error") or first["msg"]
            where = ".".join(str(part) for part in ("geometry", *first["loc"]))
            raise ValueError(f"{where}: {said}") from None


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)
    else:
        yield value


_GEOMETRY = TypeAdapter(Geometry)
