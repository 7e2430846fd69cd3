"""Training pictures, without noise (drawn, or films that hardly have any) or as they come, and
patches of them with white noise of std 1.

A stabilised mammogram is a square root of the grey value times a factor that stands for the dose.
So a picture is kept as its root, and one picture serves every dose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MAMMOGRAPHY
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise.anscombe import forward
from mammosono.appliance.pipeline.denoise.estimate import noise_std
from mammosono.appliance.pipeline.denoise.mammogram import estimate, foreground
from mammosono.appliance.pipeline.denoise.network import LEVEL_SIDE, centred
from mammosono.appliance.pipeline.detector.frame import Frame, frame
from mammosono.appliance.values import FloatImage, Label, Modality
from mammosono.tools.data.index import Record
from mammosono.tools.data.truth import read_record

PHANTOM_SIZE = MAMMOGRAPHY.phantom_size
FILMS = 300
"""Of a longer list, so many are taken, spread over it: as many as two cores see often enough."""
_LABELS = (Label.BENIGN, Label.MALIGNANT, None)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """image: float32 [height, width]. Drawn or film: the root of the grey value, 0 to about 1.

    drawn: free of noise to the last digit; a film has a little noise of its own.
    """

    image: FloatImage
    drawn: bool


def clean_pictures(
    records: Sequence[Record],
    seeds: Sequence[int],
    size: tuple[int, int],
    on_picture: Callable[[int, int], None],
) -> list[Picture]:
    """Roots of phantoms without noise, drawn from `seeds`, and of films, all at network scale.

    A film comes a second time at half its size: that averages three quarters of its own noise's
    variance away. Raises BadTruth.
    """
    rng = np.random.default_rng(0)
    pictures: list[Picture] = []
    films = _spread(records)
    total = len(seeds) + len(films)
    for pixels, clean, place in _phantoms(seeds, size):
        del pixels
        pictures.append(Picture(_root(place.cut(clean), rng), True))
        on_picture(len(pictures), total)
    for done, working in enumerate(_films(films, size), start=1):
        half = cv2.resize(working, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        both = (working, np.asarray(half, np.float32))
        pictures.extend(Picture(_root(reduced, rng), False) for reduced in both)
        on_picture(len(seeds) + done, total)
    return pictures


def noisy_pictures(
    records: Sequence[Record],
    seeds: Sequence[int],
    size: tuple[int, int],
    on_picture: Callable[[int, int], None],
) -> list[Picture]:
    """Phantoms and films as they come, stabilised by the noise that is measured on each of them.

    A picture in which none can be measured is left out. Raises BadTruth.
    """
    pictures: list[Picture] = []
    films = _spread(records)
    total = len(seeds) + len(films)
    drawn = (place.cut(pixels) for pixels, _, place in _phantoms(seeds, size))
    for k, working in enumerate([*drawn, *_films(films, size)], start=1):
        noise = estimate(working, foreground(working), 255.0)
        if noise is not None:
            pictures.append(Picture(forward(working, noise), k <= len(seeds)))
        on_picture(k, total)
    return pictures


def _root(working: FloatImage, rng: np.random.Generator) -> FloatImage:
    """A dark offset bends the root less: as read-out noise does, and film's own curve."""
    offset = np.float32(np.exp(rng.uniform(np.log(0.003), 0)))
    return np.asarray(np.sqrt(working / 255 + offset), np.float32)


def _phantoms(
    seeds: Sequence[int], size: tuple[int, int]
) -> Iterator[tuple[NDArray[np.uint8], FloatImage, Frame]]:
    for seed in seeds:
        height, width = PHANTOM_SIZE
        label = _LABELS[seed % len(_LABELS)]
        drawn = phantom(Modality.MG, seed, label, height=height, width=width)
        yield drawn.pixels, drawn.clean, frame(drawn.pixels, Modality.MG, size)


def _films(records: Sequence[Record], size: tuple[int, int]) -> Iterator[FloatImage]:
    for record in records:
        image = read_record(record)
        working = frame(image.pixels, record.modality, size).cut(image.pixels)
        yield working * np.float32(255 / (2**image.bits - 1))


