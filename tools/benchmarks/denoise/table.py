"""Figures of the denoising bench, picture by picture, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from statistics import fmean, median, pstdev
from typing import Any, TypeVar

from rich.console import Group, RenderableType

from mammosono.appliance.values import Modality, ModelInfo
from mammosono.tools import tables
from mammosono.tools.benchmarks.denoise.methods import BM3D, CNN, SKIMAGE_NLM
from mammosono.tools.benchmarks.workload import BenchMachine, measured_with

STRENGTHS = (1.0, 2.0)
"""Of a phantom's noise, as factors of the usual."""
AS_IT_IS = "as it is"
_CLOSE_DB = 0.5
_SHARE_OF_TIME = 0.25

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


@dataclass(frozen=True, slots=True)
class Shot:
    """One method on one phantom of side `size` px. edge: share of the steepness of the lesions'
    borders; correlation: of what was removed with edges; ms: wall."""

    modality: Modality
    size: int
    strength: float
    seed: int
    method: str
    psnr: float
    ssim: float
    edge: float
    correlation: float
    ms: float


@dataclass(frozen=True, slots=True)
class CropShot:
    """One method on the piece of a phantom around its lesion."""

    modality: Modality
    strength: float
    seed: int
    method: str
    psnr: float


@dataclass(frozen=True, slots=True)
class RealShot:
    """One method on one real picture. cnr, enl: over those of the picture as it is."""

    modality: Modality
    picture: int
    method: str
    cnr: float
    enl: float
    correlation: float


@dataclass(frozen=True, slots=True)
class Average:
    """Mean and standard deviation over n pictures; figures that were no numbers are left out."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True, slots=True)
class Goal:
    """met: None where what it needs was not measured."""

    words: str
    met: bool | None
    found: str


@dataclass(frozen=True, slots=True)
class DenoiseBench:
    """ours: by modality, the method that the service uses. crop_px: side of the pieces."""

    day: date
    machine: BenchMachine
    model: ModelInfo
    threads: int
    ours: dict[Modality, str]
    sizes: tuple[int, ...]
    crop_px: int
    shots: tuple[Shot, ...]
    crops: tuple[CropShot, ...]
    real: tuple[RealShot, ...]


def average(values: Iterable[float]) -> Average | None:
    """None if no value is a finite number."""
    known = [value for value in values if isfinite(value)]
    return Average(fmean(known), pstdev(known), len(known)) if known else None


def methods_of(shots: Iterable[Shot | CropShot | RealShot], modality: Modality) -> list[str]:
    """Names in the order of measurement."""
    return list(dict.fromkeys(shot.method for shot in shots if shot.modality is modality))


def time_ratio(shots: Sequence[Shot], method: str, ours: str) -> float | None:
    """Median over the pictures of the method's time over ours on the same picture."""
    own = {_picture(shot): shot.ms for shot in shots if shot.method == ours}
    ratios = [
        shot.ms / own[_picture(shot)]
        for shot in shots
        if shot.method == method and own.get(_picture(shot))
    ]
    return median(ratios) if ratios else None


def difference(
    shots: Sequence[Shot] | Sequence[CropShot], method: str, other: str
) -> Average | None:
    """PSNR of a method less another's on the same picture, dB."""
    theirs = {_picture(shot): shot.psnr for shot in shots if shot.method == other}
    return average(
        shot.psnr - theirs[_picture(shot)]
        for shot in shots
        if shot.method == method and _picture(shot) in theirs
    )


def goals(bench: DenoiseBench) -> tuple[Goal, ...]:
    """Those of the project: at the largest size, on two cores, against what is public."""
    size = max(bench.sizes)
    outcomes = []
    for modality, least, words in (
        (Modality.US, -_CLOSE_DB, f"within {_CLOSE_DB} dB of"),
        (Modality.MG, 0.0, "above"),
    ):
        shots = [s for s in bench.shots if s.modality is modality and s.size == size]
        gap = difference(shots, bench.ours[modality], SKIMAGE_NLM)
        ratio = time_ratio(shots, SKIMAGE_NLM, bench.ours[modality])
        name = "ultrasound" if modality is Modality.US else "mammograms"
        outcomes.append(_goal(f"{name} at {size}: {words} scikit-image's NLM in PSNR", gap, least))
        spent = None if ratio is None else 1 / ratio
        outcomes.append(
            Goal(
                f"{name} at {size}: in a quarter of its time",
                None if spent is None else spent <= _SHARE_OF_TIME,
                "not measured" if spent is None else f"{spent:.3f} of it",
            )
        )
    crops = [s for s in bench.crops if s.modality is Modality.MG]
    gap = difference(crops, CNN, BM3D)
    outcomes.append(_goal("mammograms: the CNN at or above BM3D in PSNR", gap, 0.0))
    return tuple(outcomes)


