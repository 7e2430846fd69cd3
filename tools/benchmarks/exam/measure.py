"""Exams read by this version and by another checkout in turns, and what the two made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.output import rle
from mammosono.appliance.output.save import PictureKind, picture_name
from mammosono.appliance.pipeline.model import SHIPPED, model_of
from mammosono.appliance.pipeline.prepare import reduce
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality, Rle
from mammosono.engines.bundle import open_bundle
from mammosono.tools.benchmarks.exam.files import Encoding, ExamFile, draw_exam, write_exam
from mammosono.tools.benchmarks.exam.process import ReaderChild, Reading, shipped_bundle
from mammosono.tools.benchmarks.predict.measurements import HostWork, host_work
from mammosono.tools.benchmarks.predict.prediction import (
    DENOISE_THREADS,
    NANO,
    PAIR,
    Rates,
    Span,
    bundle_networks,
    network_seconds,
    stage_seconds,
)
from mammosono.tools.benchmarks.workload import BenchMachine, this_machine

THREADS = 2
_MOST_PX = 64


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two readings of the same pixels. verdicts, findings: whether each image has the same, of
    the same labels in the same order. masks: the farthest that one reaches beyond the other, px of
    the image and px of the network's canvas. scores: the largest difference. pictures: whether the
    originals for the eye are equal; None if they were not compared.
    """

    verdicts: bool
    findings: bool
    masks: int
    scores: float
    pictures: bool | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """Medians of one checkout. seconds: of processor, an exam from the order to its document.
    drawing: to its pictures, where they are drawn with each reading; looking: to all of them where
    they are drawn when asked for. peak: of memory above the idle process, in pixels of a film.
    wall: milliseconds by step, which overlap.
    """

    seconds: float
    drawing: float
    looking: float
    peak: float
    wall: Mapping[str, float]

    @property
    def exam(self) -> float:
        return self.seconds + self.drawing


@dataclass(frozen=True, slots=True)
class EncodingFigures:
    """ratio: of ours over theirs, seconds of an exam, median of the rounds' own. same: our reading
    beside theirs; whole: beside ours of the uncompressed files. megabytes: of the files.
    """

    encoding: Encoding
    megabytes: float
    ours: Side
    theirs: Side | None
    ratio: float | None
    same: Agreement | None
    whole: Agreement | None


@dataclass(frozen=True, slots=True)
class ExamBench:
    """bundle: of both. By encoding, for an exam: intake, seconds of processor from bytes to what
    the networks see; board, predicted seconds on a Nano."""

    day: date
    machine: BenchMachine
    against: str | None
    bundle: str
    runs: int
    images: int
    film: tuple[int, int]
    encodings: tuple[EncodingFigures, ...]
    intake: Mapping[str, float]
    board: Mapping[str, Span]


def run_exam_bench(
    against: Path | None,
    bundle: Path | None,
    runs: int,
    on_exam: Callable[[int, int], None],
    reduction: int = 1,
) -> ExamBench:
    """`runs` rounds of each encoding after one to warm up.

    against: a checkout of another version, read in turns with this one, both with the same bundle:
        `bundle`, or the other's own. reduction: of the pictures' sides, for a test.
    Raises OSError, BundleError, or ValueError if a reader cannot be started or refuses the exam.
    """
    machine = this_machine()
    if bundle is None and against is not None:
        bundle = shipped_bundle(against)
    drawn = tuple(draw_exam(reduction))
    total, done = len(Encoding) * (runs + 1), 0
    with TemporaryDirectory() as kept:
        folder = Path(kept)
        figures: list[EncodingFigures] = []
        whole: Mapping[str, Any] | None = None
        intake: dict[str, float] = {}
        with ReaderChild(None, bundle, THREADS) as ours:
            theirs = ReaderChild(against, bundle, THREADS) if against else None
            try:
                for encoding in Encoding:
                    files = write_exam(folder / encoding.name, drawn, encoding)
                    rounds: list[tuple[Reading, Reading | None]] = []
                    for number in range(runs + 1):
                        mine = ours.read(files, folder / "ours", look=number == 0)
                        other = theirs.read(files, folder / "theirs") if theirs else None
                        rounds.append((mine, other))
                        done += 1
                        on_exam(done, total)
                    own = rounds[0][0].document
                    pictures = _pictures_equal(folder, len(files)) if theirs else None
                    intake[encoding.title] = intake_seconds(files, bundle or SHIPPED)
                    figures.append(_figures(encoding, files, rounds, whole, pictures))
                    whole = whole or own
                name = f"{ours.model['name']} {ours.model['version']}"
            finally:
                if theirs is not None:
                    theirs.close()
    return ExamBench(
        date.today(), machine, str(against) if against else None, name, runs, len(drawn),
        (drawn[0].pixels.shape[0], drawn[0].pixels.shape[1]), tuple(figures),
        intake, _on_a_nano(intake, bundle or SHIPPED, [each.modality for each in drawn]),
    )  # fmt: skip


