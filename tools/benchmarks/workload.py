"""Workload of the benches: a posted pair, bytes to document, and the machine that reads it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2

from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output.document import Result
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality, ModelInfo

_BUSY_LOAD = 0.5

STEPS = (
    "decode", "frame", "denoise", "trunk", "proposals", "heads", "masks", "findings", "result",
    "total",
)  # fmt: skip
NETWORK = ("trunk", "heads", "masks")
_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class BenchMachine:
    """load: average number of running processes in the minute before the first run."""

    processor: str
    cores: int
    load: float
    python: str

    @property
    def busy(self) -> bool:
        """Others had a good part of a core before the bench began: its times are too long."""
        return self.load > _BUSY_LOAD


def measured_with(day: date, machine: BenchMachine, model: ModelInfo) -> dict[str, Any]:
    """How every bench document begins: the day, the machine and the model, as plain values."""
    return {
        "day": day.isoformat(),
        "machine": {**asdict(machine), "busy": machine.busy},
        "model": {"name": model.name, "version": model.version, "sha256": model.sha256},
    }


def this_machine() -> BenchMachine:
    """Cores are those that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return BenchMachine(_processor(), cores or 1, os.getloadavg()[0], platform.python_version())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'processor'} ({platform.machine()})"


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


def draw_pair() -> tuple[Posted, ...]:
    """The demo's phantoms as JPEG."""
    return tuple(_posted(modality) for modality in MODALITIES)


def read_pair(reader: Reader, pair: tuple[Posted, ...]) -> TimedPair:
    """Read the pair once; the reader's own timings, with decoding and the document added."""
    watch = Stopwatch()
    with watch.lap("total"):
        with watch.lap("decode"):
            images = [read_image(posted.data, posted.modality) for posted in pair]
        reading = reader.read(images)
        with watch.lap("result"):
            Result.of("bench", reading).to_json()
    # The reader's total is a part of this one.
    steps = {**reading.timings_ms, **watch.milliseconds()}
    return TimedPair(
        {step: steps.get(step, 0.0) for step in STEPS},
        tuple(len(image.findings) for image in reading.images),
    )


def _posted(modality: Modality) -> Posted:
    pixels = demo_phantom(modality).pixels
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return Posted(modality, data.tobytes(), (pixels.shape[0], pixels.shape[1]))
