"""Perturbations of a picture that no reading should hang on: what one scanner, digitiser or archive
does otherwise than the next. Pure functions of a float32 image [H, W] in 0..1 (0 outside the
picture), for training examples (`augmentation: scanner`).

None of them moves a pixel, so masks and boxes stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.values import FloatImage

_DISPLAYED_DB = 60.0
"""Dynamic range that an ultrasound is taken to be displayed at; scanners offer 40 to 90 dB."""


def contrast(image: FloatImage, factor: float) -> FloatImage:
    """Grey values spread or drawn together around the mean of what is not black."""
    content = image > 0
    if not content.any():
        return image
    middle = np.float32(image[content].mean())
    return _inside(image, middle + (image - middle) * np.float32(factor))


def dynamic_range(image: FloatImage, decibel: float) -> FloatImage:
    """A picture displayed at 60 dB as it looks at another range: white stays, less range is darker.

    Log compression shows amplitude a as 1 + 20 log10(a) / range.
    """
    return _inside(image, 1 - (1 - image) * np.float32(_DISPLAYED_DB / decibel))


def depth_gain(
    image: FloatImage, knots: Sequence[float], dynamic_range: float = _DISPLAYED_DB
) -> FloatImage:
    """Time-gain compensation: decibels at evenly spaced depths, from the probe (top) downwards."""
    depth = np.linspace(0, len(knots) - 1, image.shape[0])
    curve = np.interp(depth, np.arange(len(knots)), knots).astype(np.float32)
    return _inside(image, image + curve[:, None] / np.float32(dynamic_range))


def resample(image: FloatImage, factor: float) -> FloatImage:
    """Sampled at `factor` of its resolution (below 1) and back: what an archive of small pictures
    has lost. At 1 and above the picture is returned as it is."""
    if factor >= 1:
        return image
    height, width = image.shape
    small = (max(round(width * factor), 1), max(round(height * factor), 1))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return _inside(image, cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR))


def blur(image: FloatImage, sigma: float) -> FloatImage:
    """Gaussian of `sigma` px."""
    if sigma <= 0:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def jpeg(image: FloatImage, quality: int) -> FloatImage:
    """Eight bits, JPEG of that quality (1 to 100), and back."""
    grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
    back = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return _inside(image, np.asarray(back, np.float32) / 255)


def speckle(
    image: FloatImage, strength: float, grain: float, rng: np.random.Generator
) -> FloatImage:
    """Multiplicative noise of a correlation length of `grain` px; in a log-compressed picture it is
    added. strength: its standard deviation in grey values of 0..1."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    if grain > 0:
        noise = blur(noise, grain)
        noise /= max(float(noise.std()), 1e-6)
    return _inside(image, image + np.float32(strength) * noise)


def match_greys(image: FloatImage, quantiles: NDArray[np.float32]) -> FloatImage:
    """The picture with another's grey curve.

    quantiles: evenly spaced quantiles of the other's grey values that are not black (`grey_curve`).
    """
    content = image > 0
    if not content.any():
        return image
    own = grey_curve(image, len(quantiles))
    # np.interp needs rising values: equal quantiles (a saturated white) would be ambiguous.
    own = np.maximum.accumulate(own + np.arange(len(own), dtype=np.float32) * np.float32(1e-6))
    mapped = np.interp(image, own, quantiles).astype(np.float32)
    return _inside(image, mapped)


def grey_curve(image: FloatImage, count: int = 33) -> NDArray[np.float32]:
    """[count] evenly spaced quantiles of the grey values that are not black; zeros if all is."""
    content = image[image > 0]
    if not content.size:
        return np.zeros(count, np.float32)
    return np.asarray(np.quantile(content, np.linspace(0, 1, count)), np.float32)


def calipers(image: FloatImage, box: Sequence[float], rng: np.random.Generator) -> FloatImage:
    """A sonographer's marks around `box` (x0, y0, x1, y1 in px): a cross at each end of two axes,
    dotted lines between them, as most scanners burn them in."""
    marks = np.zeros(image.shape, np.uint8)
    x0, y0, x1, y1 = box
    tilt = rng.uniform(-0.15, 0.15)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    across, down = (x1 - x0) / 2, (y1 - y0) / 2
    arm, dotted = max(2, round(min(image.shape) * 0.012)), rng.random() < 0.6
    for axis in (np.array([across, across * tilt]), np.array([-down * tilt, down])):
        for end in (middle - axis, middle + axis):
            x, y = (round(float(v)) for v in end)
            cv2.line(marks, (x - arm, y), (x + arm, y), 255, 1)
            cv2.line(marks, (x, y - arm), (x, y + arm), 255, 1)
        if dotted:
            for share in np.linspace(-1, 1, max(int(np.hypot(*axis) / 3), 2)):
                x, y = (round(float(v)) for v in middle + share * axis)
                cv2.circle(marks, (x, y), 0, 255, -1)
    return _drawn(image, marks, rng.uniform(0.75, 1.0))


def label_text(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """A line or two of letters near a border, as a scanner's overlay or a technician's note has."""
    marks = np.zeros(image.shape, np.uint8)
    height, width = image.shape
    size = min(image.shape) / 500 * float(rng.uniform(0.7, 1.5))
    row = float(rng.choice([0.06, 0.9])) * height
    for line in range(int(rng.integers(1, 3))):
        letters = "".join(rng.choice(list("ABDELMRTU 0123456789.:-"), int(rng.integers(3, 14))))
        at = (round(rng.uniform(0.02, 0.6) * width), round(row + line * 30 * size))
        cv2.putText(marks, letters, at, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1, cv2.LINE_AA)
    return _drawn(image, marks, rng.uniform(0.7, 1.0))


def _drawn(image: FloatImage, marks: NDArray[np.uint8], white: float) -> FloatImage:
    opaque = marks.astype(np.float32) / 255
    return np.asarray(image * (1 - opaque) + np.float32(white) * opaque, np.float32)


def without_marks(image: FloatImage) -> FloatImage:
    """Thin marks far brighter than what is around them painted out from their surround.

    Found by a top-hat of 5 px: crosses, dots, thin letters; tissue is wider than that.
    """
    grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (5, 5))
    thin = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel)
    bright = (thin > 90) & (grey > 170)
    if not bright.any():
        return image
    marks = cv2.dilate(bright.astype(np.uint8), np.ones((3, 3), np.uint8))
    painted = np.asarray(cv2.inpaint(grey, marks, 3, cv2.INPAINT_TELEA), np.float32) / 255
    return np.asarray(np.where(marks > 0, painted, image), np.float32)


def _inside(image: FloatImage, changed: NDArray[Any]) -> FloatImage:
    """Clipped to 0..1; black, which is where the picture is not, stays black."""
    return np.asarray(np.where(image > 0, np.clip(changed, 0, 1), 0), np.float32)