def _figures(
    encoding: Encoding, files: Sequence[ExamFile], rounds: Sequence[tuple[Reading, Reading | None]],
    whole: Mapping[str, Any] | None, pictures: bool | None,
) -> EncodingFigures:  # fmt: skip
    film = max(file.pixel_bytes for file in files)
    (warm, _), *timed = rounds
    own = _side([mine for mine, _ in timed], warm.looking, film)
    others = [other for _, other in timed if other is not None]
    ratios = [
        (mine.seconds + mine.drawing) / (other.seconds + other.drawing)
        for mine, other in timed
        if other is not None
    ]
    last, beside = timed[-1]
    return EncodingFigures(
        encoding,
        sum(file.path.stat().st_size for file in files) / 1e6,
        own,
        _side(others, 0.0, film) if others else None,
        median(ratios) if ratios else None,
        agreement(last.document, beside.document, pictures) if beside else None,
        agreement(last.document, whole) if whole else None,
    )


def _side(readings: Sequence[Reading], looking: float, film: int) -> Side:
    steps = readings[0].document["timings_ms"]
    return Side(
        median(each.seconds for each in readings),
        median(each.drawing for each in readings),
        looking,
        max(each.peak for each in readings) / film,
        {
            step: median(each.document["timings_ms"].get(step, 0.0) for each in readings)
            for step in steps
        },
    )


def agreement(
    one: Mapping[str, Any], other: Mapping[str, Any], pictures: bool | None = None
) -> Agreement:
    """Of two result documents."""
    pairs = list(zip(one["images"], other["images"], strict=True))
    labels = [
        tuple([finding["label"] for finding in image["findings"]] for image in pair)
        for pair in pairs
    ]
    found = [
        (a["mask"], b["mask"])
        for x, y in pairs
        for a, b in zip(x["findings"], y["findings"], strict=False)
    ]
    return Agreement(
        one["verdict"] == other["verdict"] and all(a["verdict"] == b["verdict"] for a, b in pairs),
        all(a == b for a, b in labels),
        max((_beyond(_mask(a), _mask(b)) for a, b in found), default=0),
        max(abs(a["score"] - b["score"]) for a, b in pairs),
        pictures,
    )


def _mask(document: Mapping[str, Any]) -> NDArray[np.uint8]:
    height, width = document["size"]
    return rle.decode(Rle((height, width), document["counts"])).astype(np.uint8)


def _beyond(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Pixels, along rows, columns and diagonals; at most _MOST_PX."""
    for px in range(_MOST_PX):
        kernel = np.ones((2 * px + 1, 2 * px + 1), np.uint8)
        around_a, around_b = cv2.dilate(a, kernel), cv2.dilate(b, kernel)
        if (a <= around_b).all() and (b <= around_a).all():
            return px
    return _MOST_PX


def _pictures_equal(folder: Path, images: int) -> bool:
    """The originals. Versions up to bundle 1.3.0 put the index before the kind."""

    def drawn(side: str, index: int) -> Any:
        names = (picture_name(PictureKind.ORIGINAL, index), f"{index}-original.png")
        paths = [folder / side / name for name in names]
        (path,) = (path for path in paths if path.exists())
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)

    return all(np.array_equal(drawn("ours", k), drawn("theirs", k)) for k in range(images))


def intake_seconds(files: Sequence[ExamFile], bundle: Path) -> float:
    """Of processor, from the bytes of each file to what the networks see; the less of two runs."""
    model = model_of(open_bundle(bundle), "none")

    def once() -> float:
        started = process_time()
        for file in files:
            data = bytearray(file.path.read_bytes())
            reduced = reduce(read_image(data, file.modality, coarse=True), model, Stopwatch())
            if reduced.too_coarse:
                reduce(read_image(file.path.read_bytes(), file.modality), model, Stopwatch())
        return process_time() - started

    return min(once(), once())


def _on_a_nano(
    intake: Mapping[str, float], bundle: Path, modalities: Sequence[Modality]
) -> dict[str, Span]:
    """As for a pair: networks by the board's rates, the rest by its cores' rate over these."""
    total = NANO.span(lambda rates: 0.0)
    for network in bundle_networks(bundle):
        pair = host_work(network.geometry, network.denoiser is not None)
        for modality, work in zip(PAIR, pair, strict=True):
            if modality not in network.modalities:
                continue
            after = replace(work, prepare=0.0)
            one = NANO.span(partial(host_seconds, after)) + network_seconds(network, NANO)
            if network.denoiser is not None and modality is Modality.MG:
                one = one + stage_seconds(network.denoiser, NANO)
            total = total + one * modalities.count(modality)
    no_other = partial(HostWork, denoise=0.0, after=0.0)
    return {
        title: total + NANO.span(partial(host_seconds, no_other(seconds)))
        for title, seconds in intake.items()
    }


def host_seconds(work: HostWork, rates: Rates) -> float:
    """Of an image's own work besides the networks, on a core of the board."""
    return (work.prepare + work.denoise / DENOISE_THREADS + work.after) * rates.host
