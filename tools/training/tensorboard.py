"""The curves for TensorBoard, by tensorboardX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mammosono.tools.training.pace import Pace
from mammosono.tools.training.validate import Glance


class Board:
    """Event files in a folder; what a resumed run repeats replaces what was there."""

    def __init__(self, folder: Path, steps_done: int) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=steps_done or None)

    def step(self, steps_done: int, loss: float, rate: float, pace: Pace) -> None:
        """One optimizer step: the whole loss, the learning rate, and the pace."""
        values = {
            "loss": loss,
            "learning_rate": rate,
            "images_per_second": pace.images_per_second,
            "wait_share": pace.wait_share,
            "gpu_memory_gib": pace.gpu_memory_gib,
        }
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"step/{name}", value, steps_done)

    def epoch(self, epoch: int, means: Mapping[str, float], seen: Glance | None) -> None:
        """An epoch's means and what validation showed, by epoch."""
        for name, value in means.items():
            self._writer.add_scalar(f"train/{name}", value, epoch)
        if seen is not None:
            for kind, values in (("auc", seen.auc), ("dice", seen.dice)):
                for modality, value in values.items():
                    self._writer.add_scalar(f"val/{kind}_{modality}", value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
