"""Random fields and lines that tissue is drawn with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import FloatImage


def power_law(
    height: int,
    width: int,
    exponent: float,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
    coarse: int = 1,
) -> FloatImage:
    """Gaussian field with power spectrum 1 / f^exponent, zero mean, unit variance.

    Mammographic backgrounds have an exponent near 3 (A. E. Burgess, "Mammographic structure: data
    preparation and spatial statistics analysis", Proc. SPIE 3661, 1999).
    stretch: how much longer the grain is across than down.
    coarse: draw on a grid this many times coarser and interpolate; for fields without fine detail.
    """
    rows, columns = -(-height // coarse), -(-width // coarse)
    fy = np.fft.fftfreq(rows)[:, None]
    fx = np.fft.rfftfreq(columns)[None] * stretch
    frequency = np.hypot(fy, fx)
    # The floor also tames the mean term, which is removed below.
    frequency = np.maximum(frequency, 1.0 / max(rows, columns))
    spectrum = rng.standard_normal((*frequency.shape, 2), np.float32).view(np.complex64)[..., 0]
    field = np.fft.irfft2(spectrum * frequency ** (-exponent / 2), s=(rows, columns))
    field = (field - field.mean()) / field.std()
    if coarse > 1:
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)


def ridges(field: FloatImage, width: float) -> FloatImage:
    """1 on the zero level of `field`, falling to 0 over `width` (in units of the field).

    The zero level of a smooth field is a net of curves, which looks like septa.
    """
    return np.asarray(np.exp(-np.square(field / width)), np.float32)


def smoothstep(value: FloatImage, low: float, high: float) -> FloatImage:
    """0 below low, 1 above high, with a smooth slope between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def blur(image: FloatImage, sigma_px: float) -> FloatImage:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.float32)


def profile(count: int, knots: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth random curve of `count` samples through `knots` normal values, unit variance."""
    values = rng.standard_normal((1, knots)).astype(np.float32)
    return np.asarray(cv2.resize(values, (count, 1), interpolation=cv2.INTER_CUBIC)[0], np.float32)


def strand(
    canvas: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    bend: float,
    value: int,
    thickness: int,
) -> None:
    """Draw a bent line (a quadratic Bezier) from start to end, (x, y) px, into a uint8 canvas.

    bend: sideways shift of the middle as a fraction of the length.
    """
    along = end - start
    middle = (start + end) / 2 + bend * np.array([-along[1], along[0]])
    t = np.linspace(0, 1, 24)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    # Fixed point with 4 fractional bits, as cv2 wants it for sub-pixel lines.
    fixed = np.rint(points * 16).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, value, thickness, cv2.LINE_AA, 4)
