"""Overhead of a worker: pairs read in this process and in a worker's, in turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.model import SHIPPED, BundleModel, detectors, model_of
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.engines.bundle import open_bundle
from mammosono.engines.interface import Engine
from mammosono.engines.open import open_engine
from mammosono.engines.options import EngineOptions
from mammosono.tools.benchmarks.figures import Spread, spread
from mammosono.tools.benchmarks.workload import draw_pair

TARGET = 0.05
"""A worker may cost less than this share of a pair."""


@dataclass(frozen=True, slots=True)
class WorkerOverhead:
    """Of the network's part of one pair, masks for every finding included.

    runtimes: in this process and in the worker's. direct_ms, worker_ms: wall time.
    ratio: the worker's time over the direct one, pair by pair; its median less 1 is the overhead.
    """

    runtimes: tuple[str, str]
    pairs: int
    threads: int
    direct_ms: Spread
    worker_ms: Spread
    ratio: Spread

    @property
    def target_met(self) -> bool:
        return self.ratio.median - 1 < TARGET


def worker_overhead(
    python: str,
    bundle_folder: Path | None = None,
    pairs: int = 15,
    threads: int = 1,
    on_pair: Callable[[int, int], None] = lambda *_: None,
) -> WorkerOverhead:
    """Read the bench's pair `pairs` times each way, in turn, after one of each to warm up.

    python: the worker's interpreter; this one's own path compares like with like.
    Raises BundleError, EngineUnavailable or EngineFault; ModelUnavailable.
    """
    bundle = open_bundle(bundle_folder or SHIPPED)
    options = EngineOptions("onnxruntime", threads)
    with (
        closing(open_engine(bundle, options)) as direct,
        closing(open_engine(bundle, options._replace(worker_python=python))) as worker,
    ):
        model = model_of(bundle, direct.runtime)
        network = _network(direct, model, threads)
        times: dict[Engine, list[float]] = {direct: [], worker: []}
        for done in range(pairs + 1):
            # Who goes first changes, so that neither always finds the caches warm.
            for engine in (direct, worker) if done % 2 else (worker, direct):
                times[engine].append(network(engine))
            on_pair(done + 1, pairs + 1)
        one, other = times[direct][1:], times[worker][1:]
        return WorkerOverhead(
            (direct.runtime, worker.runtime), pairs, threads, spread(one), spread(other),
            spread([b / a for a, b in zip(one, other, strict=True)]),
        )  # fmt: skip


def as_text(measured: WorkerOverhead) -> str:
    """One line for people."""
    here, there = measured.runtimes
    met = "met" if measured.target_met else "NOT met"
    return (
        f"network of a pair, median of {measured.pairs}, {measured.threads} thread(s): "
        f"{measured.direct_ms.median:.1f} ms here ({here}), {measured.worker_ms.median:.1f} ms in "
        f"a worker ({there}); ratio {measured.ratio.median:.3f} "
        f"({measured.ratio.low:.3f} - {measured.ratio.high:.3f}); less than 1.05: {met}"
    )


def _network(direct: Engine, model: BundleModel, threads: int) -> Callable[[Engine], float]:
    """Milliseconds that an engine takes over both canvases of the pair."""
    images = [read_image(posted.data, posted.modality) for posted in draw_pair()]
    remove = denoiser(direct, model, threads)
    canvases = [(i.modality, prepare(i, model, remove, Stopwatch()).canvas) for i in images]

    def run(engine: Engine) -> float:
        each = detectors(engine, model)
        begin = perf_counter()
        for modality, canvas in canvases:
            each[modality].detect(canvas, finding_threshold=0.0)
        return (perf_counter() - begin) * 1e3

    return run
