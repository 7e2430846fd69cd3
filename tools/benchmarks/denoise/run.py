"""One run of everything: phantoms with truth, pieces of them for BM3D, real pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.phantoms import Phantom, phantom
from mammosono.appliance.pipeline.denoise import Gaussian
from mammosono.appliance.pipeline.denoise.network import network
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.pipeline.model import Model, open_model
from mammosono.appliance.pipeline.runtime import Runtime
from mammosono.appliance.values import Label, Modality
from mammosono.engines.interface import Engine
from mammosono.tools.benchmarks.denoise.figures import (
    AS_IT_IS,
    STRENGTHS,
    CropShot,
    DenoiseBench,
    RealShot,
    Shot,
)
from mammosono.tools.benchmarks.denoise.measures import (
    cnr,
    edge_correlation,
    edge_kept,
    enl,
    psnr,
    ring,
    ssim,
)
from mammosono.tools.benchmarks.denoise.methods import (
    THREADS,
    Method,
    bm3d_method,
    our_methods,
    peer_methods,
    simple_methods,
)
from mammosono.tools.benchmarks.machine import this_machine
from mammosono.tools.data.index import Record, read_index, select
from mammosono.tools.data.masks import union_mask

Image = NDArray[np.float32]
Told = Callable[[str, int, int], None]

CROP_PX = 160
"""Side of the pieces: BM3D takes seconds for one of them."""
CROPS = 3
"""Pieces of each modality and strength, at most."""
_FIRST_SEED = 7_000_000
"""Far from the phantoms that anything was trained or tuned on."""


def run_bench_denoise(
    bundle: Path | None,
    data: Path | None,
    *,
    denoiser: Path | None,
    sources: Collection[str],
    sizes: tuple[int, ...],
    runs: int,
    images: int,
    peers: bool,
    told: Told,
) -> DenoiseBench:
    """Measure every method on `runs` phantoms of each modality, size and strength of noise.

    denoiser: a training run whose network denoises mammograms in place of the bundle's, in torch.
    data: an index; every method also denoises up to `images` lesions of each modality of its val.
    Raises ModelUnavailable, EngineError, OSError, or ValueError for a run, index or picture that
    cannot be used, and where the peers are not installed.
    """
    machine = this_machine()
    engine, model = open_model(bundle, Runtime(threads=THREADS))
    cv2.setNumThreads(THREADS)
    with closing(engine):
        cnn = _of_run(denoiser) if denoiser else cnn_of(engine, model)
        methods = {m: _methods(m, cnn, peers) for m in Modality}
        shots = tuple(_shots(methods, sizes, runs, told))
        crops = tuple(_crops(cnn, min(runs, CROPS), told)) if peers else ()
        real = tuple(_real(methods, data, sources, images, model, told)) if data else ()
    return DenoiseBench(
        date.today(), machine, model.info, THREADS,
        {m: methods[m][0].name for m in Modality}, sizes, CROP_PX, shots, crops, real,
    )  # fmt: skip


def cnn_of(engine: Engine, model: Model) -> Gaussian | None:
    """The bundle's denoising network, None if it has none."""
    return network(engine, model.geometry.input_size) if model.denoises else None


def _of_run(run: Path) -> Gaussian:
    from mammosono.tools.denoiser.training import best_denoiser
    from mammosono.tools.denoiser.validation import with_network

    network, _ = best_denoiser(run)
    return with_network(network)


def drawn(modality: Modality, seed: int, size: int, strength: float) -> Phantom:
    """The bench's phantoms, square, with a lesion, benign and malignant in turn."""
    label = (Label.BENIGN, Label.MALIGNANT)[seed % 2]
    return phantom(modality, _FIRST_SEED + seed, label, height=size, width=size, noise=strength)


def _methods(modality: Modality, cnn: Gaussian | None, peers: bool) -> tuple[Method, ...]:
    others = peer_methods(modality) if peers else ()
    return (*our_methods(modality, cnn), *simple_methods(modality), *others)


