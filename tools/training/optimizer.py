"""What turns gradients into weights: optimizer, moving average, precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn


def make_optimizer(network: RefinedMaskRcnn, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; a pretrained encoder learns at its own share of the rate."""
    # A list, never a set: a checkpoint knows the moments of a weight by its place alone.
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


def has_bf16(device: torch.device) -> bool:
    """bf16 doubles the speed where the hardware has it and halves it where it has not."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
