"""Run of the denoising bench: phantoms with truth, pieces of them for BM3D, real pictures.

Also pictures of phantoms before and after, and of what was removed: docs/images/denoise-*.png.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import Phantom, phantom
from mammosono.appliance.pipeline.denoise import Gaussian
from mammosono.appliance.pipeline.denoise.network import network
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.pipeline.model import BundleModel, open_model
from mammosono.appliance.values import Box, FloatImage, Label, Modality
from mammosono.engines.interface import Engine
from mammosono.engines.options import EngineOptions
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
from mammosono.tools.benchmarks.denoise.table import (
    AS_IT_IS,
    STRENGTHS,
    CropShot,
    DenoiseBench,
    RealShot,
    Shot,
)
from mammosono.tools.benchmarks.workload import this_machine
from mammosono.tools.data.index import Record, read_index, select
from mammosono.tools.data.truth import read_record, union_mask
from mammosono.tools.progress import OnPhase

PictureArray = NDArray[np.uint8]

SIDE_PX = 512
"""Side of the phantoms that pieces are taken from."""
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
    progress: OnPhase,
) -> DenoiseBench:
    """Measure every method on `runs` phantoms of each modality, size and strength of noise.

    denoiser: a training run whose network denoises mammograms in place of the bundle's, in torch.
    data: an index; every method also denoises up to `images` lesions of each modality of its val.
    Raises ModelUnavailable, EngineError, OSError, or ValueError for a run, index or picture that
    cannot be used, and where the peers are not installed.
    """
    machine = this_machine()
    engine, model = open_model(bundle, EngineOptions(threads=THREADS))
    cv2.setNumThreads(THREADS)
    with closing(engine):
        cnn = _of_run(denoiser) if denoiser else cnn_of(engine, model)
        methods = {m: _methods(m, cnn, peers) for m in Modality}
        shots = tuple(_shots(methods, sizes, runs, progress))
        crops = tuple(_crops(cnn, min(runs, CROPS), progress)) if peers else ()
        real = tuple(_real(methods, data, sources, images, model, progress)) if data else ()
    return DenoiseBench(
        date.today(), machine, model.info, THREADS,
        {m: methods[m][0].name for m in Modality}, sizes, CROP_PX, shots, crops, real,
    )  # fmt: skip


def cnn_of(engine: Engine, model: BundleModel) -> Gaussian | None:
    """The bundle's denoising network, None if it has none."""
    own = model.modalities.get(Modality.MG)
    if own is None or own.denoiser is None:
        return None
    return network(engine, own.geometry.input_size, own.denoiser)


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
    methods: dict[Modality, tuple[Method, ...]],
    sizes: tuple[int, ...],
    runs: int,
    progress: OnPhase,
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
        progress("phantoms", done, len(cases))


def _crops(cnn: Gaussian | None, runs: int, progress: OnPhase) -> Iterator[CropShot]:
    cases = [(m, s, k) for m in Modality for s in STRENGTHS for k in range(runs)]
    for done, (modality, strength, seed) in enumerate(cases, start=1):
        slow = bm3d_method(modality)
        if slow is None:
            return
        picture = drawn(modality, seed, SIDE_PX, strength)
        cut = _around(picture.lesions[0].box)
        noisy = np.ascontiguousarray(picture.pixels[cut], np.float32)
        for method in (Method(AS_IT_IS, np.copy), *our_methods(modality, cnn), slow):
            quality = psnr(method.remove(noisy), picture.clean[cut])
            yield CropShot(modality, strength, seed, method.name, quality)
        progress("pieces for BM3D", done, len(cases))


def _around(box: Box) -> tuple[slice, slice]:
    """The piece around a box on a phantom of SIDE_PX: rows and columns."""
    x0, y0, x1, y1 = box
    top, left = (
        int(np.clip((low + high - CROP_PX) / 2, 0, SIDE_PX - CROP_PX))
        for low, high in ((y0, y1), (x0, x1))
    )
    return np.s_[top : top + CROP_PX, left : left + CROP_PX]


