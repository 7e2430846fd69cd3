"""A bundle opened for judging."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.model import open_model
from mammosono.appliance.pipeline.prepare import Denoise, denoiser
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.runtime import Runtime
from mammosono.appliance.values import DenoiseRecord, Modality
from mammosono.tools.denoiser.log_shrinkage import shrink_logarithm

LOWEST = 0.05
"""Lesion score down to which lesions are searched for."""
THREADS = 2


class Denoising(str, Enum):
    """on: as on the device; off: the picture as it came; log: ultrasound by the second way."""

    on = "on"
    off = "off"
    log = "log"


def open_readers(bundle: Path, denoising: Denoising = Denoising.on) -> tuple[Reader, Reader]:
    """The device's reader, and one that tells of every finding down to LOWEST.

    They share one engine; closing either closes it. Raises ModelUnavailable.
    """
    engine, model = open_model(bundle, Runtime())
    own = denoiser(engine, model, THREADS)
    remove = {Denoising.on: own, Denoising.off: untouched, Denoising.log: by_logarithm(own)}
    once = _Remembering(remove[denoising])
    everything = replace(model, finding_threshold=dict.fromkeys(Modality, LOWEST))
    return Reader(engine, model, THREADS, once), Reader(engine, everything, THREADS, once)


def untouched(
    working: NDArray[np.float32], modality: Modality, peak: float
) -> tuple[NDArray[np.float32], DenoiseRecord]:
    """No noise is removed."""
    return working, DenoiseRecord("none")


def by_logarithm(own: Denoise) -> Denoise:
    """Ultrasound by mammosono.tools.denoiser.log_shrinkage, mammograms by `own`."""

    def remove(
        working: NDArray[np.float32], modality: Modality, peak: float
    ) -> tuple[NDArray[np.float32], DenoiseRecord]:
        if modality is Modality.US:
            return shrink_logarithm(working, peak=peak)
        return own(working, modality, peak)

    return remove


class _Remembering:
    """The last answer: both readers ask for the same picture, one after the other."""

    def __init__(self, remove: Denoise) -> None:
        self._remove = remove
        self._asked: tuple[NDArray[np.float32], Modality, float] | None = None
        self._answer: tuple[NDArray[np.float32], DenoiseRecord]

    def __call__(
        self, working: NDArray[np.float32], modality: Modality, peak: float
    ) -> tuple[NDArray[np.float32], DenoiseRecord]:
        last = self._asked
        if last is None or last[1:] != (modality, peak) or not np.array_equal(last[0], working):
            self._asked = working.copy(), modality, peak
            self._answer = self._remove(working, modality, peak)
        return self._answer
