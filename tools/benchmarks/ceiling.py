"""What this machine can do at best: a plain FP32 matrix product."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch

SIDE = 2048
_PRODUCTS = 3


def matrix_product(side: int = SIDE) -> Callable[[], float]:
    """A measurement: GFLOP/s of the best of three FP32 products of two `side` x `side` matrices.

    torch's product, with as many threads as torch is set to.
    """
    a, b, out = torch.rand(side, side), torch.rand(side, side), torch.empty(side, side)

    def seconds() -> float:
        started = perf_counter()
        torch.mm(a, b, out=out)
        return perf_counter() - started

    return lambda: 2e-9 * side**3 / min(seconds() for _ in range(_PRODUCTS))