def _goal(words: str, gap: Average | None, least: float) -> Goal:
    if gap is None:
        return Goal(words, None, "not measured")
    return Goal(words, gap.mean >= least, f"{gap.mean:+.2f} ± {gap.std:.2f} dB, n = {gap.n}")


def _picture(shot: Shot | CropShot) -> tuple[object, ...]:
    size = shot.size if isinstance(shot, Shot) else None
    return shot.modality, size, shot.strength, shot.seed


AnyShot = TypeVar("AnyShot", CropShot, RealShot)


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
        "goals": [tables.plain(goal) for goal in goals(bench)],
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
                        column: tables.plain(
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
            f"{strength:g}": tables.plain(average(x.psnr for x in own if x.strength == strength))
            for strength in STRENGTHS
        }
        yield {"modality": modality.value, "method": method, "noise": psnr}


def _real_rows(bench: DenoiseBench) -> Iterator[dict[str, Any]]:
    for modality, method, own in _by_method(bench.real):
        columns = {c: tables.plain(average(getattr(x, c) for x in own)) for c in REAL_COLUMNS}
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
    yield from map(_goal_line, goals(bench))


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
) -> RenderableType:
    n = len({shot.seed for shot in shots})
    title = f"{modality.value} phantoms, {size} x {size} px, {strength:g}x the usual noise, n = {n}"
    rows = [["Method", "PSNR, dB", "SSIM", "edge", "corr", "ms", "times ours"]]
    for method in methods_of(shots, modality):
        own = [shot for shot in shots if shot.method == method]
        psnr, *others = (average(getattr(shot, c) for shot in own) for c in COLUMNS)
        quality = [_cell(psnr, 1), *(f"{v.mean:.3f}" if v else "" for v in others)]
        ratio = time_ratio(shots, method, ours)
        timed = method != AS_IT_IS and ratio is not None
        ms = f"{median(shot.ms for shot in own):.0f}"
        rows.append([method, *quality, *([ms, f"{ratio:.2f}"] if timed else ["", ""])])
    return tables.terminal(rows, title)


def _crops(bench: DenoiseBench) -> RenderableType:
    n = len({shot.seed for shot in bench.crops})
    side = bench.crop_px
    title = f"PSNR, dB, on pieces of {side} x {side} px around the lesion, n = {n} of each"
    rows = [["Method", "Modality", *(f"{s:g}x" for s in STRENGTHS)]]
    for modality, method, own in _by_method(bench.crops):
        averages = (average(x.psnr for x in own if x.strength == s) for s in STRENGTHS)
        rows.append([method, modality.value, *(_cell(each, 2) for each in averages)])
    compared = any(shot.method == BM3D for shot in bench.crops)
    note = "" if compared else "BM3D is not installed."
    return tables.terminal(rows, title, labels=2, note=note)


def _real(bench: DenoiseBench, modality: Modality) -> RenderableType:
    own = [shot for shot in bench.real if shot.modality is modality]
    n = len({shot.picture for shot in own})
    title = f"{modality.value}: {n} real pictures of val, over those of the picture as it is"
    rows = [["Method", "CNR", "ENL", "corr with own edges"]]
    for _, method, shots in _by_method(own):
        averages = (average(getattr(x, c) for x in shots) for c in REAL_COLUMNS)
        rows.append([method, *(_cell(each, 2) for each in averages)])
    return tables.terminal(rows, title)


def _goal_line(goal: Goal) -> str:
    verdict = {True: "met", False: "NOT met", None: "not judged"}[goal.met]
    return f"Goal, {goal.words}: {verdict} ({goal.found})."


def _cell(value: Average | None, digits: int) -> str:
    return f"{value.mean:.{digits}f} ±{value.std:.{digits}f}" if value else "-"
