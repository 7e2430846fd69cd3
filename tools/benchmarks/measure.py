"""Measurement of a bundle: rounds of everything, so that what is compared was timed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.model import SHIPPED, BundleModel, detectors, open_model
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle, read_stage
from mammosono.engines.interface import Engine
from mammosono.engines.options import EngineOptions
from mammosono.tools.benchmarks.figures import (
    Bench,
    Round,
    denoising_share,
    network_rates,
    peer_figures,
    spread,
    stage_figures,
    step_figures,
)
from mammosono.tools.benchmarks.flops import Flops, count_flops
from mammosono.tools.benchmarks.references import USUAL_SIZE, Peer, matrix_product
from mammosono.tools.benchmarks.workload import (
    NETWORK,
    BenchMachine,
    Posted,
    draw_pair,
    read_pair,
    this_machine,
)
from mammosono.tools.evaluation.evaluate import untouched

THREADS = 2
"""Of the reader, the matrix product and the peer alike."""


def run_bench(
    bundle: Path | None, runs: int, with_peer: bool, on_round: Callable[[int, int], None]
) -> Bench:
    """Measure a bundle, None for the shipped one, `runs` times after one round to warm up.

    Raises ModelUnavailable, ModelFault, EngineError, or ValueError for a graph without shapes.
    """
    machine = this_machine()
    engine, model = open_model(bundle, EngineOptions(threads=THREADS))
    pair, input_size = draw_pair(), model.of(Modality.MG).geometry.input_size
    raw = Reader(engine, model, THREADS, untouched)  # on the same engine
    with Reader(engine, model, THREADS) as reader, _torch_threads(THREADS):
        each, canvases = detectors(engine, model), _canvases(pair, engine, model)
        product = matrix_product()
        peers = [Peer(USUAL_SIZE), Peer(input_size)] if with_peer else []
        rounds = []
        for done in range(1, runs + 2):
            one = Round(
                read_pair(reader, pair),
                read_pair(raw, pair),
                _alone(each, canvases),
                product(),
                tuple(peer.read(pair) for peer in peers),
            )
            rounds.append(one)
            on_round(done, runs + 1)
    return _summary(rounds[1:], stage_flops(bundle or SHIPPED), machine, model, pair)


def _summary(
    rounds: Sequence[Round],
    flops: Mapping[str, Flops],
    machine: BenchMachine,
    model: BundleModel,
    pair: tuple[Posted, ...],
) -> Bench:
    rate, of_ceiling = network_rates(rounds, flops, len(pair))
    return Bench(
        day=date.today(),
        machine=machine,
        model=model.info,
        input_size=model.of(Modality.MG).geometry.input_size,
        images=tuple(posted.size for posted in pair),
        threads=THREADS,
        runs=len(rounds),
        steps=step_figures(rounds),
        outside=spread([one.pair.outside for one in rounds]),
        denoising=denoising_share(rounds),
        findings=rounds[-1].pair.findings,
        stages=stage_figures(rounds, flops, len(pair)),
        rate=rate,
        ceiling=spread([one.ceiling for one in rounds]),
        of_ceiling=of_ceiling,
        peers=peer_figures(rounds),
    )


def stage_flops(folder: Path) -> dict[str, Flops]:
    """Operations of one run of each stage of a bundle, by its network's own name of it: the mean
    over the modalities where they have networks of their own. Raises BundleError, ValueError."""
    bundle = open_bundle(folder)
    runs: dict[str, list[Flops]] = {}
    for entry in bundle.modalities.values():
        for own, name in bundle.networks[entry["network"]].stages.items():
            graph = onnx.load_model_from_string(read_stage(bundle.stages[name]))
            runs.setdefault(own, []).append(count_flops(graph))
    return {
        own: Flops(
            sum(one.dense for one in each) // len(each),
            sum(one.depthwise for one in each) // len(each),
        )
        for own, each in runs.items()
    }


def _canvases(
    pair: tuple[Posted, ...], engine: Engine, model: BundleModel
) -> list[tuple[Modality, NDArray[np.float32]]]:
    remove = denoiser(engine, model, THREADS)
    images = [read_image(posted.data, posted.modality) for posted in pair]
    return [(i.modality, prepare(i, model, remove, Stopwatch()).canvas) for i in images]


def _alone(
    each: Mapping[Modality, Detector], canvases: Sequence[tuple[Modality, NDArray[np.float32]]]
) -> dict[str, float]:
    """Milliseconds of each stage over all canvases, with masks for every one of them."""
    watch = Stopwatch()
    for modality, canvas in canvases:
        each[modality].detect(canvas, finding_threshold=0.0, clock=watch.add)
    milliseconds = watch.milliseconds()
    return {stage: milliseconds[stage] for stage in NETWORK}


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