def _real(
    methods: dict[Modality, tuple[Method, ...]],
    data: Path,
    sources: Collection[str],
    images: int,
    model: BundleModel,
    progress: OnPhase,
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
        image, lesion = _working(record, model.of(record.modality).geometry.input_size)
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
        progress("real pictures", done, len(chosen))


def _working(record: Record, input_size: tuple[int, int]) -> tuple[FloatImage, NDArray[np.bool_]]:
    """A picture at the network's scale, and its lesions. Raises ValueError."""
    image = read_record(record)
    pixels = image.pixels
    mask = union_mask(record, (pixels.shape[0], pixels.shape[1]))
    assert mask is not None, "chosen for its masks"
    place = frame(pixels, record.modality, input_size)
    scale = np.float32(255 / (2**image.bits - 1))
    return place.cut(pixels) * scale, place.cut(mask.astype(np.uint8)) >= 0.5


ENLARGED = 2
"""Without smoothing: grain is to be seen as it is."""
AMPLIFIED = {Modality.MG: 6, Modality.US: 3}
"""What was removed is shown this many times as strong, around mid-grey."""
SHOWN = {Modality.MG: (3, 8), Modality.US: (8, 3)}
"""Seeds of the bench's phantoms: one with a malignant lesion, one with a benign one."""

_PAPER, _INK, _GAP, _LINE = 255, 40, 8, 26
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True, eq=False)
class PictureRow:
    """Crops of one method on one phantom; `correlation` of the whole picture."""

    method: str
    noisy: FloatImage
    result: FloatImage
    truth: FloatImage
    correlation: float


def draw_pictures(folder: Path, bundle: Path | None) -> None:
    """Write denoise-mg.png and denoise-us.png. Raises ModelUnavailable, EngineError, OSError."""
    engine, model = open_model(bundle, EngineOptions(threads=THREADS))
    with closing(engine):
        methods = {
            Modality.MG: our_methods(Modality.MG, cnn_of(engine, model))[:1],
            Modality.US: our_methods(Modality.US, None),
        }
        folder.mkdir(parents=True, exist_ok=True)
        for modality, seeds in SHOWN.items():
            phantoms = [drawn(modality, seed, SIDE_PX, 1.0) for seed in seeds]
            if modality is Modality.US:
                # One with what scanners draw, by the service's method; then both on the other.
                shown = with_calipers(phantoms[0].pixels, phantoms[0].lesions[0].box)
                marked = phantoms[0], shown, methods[modality][0]
                plain = [(phantoms[1], phantoms[1].pixels, m) for m in methods[modality]]
                rows = [_row(*case) for case in (marked, *plain)]
            else:
                rows = [_row(p, p.pixels, m) for p in phantoms for m in methods[modality]]
            sheet = compose(rows, AMPLIFIED[modality])
            (folder / f"denoise-{modality.value.lower()}.png").write_bytes(grey_png(sheet))


def with_calipers(picture: PictureArray, box: Box) -> PictureArray:
    """A copy with a cross at either side of the box and dots between, as scanners draw them."""
    shown = np.array(picture)
    x0, y0, x1, y1 = box
    ends = np.array([(x0, (y0 + 2 * y1) / 3), (x1, (2 * y0 + y1) / 3)])
    for x, y in ends.astype(int).tolist():
        cv2.line(shown, (x - 6, y), (x + 6, y), 255, 1)
        cv2.line(shown, (x, y - 6), (x, y + 6), 255, 1)
    for x, y in np.linspace(ends[0], ends[1], 14)[1:-1].astype(int).tolist():
        shown[y : y + 2, x : x + 2] = 255
    return shown


def _row(phantom: Phantom, shown: PictureArray, method: Method) -> PictureRow:
    noisy = shown.astype(np.float32)
    result = method.remove(noisy)
    cut = _around(phantom.lesions[0].box)
    correlation = edge_correlation(noisy, result, phantom.clean)
    return PictureRow(method.name, noisy[cut], result[cut], phantom.clean[cut], correlation)


def compose(rows: Sequence[PictureRow], amplified: int) -> PictureArray:
    """A sheet, uint8 [height, width]: before, after, removed and truth side by side, captioned."""
    side = CROP_PX * ENLARGED
    heads = ("before", "after", f"removed, {amplified} times as strong", "truth")
    head = [_caption(words, side) for words in heads]
    lines = [_beside(head)]
    for row in rows:
        removed = 127.5 + amplified * (row.noisy - row.result)
        tiles = [_enlarged(t) for t in (row.noisy, row.result, removed, row.truth)]
        words = f"{row.method}: correlation of the removed with edges {row.correlation:.2f}"
        lines += [_beside(tiles), _caption(words, 4 * side + 3 * _GAP)]
    return np.pad(np.vstack(lines), _GAP, constant_values=_PAPER)


def _enlarged(tile: FloatImage) -> PictureArray:
    """Grey values 0..255, each as a small square."""
    levels = np.clip(np.rint(tile), 0, 255).astype(np.uint8)
    return np.kron(levels, np.ones((ENLARGED, ENLARGED), np.uint8))


def _beside(tiles: Sequence[PictureArray]) -> PictureArray:
    gap = np.full((tiles[0].shape[0], _GAP), _PAPER, np.uint8)
    return np.hstack([part for tile in tiles for part in (gap, tile)][1:])


def _caption(words: str, width: int) -> PictureArray:
    strip = np.full((_LINE, width), _PAPER, np.uint8)
    cv2.putText(strip, words, (2, _LINE - 9), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
    return strip
