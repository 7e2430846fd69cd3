"""What was measured, picture by picture, and what that says about the goals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from statistics import fmean, median, pstdev

from mammosono.appliance.values import Modality, ModelInfo
from mammosono.tools.benchmarks.denoise.methods import BM3D, CNN, SKIMAGE_NLM
from mammosono.tools.benchmarks.machine import Machine

STRENGTHS = (1.0, 2.0)
"""Of a phantom's noise, as factors of the usual."""
AS_IT_IS = "as it is"
_CLOSE_DB = 0.5
_SHARE_OF_TIME = 0.25


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
    machine: Machine
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
    found = [value for value in values if isfinite(value)]
    return Average(fmean(found), pstdev(found), len(found)) if found else None


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
    found = []
    for modality, least, words in (
        (Modality.US, -_CLOSE_DB, f"within {_CLOSE_DB} dB of"),
        (Modality.MG, 0.0, "above"),
    ):
        shots = [s for s in bench.shots if s.modality is modality and s.size == size]
        gap = difference(shots, bench.ours[modality], SKIMAGE_NLM)
        ratio = time_ratio(shots, SKIMAGE_NLM, bench.ours[modality])
        name = "ultrasound" if modality is Modality.US else "mammograms"
        found.append(_goal(f"{name} at {size}: {words} scikit-image's NLM in PSNR", gap, least))
        spent = None if ratio is None else 1 / ratio
        found.append(
            Goal(
                f"{name} at {size}: in a quarter of its time",
                None if spent is None else spent <= _SHARE_OF_TIME,
                "not measured" if spent is None else f"{spent:.3f} of it",
            )
        )
    crops = [s for s in bench.crops if s.modality is Modality.MG]
    gap = difference(crops, CNN, BM3D)
    found.append(_goal("mammograms: the CNN at or above BM3D in PSNR", gap, 0.0))
    return tuple(found)


def _goal(words: str, gap: Average | None, least: float) -> Goal:
    if gap is None:
        return Goal(words, None, "not measured")
    return Goal(words, gap.mean >= least, f"{gap.mean:+.2f} ± {gap.std:.2f} dB, n = {gap.n}")


def _picture(shot: Shot | CropShot) -> tuple[object, ...]:
    size = shot.size if isinstance(shot, Shot) else None
    return shot.modality, size, shot.strength, shot.seed
