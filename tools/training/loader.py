"""Draws in batches, made by worker processes ahead of the network."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Sampler

from tools.data.sampler import Draws


def batches_from(draws: Draws, first: int, batch_size: int, workers: int) -> DataLoader[Any]:
    """Lists of examples, from batch number `first` of the epoch on."""
    return DataLoader(
        draws,
        batch_size=batch_size,
        sampler=_From(first * batch_size, len(draws)),
        num_workers=workers,
        collate_fn=list,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_worker,
        # Its own, since every new loader draws from it: a resumed run needs one loader more.
        generator=torch.Generator(),
    )


def _worker(_number: int) -> None:
    """One thread each, and the trainer alone hears Ctrl-C: the batch at hand is still made."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _From(Sampler[int]):
    def __init__(self, first: int, length: int) -> None:
        self._range = range(first, length)

    def __iter__(self) -> Iterator[int]:
        return iter(self._range)

    def __len__(self) -> int:
        return len(self._range)
