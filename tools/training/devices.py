"""Devices and processes of a run: Lightning Fabric, exchange between ranks, a clean stop."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

Precision = Literal["auto", "fp32", "bf16", "fp16"]
T = TypeVar("T")


def open_fabric(devices: int | None = None, precision: Precision = "auto") -> Fabric:
    """A launched Fabric: on torchrun's ranks where it started us, else on `devices` of this
    machine (one if not said); NVIDIA GPUs where there are any, else CPU processes.

    auto: bf16 where the hardware has it, else fp16 on a GPU and fp32 on a CPU.
    Raises ValueError if there are fewer GPUs than asked for, or for fp16 on a CPU.
    """
    local, machines = devices or 1, 1
    if torch.distributed.is_torchelastic_launched():
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // local
        if devices not in (None, local):
            raise ValueError("torchrun says how many devices there are: leave --devices out")
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and local > torch.cuda.device_count():
        raise ValueError(f"this machine has {torch.cuda.device_count()} GPUs, not {local}")
    if kind == "cpu" and precision == "fp16":
        raise ValueError("fp16 needs a GPU: give --precision bf16 or fp32")
    if precision == "auto":
        half: Precision = "bf16" if has_bf16(torch.device(kind)) else "fp16"
        precision = "fp32" if kind == "cpu" and half == "fp16" else half
    # Which precision and backend it takes is in the run's record; at a terminal it is noise.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=kind,
        devices=local,
        num_nodes=machines,
        strategy="ddp" if local * machines > 1 else "auto",
        precision={"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[precision],  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def has_bf16(device: torch.device) -> bool:
    """bf16 doubles the speed where the hardware has it and halves it where it has not."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())


def close_fabric() -> None:
    """Leave the group of ranks, if there is one."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def added_up(fabric: Fabric, values: Sequence[float]) -> list[float]:
    """Every rank's values, added up one by one; the same on every rank."""
    if fabric.world_size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(tensor)
    return [float(value) for value in tensor.cpu()]


def gathered(fabric: Fabric, values: list[T]) -> list[T]:
    """Every rank's values, one rank after another; the same on every rank."""
    if fabric.world_size == 1:
        return values
    parts: list[list[T]] = [[] for _ in range(fabric.world_size)]
    torch.distributed.all_gather_object(parts, values)
    return [value for part in parts for value in part]


def add_up_gradients(fabric: Fabric, network: nn.Module) -> None:
    """Gradients summed over the ranks, and running statistics averaged: one message a step.

    The heads answer for RoIs that numpy chose between two passes, so there is no single forward
    for DistributedDataParallel to wrap, and a rank without a lesion has no gradient for the mask
    head at all. A weight that no rank has a gradient for keeps none, as in one process.
    """
    if fabric.world_size == 1:
        return
    weights = [p for p in network.parameters() if p.requires_grad]
    known = added_up(fabric, [float(p.grad is not None) for p in weights])
    weights = [p for p, count in zip(weights, known, strict=True) if count]
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    statistics = [b for b in network.buffers() if b.is_floating_point()]
    _sum_in_place([p.grad for p in weights if p.grad is not None])
    for statistic in statistics:
        statistic.div_(fabric.world_size)
    _sum_in_place(statistics)


def _sum_in_place(tensors: Sequence[Tensor]) -> None:
    if not tensors:
        return
    flat = torch.cat([t.detach().float().flatten() for t in tensors])
    torch.distributed.all_reduce(flat)
    parts = torch.split(flat, [t.numel() for t in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for a stop after the running step; a second Ctrl-C is sudden."""
    asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
