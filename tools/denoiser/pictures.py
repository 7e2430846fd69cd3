"""Pictures to learn from: without noise (drawn, or films that hardly have any), or as they come.

A stabilised mammogram is a square root of the grey value times a factor that stands for the dose.
So a picture is kept as its root, and one picture serves every dose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise.anscombe import forward
from mammosono.appliance.pipeline.denoise.mammogram import estimate, foreground
from mammosono.appliance.pipeline.detector.frame import Frame, frame
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import Record
from mammosono.tools.data.truth import read_record

Image = NDArray[np.float32]

PHANTOM_SIZE = (1024, 640)
FILMS = 300
"""Of a longer list, so many are taken, spread over it: as many as two cores see often enough."""
_LABELS = (Label.BENIGN, Label.MALIGNANT, None)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """image: float32 [height, width]. Drawn or film: the root of the grey value, 0 to about 1.

    drawn: free of noise to the last digit; a film has a little noise of its own.
    """

    image: Image
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


def _root(working: Image, rng: np.random.Generator) -> Image:
    """A dark offset bends the root less: as read-out noise does, and film's own curve."""
    offset = np.float32(np.exp(rng.uniform(np.log(0.003), 0)))
    return np.asarray(np.sqrt(working / 255 + offset), np.float32)


def _phantoms(
    seeds: Sequence[int], size: tuple[int, int]
) -> Iterator[tuple[NDArray[np.uint8], Image, Frame]]:
    for seed in seeds:
        height, width = PHANTOM_SIZE
        label = _LABELS[seed % len(_LABELS)]
        drawn = phantom(Modality.MG, seed, label, height=height, width=width)
        yield drawn.pixels, drawn.clean, frame(drawn.pixels, Modality.MG, size)


def _films(records: Sequence[Record], size: tuple[int, int]) -> Iterator[Image]:
    for record in records:
        image = read_record(record)
        working = frame(image.pixels, record.modality, size).cut(image.pixels)
        yield working * np.float32(255 / (2**image.bits - 1))


def _spread(records: Sequence[Record]) -> list[Record]:
    count = min(len(records), FILMS)
    return [records[len(records) * k // count] for k in range(count)]
