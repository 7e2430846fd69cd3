"""The denoising bench for machines (JSON) and for people (terminal)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, TypeVar

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from mammosono.appliance.values import Modality
from mammosono.tools.benchmarks.denoise.figures import (
    AS_IT_IS,
    STRENGTHS,
    Average,
    CropShot,
    DenoiseBench,
    Goal,
    RealShot,
    Shot,
    average,
    goals,
    methods_of,
    time_ratio,
)
from mammosono.tools.benchmarks.denoise.methods import BM3D
from mammosono.tools.benchmarks.machine import measured_with

AnyShot = TypeVar("AnyShot", CropShot, RealShot)

SCHEMA = 1
COLUMNS = ("psnr", "ssim", "edge", "correlation")
REAL_COLUMNS = ("cnr", "enl", "correlation")
GIVEN = (
    "Bilateral, NLM of OpenCV and of scikit-image, BayesShrink and BM3D are given our stabilised "
    "picture, our estimate of the noise and our way back; the median needs none of it. "
    "scikit-image computes on one core, the others may use two. BM3D takes noise for white, which "
    "speckle is not."
)
EDGE = (
    "edge: share of the true steepness left at the lesions' borders. corr: correlation of what was "
    "removed with edges and details of the truth, 0 for noise alone."
)


def as_dict(bench: DenoiseBench) -> dict[str, Any]:
    """Plain values for JSON with stable keys: dB, shares in 0..1, milliseconds."""
    return {
        "schema": SCHEMA,
        **measured_with(bench.day, bench.machine, bench.model),
        "threads": bench.threads,
        "ours": {modality.value: name for modality, name in bench.ours.items()},
        "phantoms": list(_phantom_rows(bench)),
        "crops": {"side_px": bench.crop_px, "psnr": list(_crop_rows(bench))},
        "real": list(_real_rows(bench)),
        "goals": [asdict(goal) for goal in goals(bench)],
    }


def _phantom_rows(bench: DenoiseBench) -> Iterator[dict[str, Any]]:
    for modality, size, shots in _groups(bench):
        for method in methods_of(shots, modality):
            own = [shot for shot in shots if shot.method == method]
            yield {
                "modality": modality.value,
                "size": size,
                "method": method,
                "noise": {
                    f"{strength:g}": {
                        column: _plain(
                            average(getattr(x, column) for x in own if x.strength == strength)
                        )
                        for column in COLUMNS
                    }
                    for strength in STRENGTHS
                },
                "ms": median(shot.ms for shot in own),
                "times_ours": time_ratio(shots, method, bench.ours[modality]),
            }


def _crop_rows(bench: DenoiseBench) -> Iterator[dict[str, Any]]:
    for modality, method, own in _by_method(bench.crops):
        psnr = {
            f"{strength:g}": _plain(average(x.psnr for x in own if x.strength == strength))
            for strength in STRENGTHS
        }
        yield {"modality": modality.value, "method": method, "noise": psnr}


def _real_rows(bench: DenoiseBench) -> Iterator[dict[str, Any]]:
    for modality, method, own in _by_method(bench.real):
        columns = {c: _plain(average(getattr(x, c) for x in own)) for c in REAL_COLUMNS}
        yield {"modality": modality.value, "method": method, **columns}


def _by_method(shots: Sequence[AnyShot]) -> Iterator[tuple[Modality, str, list[AnyShot]]]:
    for modality in Modality:
        for method in methods_of(shots, modality):
            own = [x for x in shots if x.modality is modality and x.method == method]
            yield modality, method, own


def as_rich(bench: DenoiseBench) -> RenderableType:
    return Group(*_parts(bench))


def _parts(bench: DenoiseBench) -> Iterator[RenderableType]:
    machine, model = bench.machine, bench.model
    yield (
        f"{bench.day}, {machine.processor}, {machine.cores} cores, {bench.threads} threads, "
        f"model {model.name} {model.version}"
    )
    if machine.busy:
        yield (
            f"! The machine was busy (load {machine.load:.1f} before the start): times are too "
            "long, their ratios less so."
        )
    for modality, size, shots in _groups(bench):
        for strength in STRENGTHS:
            own = [shot for shot in shots if shot.strength == strength]
            yield _phantoms(modality, size, strength, own, bench.ours[modality])
    yield f"PSNR: mean ± standard deviation over the pictures. {EDGE} {GIVEN}"
    if bench.crops:
        yield _crops(bench)
    for modality in Modality:
        if methods_of(bench.real, modality):
            yield _real(bench, modality)
    yield from map(_goal, goals(bench))


def _groups(bench: DenoiseBench) -> Iterator[tuple[Modality, int, list[Shot]]]:
    for modality in Modality:
        for size in bench.sizes:
            yield (
                modality,
                size,
                [s for s in bench.shots if s.modality is modality and s.size == size],
            )


def _phantoms(
    modality: Modality, size: int, strength: float, shots: list[Shot], ours: str
) -> Table:
    n = len({shot.seed for shot in shots})
    title = f"{modality.value} phantoms, {size} x {size} px, {strength:g}x the usual noise, n = {n}"
    table = _table(title, "Method", "PSNR, dB", "SSIM", "edge", "corr", "ms", "times ours")
    for method in methods_of(shots, modality):
        own = [shot for shot in shots if shot.method == method]
        psnr, *others = (average(getattr(shot, c) for shot in own) for c in COLUMNS)
        ratio = time_ratio(shots, method, ours)
        timed = method != AS_IT_IS and ratio is not None
        table.add_row(
            method, _cell(psnr, 1), *(f"{v.mean:.3f}" if v else "" for v in others),
            f"{median(shot.ms for shot in own):.0f}" if timed else "",
            f"{ratio:.2f}" if timed else "",
        )  # fmt: skip
    return table


def _crops(bench: DenoiseBench) -> Table:
    n = len({shot.seed for shot in bench.crops})
    side = bench.crop_px
    title = f"PSNR, dB, on pieces of {side} x {side} px around the lesion, n = {n} of each"
    table = _table(title, "Method", "Modality", *(f"{s:g}x" for s in STRENGTHS))
    for modality, method, own in _by_method(bench.crops):
        cells = (average(x.psnr for x in own if x.strength == s) for s in STRENGTHS)
        table.add_row(method, modality.value, *(_cell(cell, 2) for cell in cells))
    if not any(shot.method == BM3D for shot in bench.crops):
        table.caption = "BM3D is not installed."
    return table


def _real(bench: DenoiseBench, modality: Modality) -> Table:
    own = [shot for shot in bench.real if shot.modality is modality]
    n = len({shot.picture for shot in own})
    title = f"{modality.value}: {n} real pictures of val, over those of the picture as it is"
    table = _table(title, "Method", "CNR", "ENL", "corr with own edges")
    for _, method, shots in _by_method(own):
        cells = (_cell(average(getattr(x, c) for x in shots), 2) for c in REAL_COLUMNS)
        table.add_row(method, *cells)
    return table


def _goal(goal: Goal) -> str:
    said = {True: "met", False: "NOT met", None: "not judged"}[goal.met]
    return f"Goal, {goal.words}: {said} ({goal.found})."


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left", no_wrap=True)
    return table


def _cell(value: Average | None, digits: int) -> str:
    return f"{value.mean:.{digits}f} ±{value.std:.{digits}f}" if value else "-"


def _plain(value: Average | None) -> dict[str, float] | None:
    return asdict(value) if value else None
