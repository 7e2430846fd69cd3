"""A process with the reader's memory limit that decodes damaged files and tells of each."""

from __future__ import annotations

import hashlib
import os
import resource
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from fuzz.mutate import damaged
from fuzz.seeds import WHOLE, modality_of
from mammosono.appliance.errors import IntakeError
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.likeness import likeness
from mammosono.appliance.pipeline.prepare import Reduced
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.exam import Exam
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.appliance.values import Laterality, Posted, SourceImage

READ = "read"

_NAMED = Posted("P_1_LEFT_CC.dcm", Laterality.RIGHT, "MLO")
"""Against what the files themselves say."""


def decode_all(numbers: range, tell: Connection, log: Path) -> None:
    """Tells (outcome, milliseconds, resident MiB) of each file. Output goes to the end of `log`."""
    limit = Settings.model_fields["reader_memory_bytes"].default
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "posted")
        for number in numbers:
            file.write_bytes(damaged(number, WHOLE))
            started = time.perf_counter()
            outcome = outcome_of(file)
            tell.send((outcome, 1000 * (time.perf_counter() - started), rss_mib()))


def outcome_of(file: Path) -> str:
    """READ, the code of the refusal, or what went wrong."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            list(Exam([posted(file)], checked, Stopwatch()))
        except IntakeError as refusal:
            return refusal.code if "\n" not in str(refusal) else "wrong: a refusal of several lines"
        except AssertionError as error:
            return f"wrong: {error}"
        except Exception as error:
            return f"wrong: {type(error).__name__}"
    return f"wrong: {told[0].message}" if told else READ


def posted(file: Path) -> StoredFile:
    data = file.read_bytes()
    return StoredFile(modality_of(data), file, hashlib.sha256(data).hexdigest(), _NAMED)


def checked(image: SourceImage) -> Reduced:
    """In the place of what a reader sees of it."""
    check(image)
    whole = Frame((0, 0, image.width, image.height), 1.0, (image.height, image.width))
    return Reduced(
        image.without_pixels(), likeness(image.pixels), whole, np.zeros((1, 1), np.float32), None
    )


def check(image: SourceImage) -> None:
    """What holds for every picture that was read, whatever its file was like."""
    assert image.pixels.ndim == 2, "not a picture"
    assert image.pixels.dtype in (np.uint8, np.uint16), "not of 8 or 16 bits"
    assert 0 < image.window[1] - image.window[0] < np.inf, "no window"
    assert 8 <= image.bits <= 16, "an odd depth"
    assert image.pixels.max() < 2**image.bits, "brighter than its depth allows"


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
