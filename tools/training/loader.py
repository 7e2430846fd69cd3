"""A rank's micro-batches, made by worker processes ahead of the network."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mammosono.tools.data.augment import Example
from mammosono.tools.data.sampler import Draws, stack_images
from mammosono.tools.training.plan import Plan


class Batch(NamedTuple):
    """images: float32 [n, 1, H, W], standardised; examples: their truth, without the pictures."""

    images: Tensor
    examples: list[Example]


def step_batches(
    draws: Draws, plan: Plan, first_step: int, workers: int, mean: float, std: float
) -> Iterator[list[Batch]]:
    """This rank's micro-batches of each step of the epoch, from step `first_step` on.

    The workers stay up to two steps ahead, so that data waits for the network and not the
    other way round.
    """
    steps = [plan.batches(step) for step in range(first_step, plan.steps)]
    ahead = 2 * max((len(batches) for batches in steps), default=1)
    loader = DataLoader(
        draws,
        batch_sampler=[list(batch) for batches in steps for batch in batches],
        num_workers=workers,
        collate_fn=partial(collate, mean=mean, std=std),
        prefetch_factor=max(-(-ahead // workers), 2) if workers else None,
        worker_init_fn=_worker,
        pin_memory=torch.cuda.is_available(),
        # Its own, since every new loader draws from it: a resumed run needs one loader more.
        generator=torch.Generator(),
    )
    made = iter(loader)
    for batches in steps:
        yield [next(made) for _ in batches]


def collate(examples: Sequence[Example], mean: float, std: float) -> Batch:
    """The pictures as one tensor, which travels between processes without being copied."""
    nothing = np.zeros((0, 0), np.float32)
    return Batch(stack_images(examples, mean, std), [replace(e, image=nothing) for e in examples])


def _worker(_number: int) -> None:
    """One thread each, and the trainer alone hears Ctrl-C: the batch at hand is still made."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