def _shots(
    methods: dict[Modality, tuple[Method, ...]], sizes: tuple[int, ...], runs: int, told: Told
) -> Iterator[Shot]:
    cases = [(m, size, s, k) for m in Modality for size in sizes for s in STRENGTHS
             for k in range(runs)]  # fmt: skip
    for done, (modality, size, strength, seed) in enumerate(cases, start=1):
        picture = drawn(modality, seed, size, strength)
        noisy = picture.pixels.astype(np.float32)
        if seed == 0:
            methods[modality][0].remove(noisy)  # all ratios are to ours: not with a cold start
        for method in (Method(AS_IT_IS, np.copy), *methods[modality]):
            start = perf_counter()
            result = method.remove(noisy)
            ms = 1e3 * (perf_counter() - start)
            edges = [edge_kept(result, picture.clean, lesion.mask) for lesion in picture.lesions]
            yield Shot(
                modality, size, strength, seed, method.name,
                psnr(result, picture.clean), ssim(result, picture.clean), float(np.mean(edges)),
                edge_correlation(noisy, result, picture.clean), ms,
            )  # fmt: skip
        told("phantoms", done, len(cases))


def _crops(cnn: Gaussian | None, runs: int, told: Told) -> Iterator[CropShot]:
    cases = [(m, s, k) for m in Modality for s in STRENGTHS for k in range(runs)]
    for done, (modality, strength, seed) in enumerate(cases, start=1):
        slow = bm3d_method(modality)
        if slow is None:
            return
        picture = drawn(modality, seed, 512, strength)
        x0, y0, x1, y1 = picture.lesions[0].box
        top, left = (
            int(np.clip((low + high - CROP_PX) / 2, 0, 512 - CROP_PX))
            for low, high in ((y0, y1), (x0, x1))
        )
        cut = np.s_[top : top + CROP_PX, left : left + CROP_PX]
        noisy = np.ascontiguousarray(picture.pixels[cut], np.float32)
        for method in (Method(AS_IT_IS, np.copy), *our_methods(modality, cnn), slow):
            quality = psnr(method.remove(noisy), picture.clean[cut])
            yield CropShot(modality, strength, seed, method.name, quality)
        told("pieces for BM3D", done, len(cases))


def _real(
    methods: dict[Modality, tuple[Method, ...]],
    data: Path,
    sources: Collection[str],
    images: int,
    model: Model,
    told: Told,
) -> Iterator[RealShot]:
    """Lesions of val at the network's scale, taken evenly; those without room around left out."""
    records = [r for r in select(read_index(data), split="val", sources=sources) if r.masks]
    chosen: list[Record] = []
    for modality in Modality:
        own = [r for r in records if r.modality is modality]
        count = min(images, len(own))
        chosen += [own[k * len(own) // count] for k in range(count)]
    if not chosen:
        raise ValueError("the index has no lesion with a mask in val; name its --source")
    for done, record in enumerate(chosen, start=1):
        image, lesion = _working(record, model.geometry.input_size)
        around = ring(lesion) & (image > 0)
        if lesion.any() and around.any():
            before = cnr(image, lesion, around), enl(image, around)
            for method in methods[record.modality]:
                result = method.remove(image)
                yield RealShot(
                    record.modality, done, method.name,
                    cnr(result, lesion, around) / before[0], enl(result, around) / before[1],
                    edge_correlation(image, result, result),
                )  # fmt: skip
        told("real pictures", done, len(chosen))


def _working(record: Record, input_size: tuple[int, int]) -> tuple[Image, NDArray[np.bool_]]:
    """A picture at the network's scale, and its lesions. Raises ValueError."""
    pixels = cv2.imread(str(record.image), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError(f"{record.name} is missing or damaged")
    mask = union_mask(record, (pixels.shape[0], pixels.shape[1]))
    assert mask is not None, "chosen for its masks"
    place = frame(np.asarray(pixels), record.modality, input_size)
    return place.cut(pixels), place.cut(mask.astype(np.uint8)) >= 0.5
