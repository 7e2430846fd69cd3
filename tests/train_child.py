"""A training process of its own, for tests that kill it or run several: python train_child.py
FOLDER [--checkpoint-steps N] [--stop-after N] [--workers N]. A rank of torchrun's where its
variables are set.

Prints `step N` after each step; writes what it saw into FOLDER/seen-RANK.json at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import tiny
import torch

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.sample import Sample, phantom_sample
from mammosono.tools.training.devices import close_fabric, open_fabric
from mammosono.tools.training.display import CurveFiles, Progress
from mammosono.tools.training.loop import Trainer

CONFIG = replace(
    tiny.TRAIN, batch_size=4, micro_batch=1, epochs=2, precision="fp32", learning_rate=1e-4
)
"""Passes of one image: of two ranks, one may well have no lesion in a step. The rate is a tenth of
the preset's, for Adam moves a weight whose gradient is a rounding error as far as any other: at
1e-3 one rounding grows tenfold a step, at 1e-4 it stays what it was (docs/numerics.md)."""


def samples() -> list[Sample]:
    """Twelve phantoms: both modalities, benign, malignant and normal."""
    size = tiny.GEOMETRY.input_size
    made = []
    for k in range(12):
        modality, label = (Modality.MG, Modality.US)[k % 2], (*Label, None)[k // 2 % 3]
        drawn = phantom(modality, k, label, height=size[0], width=size[1], noise=0.5)
        made.append(phantom_sample(drawn, label, size))
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint-steps", type=int)
    parser.add_argument("--stop-after", type=int)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    CurveFiles._draw = lambda *_: None  # type: ignore[method-assign]  # longer than an epoch here
    fabric = open_fabric(None, CONFIG.precision)
    trainer = Trainer(
        options.folder,
        CONFIG,
        samples(),
        (),
        fabric=fabric,
        workers=options.workers,
        checkpoint_steps=options.checkpoint_steps,
    )
    seen: list[dict[str, float]] = []

    def on_step(progress: Progress) -> None:
        seen.append({**progress.losses, "accuracy": progress.accuracy})
        sys.stdout.write(f"step {trainer.steps_done}\n")
        sys.stdout.flush()
        # The last rank alone is asked: the others must hear of it.
        if trainer.steps_done == options.stop_after and fabric.global_rank == fabric.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    trainer.fit(on_step, lambda *_: None)
    answer = {"world": fabric.world_size, "steps": trainer.steps_done, "seen": seen}
    (options.folder / f"seen-{fabric.global_rank}.json").write_text(json.dumps(answer))
    close_fabric()


if __name__ == "__main__":
    main()
