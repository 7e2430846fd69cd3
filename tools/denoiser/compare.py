"""The denoiser beside the public methods, all on the same patches with noise of std 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from mammosono.appliance.pipeline.denoise import gaussian
from mammosono.tools.denoiser.network import Denoiser
from mammosono.tools.denoiser.validation import KINDS, Trial, gains, with_network

Image = NDArray[np.float32]
Method = Callable[[Image], Image]


def compare_methods(
    network: Denoiser,
    tried: Sequence[Trial],
    on_method: Callable[[int, int], None],
) -> dict[str, dict[str, float]]:
    """By method and kind of patch the mean PSNR gained, in dB; every method is told sigma = 1.

    Raises ModuleNotFoundError where a public method is not installed.
    """
    methods = {"ours, network": with_network(network), "ours, non-local means": _ours, **_public()}
    rows: dict[str, dict[str, float]] = {}
    for done, (name, method) in enumerate(methods.items(), start=1):
        rows[name] = gains(method, tried)
        on_method(done, len(methods))
    return rows


def as_rich(rows: dict[str, dict[str, float]], tried: Sequence[Trial]) -> Table:
    counts = {kind: sum(trial.kind == kind for trial in tried) for kind in KINDS}
    heads = [f"{kind} (n = {count})" for kind, count in counts.items()]
    table = Table("PSNR gained, dB", *heads, box=box.SIMPLE_HEAD)
    for name, found in rows.items():
        table.add_row(name, *(f"{found[kind]:.2f}" if kind in found else "" for kind in KINDS))
    return table


def _ours(noisy: Image) -> Image:
    return gaussian.denoise(noisy, threads=1)


def _public() -> dict[str, Method]:
    import bm3d
    from skimage.restoration import denoise_nl_means, denoise_wavelet

    def means(noisy: Image) -> Any:
        """h is the better of 0.6 and 0.8 sigma, which its documentation gives."""
        return denoise_nl_means(
            noisy, h=0.8, sigma=1.0, fast_mode=True, patch_size=5, patch_distance=6
        )

    def shrink(noisy: Image) -> Any:
        return denoise_wavelet(noisy, sigma=1.0, method="BayesShrink", mode="soft", wavelet="db2")

    def block(noisy: Image) -> Any:
        return bm3d.bm3d(noisy, 1.0)

    return {"skimage non-local means": means, "BayesShrink db2": shrink, "bm3d": block}
