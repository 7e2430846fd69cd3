"""Perturbed pictures for the test of what a reading hangs on, and where their pixels came from.

What a scanner, a digitiser or an archive does otherwise than the next: grey levels, compression,
resolution, borders, marks drawn on or painted out. A perturbation answers with the picture as it
would be posted and the way back, so that findings are held against the truth of the picture as it
was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from mammosono.appliance.values import Box, FloatImage, Modality, SourceImage
from mammosono.tools.data import perturb

AS_IS = "as it is"
NO_DENOISING = "denoising off"
Drawing = Callable[[FloatImage, Box, np.random.Generator], FloatImage]
"""(picture in 0..1, a lesion's box or one drawn at random, rng) -> the same size."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """x in px of the perturbed picture is scale * x + shift in the picture as it was."""

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def box(self, box: Box) -> Box:
        x0, y0, x1, y1 = box
        (sx, sy), (dx, dy) = self.scale, self.shift
        (left, right), (top, bottom) = sorted((sx * x0, sx * x1)), (sy * y0, sy * y1)
        return left + dx, top + dy, right + dx, bottom + dy


HERE = WayBack()


@dataclass(frozen=True, slots=True)
class Perturbation:
    """modality: whose pictures it is for; None for all. denoised: whether the device's denoising is
    on. apply: the picture and the way back."""

    name: str
    apply: Callable[[SourceImage, Box, np.random.Generator], tuple[SourceImage, WayBack]]
    modality: Modality | None = None
    denoised: bool = True

    def fits(self, modality: Modality) -> bool:
        return self.modality in (None, modality)


def _as_it_is(
    image: SourceImage, box: Box, rng: np.random.Generator
) -> tuple[SourceImage, WayBack]:
    return image, HERE


def drawn(name: str, draw: Drawing, modality: Modality | None = None) -> Perturbation:
    """Of grey values alone: no pixel moves."""

    def apply(
        image: SourceImage, box: Box, rng: np.random.Generator
    ) -> tuple[SourceImage, WayBack]:
        peak = np.float32(2**image.bits - 1)
        changed = draw(image.pixels.astype(np.float32) / peak, box, rng)
        pixels = np.rint(np.clip(changed, 0, 1) * peak).astype(image.pixels.dtype)
        return replace(image, pixels=pixels), HERE

    return Perturbation(name, apply, modality)


def resized(factor: float) -> Perturbation:
    """`factor` times as many pixels along either side, as an archive or an export may have it."""

    def apply(
        image: SourceImage, box: Box, rng: np.random.Generator
    ) -> tuple[SourceImage, WayBack]:
        width, height = round(image.width * factor), round(image.height * factor)
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(image.pixels, (width, height), interpolation=way))
        back = image.width / width, image.height / height
        spacing = image.spacing_mm and (
            image.spacing_mm[0] * back[1],
            image.spacing_mm[1] * back[0],
        )
        return replace(image, pixels=pixels, spacing_mm=spacing, regions=None), WayBack(back)

    return Perturbation(f"resolution x {factor:g}", apply)


def _letterbox(
    image: SourceImage, box: Box, rng: np.random.Generator
) -> tuple[SourceImage, WayBack]:
    """Black borders up to a square, as archives of square pictures have them."""
    side = max(image.height, image.width)
    top, left = (side - image.height) // 2, (side - image.width) // 2
    return _bordered(image, top, side - image.height - top, left, side - image.width - left)


def _padded(image: SourceImage, box: Box, rng: np.random.Generator) -> tuple[SourceImage, WayBack]:
    """A black border of a tenth of the picture on every side."""
    down, across = round(image.height / 10), round(image.width / 10)
    return _bordered(image, down, down, across, across)


def _bordered(
    image: SourceImage, top: int, bottom: int, left: int, right: int
) -> tuple[SourceImage, WayBack]:
    pixels = np.pad(image.pixels, ((top, bottom), (left, right)))
    return replace(image, pixels=pixels), WayBack(shift=(-left, -top))


def _mirrored(
    image: SourceImage, box: Box, rng: np.random.Generator
) -> tuple[SourceImage, WayBack]:
    pixels = np.ascontiguousarray(image.pixels[:, ::-1])
    return replace(image, pixels=pixels), WayBack((-1.0, 1.0), (float(image.width), 0.0))


def _levels(change: Callable[[FloatImage], FloatImage]) -> Drawing:
    return lambda image, box, rng: change(image)


def _gamma(power: float) -> Drawing:
    return _levels(lambda image: np.asarray(image ** np.float32(power), np.float32))


def _gain(factor: float) -> Drawing:
    return _levels(lambda image: np.asarray(np.clip(image * np.float32(factor), 0, 1)))


def _depth_gain(knots: Sequence[float]) -> Perturbation:
    shown = " to ".join(f"{knot:+g}" for knot in knots)
    draw = _levels(partial(perturb.depth_gain, knots=knots))
    return drawn(f"depth gain {shown} dB", draw, Modality.US)


PERTURBATIONS = (
    Perturbation(AS_IS, _as_it_is),
    *(drawn(f"gain x {factor:g}", _gain(factor)) for factor in (0.8, 1.25)),
    _depth_gain((-6, 6)),
    _depth_gain((6, -6)),
    *(drawn(f"gamma {power:g}", _gamma(power)) for power in (0.7, 1.4)),
    *(drawn(f"contrast x {f:g}", _levels(partial(perturb.contrast, factor=f))) for f in (0.7, 1.3)),
    *(
        drawn(
            f"dynamic range {db} dB for 60",
            _levels(partial(perturb.dynamic_range, decibel=db)),
            Modality.US,
        )
        for db in (45, 80)
    ),
    *(drawn(f"JPEG quality {q}", _levels(partial(perturb.jpeg, quality=q))) for q in (60, 30)),
    *(drawn(f"blur {s:g} px", _levels(partial(perturb.blur, sigma=s))) for s in (1.0, 2.0)),
    *(resized(factor) for factor in (0.5, 0.75, 1.5, 2.0)),
    Perturbation("letterbox to a square", _letterbox),
    Perturbation("padded by a tenth", _padded),
    Perturbation("mirrored", _mirrored),
    drawn("calipers drawn on", perturb.calipers),
    drawn("text drawn on", lambda image, box, rng: perturb.label_text(image, rng)),
    drawn("marks painted out", _levels(perturb.without_marks)),
    Perturbation(NO_DENOISING, _as_it_is, denoised=False),
)
"""The first is the picture as it is; what the others lose is held against it."""
