"""How fast it goes, what it takes, and how long it waits for data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pace:
    """images_per_second: over all devices, since the epoch (or its resumed rest) began.
    wait_share: of that time, how much the network waited for images, 0 to 1 (of this rank).
    gpu_memory_gib: the most that tensors of this rank took; None without a GPU.
    """

    images_per_second: float
    wait_share: float
    gpu_memory_gib: float | None


class Stopwatch:
    """Times an epoch's steps and the waiting before each."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = monotonic()
        self._waited = 0.0
        self._images = 0

    def waiting_for(self, made: Iterator[T]) -> Iterator[T]:
        """The same items; the time until each comes is waiting."""
        while True:
            before = monotonic()
            item = next(made, None)
            self._waited += monotonic() - before
            if item is None:
                return
            yield item

    def add(self, images: int) -> Pace:
        """After a step of so many images, on all devices."""
        self._images += images
        took = max(monotonic() - self._started, 1e-9)
        cuda = self._device.type == "cuda"
        memory = torch.cuda.max_memory_allocated(self._device) / 2**30 if cuda else None
        return Pace(self._images / took, self._waited / took, memory)
