"""The whole prediction, from the presets to the table's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.tools.benchmarks.machine import Machine, this_machine
from mammosono.tools.benchmarks.predict.board import Board
from mammosono.tools.benchmarks.predict.caps import ValCheck
from mammosono.tools.benchmarks.predict.host import HostWork, host_work
from mammosono.tools.benchmarks.predict.prediction import (
    Network,
    Prediction,
    bundle_network,
    config_network,
    predict,
)
from mammosono.tools.benchmarks.predict.variants import Variant, paper_variants, vary
from mammosono.tools.network.config import NetworkConfig, preset

PAPER_TARGET_S = 2.0
"""The network of `paper` is to take less than this on one image, at the planned rates."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """networks: of the bundle, `middle` and `paper`; variants: of `paper`.

    machine: where the host's work was timed. val: None unless labelled images were given.
    """

    day: date
    machine: Machine
    board: Board
    networks: tuple[Prediction, ...]
    variants: tuple[tuple[Variant, Prediction], ...]
    val: ValCheck | None = None

    @property
    def target_met(self) -> bool:
        return self.networks[-1].seconds.plan < PAPER_TARGET_S


def run_prediction(
    board: Board, bundle: Path | None, on_network: Callable[[int, int], None]
) -> Predicted:
    """Predict a bundle, None for the shipped one, and the presets that are larger.

    Raises BundleError, ModelUnavailable, or ValueError for a graph without shapes.
    """
    machine = this_machine()
    paper = preset("paper").network
    variants = paper_variants(paper)
    total = 3 + len(variants)
    networks: list[Prediction] = []
    for network in _networks(bundle or SHIPPED, paper):
        networks.append(predict(network, _work(network), board))
        on_network(len(networks), total)
    base, varied = networks[-1], []
    for variant in variants:
        network = vary(base.network, variant)
        # Timed again only where the host is what changes: the noise of timing would hide the rest.
        work = base.work if variant.changed else _work(network)
        varied.append((variant, predict(network, work, board)))
        on_network(len(networks) + len(varied), total)
    return Predicted(date.today(), machine, board, tuple(networks), tuple(varied))


def _work(network: Network) -> tuple[HostWork, ...]:
    return host_work(network.geometry, network.denoiser is not None)


def _networks(bundle: Path, paper: NetworkConfig) -> Iterator[Network]:
    yield bundle_network(bundle)
    yield config_network(preset("middle").network, "middle")
    yield config_network(paper, "paper")