def _spread(records: Sequence[Record]) -> list[Record]:
    count = min(len(records), FILMS)
    return [records[len(records) * k // count] for k in range(count)]


PATCH = 96
AMPLITUDES = (15.0, 500.0)
"""From black to white, in standard deviations of the noise: a few quanta a pixel, or 16 bits."""
OWN_NOISE = 0.15
"""A film is shown only at amplitudes at which its own noise is at most this share of the drawn
one, 2 % of the variance: measured on each patch, where texture counts as noise too."""
DRAWN_SHARE = 0.5
_TRIES = 20
_RIM = LEVEL_SIDE // 2


def clean_patch(pictures: Sequence[Picture], side: int, rng: np.random.Generator) -> FloatImage:
    """A patch [side, side] of a clean picture at a dose drawn at random.

    Raises ValueError if no picture is so large or none is clean enough.
    """
    low, high = AMPLITUDES
    for _ in range(_TRIES):
        picture = _chosen(pictures, rng)
        patch = crop(picture.image, side, rng)
        if patch is None:
            continue
        own = 0.0 if picture.drawn else (noise_std(patch) or 0.0)
        most = min(high, OWN_NOISE / own) if own else high
        if most > low:
            amplitude = np.exp(rng.uniform(np.log(low), np.log(most)))
            return np.asarray(patch * amplitude, np.float32)
    raise ValueError("the pictures are too small or too noisy to learn from: give others")


def supervised(
    pictures: Sequence[Picture], rng: np.random.Generator
) -> tuple[FloatImage, FloatImage]:
    """noisy, less its level, and its noise, float32 [PATCH, PATCH]."""
    clean = clean_patch(pictures, PATCH + 2 * _RIM, rng)
    noise = rng.standard_normal(clean.shape, np.float32)
    return _inner(centred(clean + noise)), _inner(noise)


def self_supervised(
    pictures: Sequence[Picture], rng: np.random.Generator
) -> tuple[FloatImage, FloatImage]:
    """The same from stabilised pictures with noise, of which the clean one is unknown.

    Of y with noise of std 1 and drawn noise z of std 1, (y + z) / sqrt 2 and (y - z) / sqrt 2 have
    the same picture and independent noise of std 1. So the second is a target as good as the
    clean picture, up to a constant of the loss; their difference is sqrt 2 z.
    Source: T. Pang et al., "Recorrupted-to-Recorrupted", CVPR 2021, with alpha = 1.
    """
    for _ in range(_TRIES):
        noisy = crop(_chosen(pictures, rng).image, PATCH + 2 * _RIM, rng)
        if noisy is not None:
            break
    else:
        raise ValueError("the pictures are too small to learn from: give others")
    # More noise is a lower dose: half of the patches get up to four times what they had.
    more = np.float32(max(rng.uniform(-4, 4), 0))
    noisy = (noisy + more * rng.standard_normal(noisy.shape, np.float32)) / np.sqrt(1 + more**2)
    again = rng.standard_normal(noisy.shape, np.float32)
    root = np.float32(np.sqrt(2))
    return _inner(centred((noisy + again) / root)), _inner(root * again)


def crop(image: FloatImage, side: int, rng: np.random.Generator) -> FloatImage | None:
    """A square cut out at random, one of eight ways up; None where the picture is too small."""
    height, width = image.shape
    if min(height, width) < side:
        return None
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    cut = np.rot90(image[top : top + side, left : left + side], int(rng.integers(4)))
    return np.ascontiguousarray(cut[:, ::-1] if rng.integers(2) else cut)


def _chosen(pictures: Sequence[Picture], rng: np.random.Generator) -> Picture:
    """Phantoms in DRAWN_SHARE of the cases, where there are both kinds."""
    drawn = bool(rng.random() < DRAWN_SHARE)
    fitting = [picture for picture in pictures if picture.drawn is drawn] or pictures
    return fitting[int(rng.integers(len(fitting)))]


def _inner(image: FloatImage) -> FloatImage:
    return image[_RIM:-_RIM, _RIM:-_RIM]
