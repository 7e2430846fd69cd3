"""Learner: the network, its optimizer and moving average, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from mammosono.tools.network.config import TrainConfig, on_patches
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.training.datasets import Batch
from mammosono.tools.training.devices import add_up_gradients, added_up
from mammosono.tools.training.step import Counts, StepTotals, batch_losses


def make_optimizer(network: RefinedMaskRcnn, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; a pretrained encoder learns at its own share of the rate."""
    # A list, never a set: a checkpoint finds the moments of a weight by its place alone.
    backbone = list(network.trunk.backbone.parameters())
    inside = {id(p) for p in backbone}
    share = config.backbone_rate if config.pretrained else 1.0
    groups = [
        {"params": [p for p in backbone if p.requires_grad], "share": share},
        {"params": [p for p in network.parameters() if id(p) not in inside], "share": 1.0},
    ]
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, 0.999),
        weight_decay=config.weight_decay,
    )


def moving_average(
    decay: float,
) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential, with a horizon that grows with the steps: the start is soon forgotten."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        keep = min(decay, (1 + steps) / (10 + steps))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)

    return update


class Learner:
    """The same on every rank, before and after each step."""

    def __init__(
        self, fabric: Fabric, config: TrainConfig, initial: Mapping[str, Any] | None = None
    ) -> None:
        """initial: a state dict of the same network to start from in place of ImageNet's."""
        torch.manual_seed(config.seed)
        self.fabric, self.config = fabric, on_patches(config)
        network = RefinedMaskRcnn(config.network)
        if config.pretrained:
            network.load_pretrained(config.frozen_blocks)
        if initial is not None:
            network.load_state_dict(initial)
        self.network = network.to(fabric.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=moving_average(config.ema_decay),
            use_buffers=True,
        )
        optimizer = fabric.setup_optimizers(make_optimizer(self.network, config))
        assert not isinstance(optimizer, tuple)
        self.optimizer = optimizer

    @property
    def averaged(self) -> RefinedMaskRcnn:
        """The network of the averaged weights."""
        network = self.average.module
        assert isinstance(network, RefinedMaskRcnn)
        return network

    def step(
        self,
        batches: Sequence[Batch],
        draws: Sequence[range],
        epoch: int,
        rate: float,
    ) -> StepTotals:
        """Learn from this rank's part of a step; the totals are of all ranks.

        draws: of each batch; what is random for an image depends on its draw alone, dropout on
        the first draw of its batch. Raises ArithmeticError, before anything has changed, if the
        loss is NaN or infinite.
        """
        self.network.train()
        counted = Counts.of([example for batch in batches for example in batch.examples])
        counts = Counts(*added_up(self.fabric, counted))
        own = StepTotals()
        for batch, drawn in zip(batches, draws, strict=True):
            own = own.plus(self._accumulate(batch, drawn, epoch, counts))
        totals = StepTotals(*added_up(self.fabric, own))
        if not np.isfinite(totals).all():
            raise ArithmeticError(
                f"the loss is {totals.loss(self.config.loss.image_weight)} in epoch {epoch + 1}: "
                "go on from the last checkpoint with a lower learning rate"
            )
        self._update(rate)
        return totals

    def _accumulate(self, batch: Batch, drawn: range, epoch: int, counts: Counts) -> StepTotals:
        seed = self.config.seed
        images = batch.images.to(
            self.fabric.device, memory_format=torch.channels_last, non_blocking=True
        )
        rngs = [np.random.default_rng((seed, epoch, k, 1)) for k in drawn]
        torch.manual_seed(int(np.random.default_rng((seed, epoch, drawn[0], 2)).integers(2**63)))
        with self.fabric.autocast():
            losses = batch_losses(self.network, images, batch.examples, self.config, rngs, counts)
            total = losses.total(self.config.loss.image_weight)
        self.fabric.backward(total)
        return StepTotals.of(losses)

    def _update(self, rate: float) -> None:
        add_up_gradients(self.fabric, self.network)
        self.fabric.clip_gradients(
            self.network,
            self.optimizer,
            max_norm=self.config.gradient_clip,
            error_if_nonfinite=False,  # of fp16: such a step is left out, and the scale lowered
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.network)

    def state(self) -> dict[str, Any]:
        """All that a later process needs, on however many devices."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError, ValueError or RuntimeError for another network's state."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["precision"]:
            self.fabric.strategy.precision.load_state_dict(state["precision"])
