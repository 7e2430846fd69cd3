"""Validation of a denoiser: the noise it removes from patches that were not trained on, beside
public methods on the same patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table

from mammosono.appliance.pipeline.denoise import gaussian
from mammosono.appliance.pipeline.denoise.network import LARGEST_CHANGE, centred
from mammosono.appliance.values import FloatImage
from mammosono.tools.denoiser.network import Denoiser, predict
from mammosono.tools.denoiser.pictures import Picture, clean_patch
from mammosono.tools.tables import terminal

KINDS = ("phantom", "film")
SIDE = 192
"""px of a validation patch."""
OF_EACH = 24


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """clean, noisy: float32 [side, side]; noisy - clean is white noise of std 1. kind: of KINDS."""

    clean: FloatImage
    noisy: FloatImage
    kind: str


def trials(pictures: Sequence[Picture], of_each: int = OF_EACH, seed: int = 0) -> list[Trial]:
    """Always the same ones from the same pictures, as many of each kind as there is of both.

    Raises ValueError if the pictures are too small or too noisy.
    """
    found: list[Trial] = []
    for drawn in (True, False):
        rng = np.random.default_rng((seed, drawn))
        ours = [picture for picture in pictures if picture.drawn is drawn]
        if not ours:
            continue
        for _ in range(of_each):
            clean = clean_patch(ours, SIDE, rng)
            noise = rng.standard_normal(clean.shape, np.float32)
            found.append(Trial(clean, clean + noise, KINDS[0] if drawn else KINDS[1]))
    return found


def gains(denoise: Callable[[FloatImage], FloatImage], tried: Sequence[Trial]) -> dict[str, float]:
    """By kind, the mean over its trials of the PSNR gained, in dB.

    The noise has variance 1, so the gain of a trial is -10 log10 of the mean square of what is
    left, whatever peak the PSNR is referred to.
    """
    left: dict[str, list[float]] = {}
    for trial in tried:
        rest = float(np.mean(np.square(denoise(trial.noisy) - trial.clean, dtype=np.float64)))
        left.setdefault(trial.kind, []).append(-10 * np.log10(max(rest, 1e-12)))
    return {kind: float(np.mean(values)) for kind, values in left.items()}


def with_network(network: Denoiser) -> Callable[[FloatImage], FloatImage]:
    """What the appliance computes with the network, in torch and without tiles."""

    def denoise(stabilised: FloatImage) -> FloatImage:
        levelled = torch.from_numpy(centred(stabilised))[None, None]
        noise = predict(network, levelled)[0, 0].numpy()
        return np.asarray(stabilised - np.clip(noise, -LARGEST_CHANGE, LARGEST_CHANGE))

    return denoise


ImageFilter = Callable[[FloatImage], FloatImage]


def compare_methods(
    network: Denoiser,
    tried: Sequence[Trial],
    on_method: Callable[[int, int], None],
) -> dict[str, dict[str, float]]:
    """By method and kind of patch the mean PSNR gained, in dB; every method is given sigma = 1.

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
    table = [["PSNR gained, dB", *heads]]
    for name, gain in rows.items():
        table.append([name, *(f"{gain[kind]:.2f}" if kind in gain else "" for kind in KINDS)])
    return terminal(table)


def _ours(noisy: FloatImage) -> FloatImage:
    return gaussian.denoise(noisy, threads=1)


def _public() -> dict[str, ImageFilter]:
    import bm3d
    from skimage.restoration import denoise_nl_means, denoise_wavelet

    def means(noisy: FloatImage) -> Any:
        """h is the better of 0.6 and 0.8 sigma, which its documentation gives."""
        return denoise_nl_means(
            noisy, h=0.8, sigma=1.0, fast_mode=True, patch_size=5, patch_distance=6
        )

    def shrink(noisy: FloatImage) -> Any:
        return denoise_wavelet(noisy, sigma=1.0, method="BayesShrink", mode="soft", wavelet="db2")

    def block(noisy: FloatImage) -> Any:
        return bm3d.bm3d(noisy, 1.0)

    return {"skimage non-local means": means, "BayesShrink db2": shrink, "bm3d": block}
