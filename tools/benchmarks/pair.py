"""The pair that is timed: two posted files in memory, from bytes to the result document."""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.document import result_json
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.demo import MAMMOGRAM_SEED, ULTRASOUND_SEED
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Label, Modality

STEPS = (
    "decode", "frame", "denoise", "trunk", "proposals", "heads", "masks", "findings", "result",
    "total",
)  # fmt: skip
NETWORK = ("trunk", "heads", "masks")
_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Posted:
    """data: a JPEG file's bytes; size: (height, width)."""

    modality: Modality
    data: bytes
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TimedPair:
    """milliseconds: wall time of each of STEPS; findings: of each image."""

    milliseconds: dict[str, float]
    findings: tuple[int, ...]

    @property
    def outside(self) -> float:
        """Share of the total in which the network did not run."""
        network = sum(self.milliseconds[step] for step in NETWORK)
        return 1 - network / self.milliseconds["total"]


def draw_pair() -> tuple[Posted, Posted]:
    """The demo's phantoms as JPEG: a mammogram of 1024 x 640 px, an ultrasound of 480 x 560."""
    return (
        _posted(Modality.MG, MAMMOGRAM_SEED, Label.MALIGNANT, (1024, 640)),
        _posted(Modality.US, ULTRASOUND_SEED, Label.BENIGN, (480, 560)),
    )


def read_pair(reader: Reader, pair: tuple[Posted, ...]) -> TimedPair:
    """Read the pair once; the reader's own timings, with decoding and the document added."""
    watch = Stopwatch()
    with watch.lap("total"):
        with watch.lap("decode"):
            images = [read_image(posted.data, posted.modality) for posted in pair]
        reading = reader.read(images)
        with watch.lap("result"):
            result_json("bench", reading)
    # The reader's total is a part of this one.
    steps = {**reading.timings_ms, **watch.milliseconds()}
    return TimedPair(
        {step: steps.get(step, 0.0) for step in STEPS},
        tuple(len(image.findings) for image in reading.images),
    )


def _posted(modality: Modality, seed: int, label: Label, size: tuple[int, int]) -> Posted:
    drawn = phantom(modality, seed, label, height=size[0], width=size[1])
    _, data = cv2.imencode(".jpg", drawn.pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return Posted(modality, data.tobytes(), size)
