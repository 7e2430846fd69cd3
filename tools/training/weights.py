"""A run's best weights in the network that they were trained for."""

from __future__ import annotations

from pathlib import Path

from mammosono.tools.network.config import NetworkConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.training.checkpoint import BadRun, load


def best_network(run: Path, config: NetworkConfig) -> RefinedMaskRcnn:
    """The network of `config` with the weights of best.pt, in evaluation mode. Raises BadRun."""
    state = load(run / "best.pt")
    network = RefinedMaskRcnn(config)
    try:
        network.load_state_dict(state["network"])
    except (KeyError, TypeError, RuntimeError):
        raise BadRun(
            "best.pt is of another network: give a run of this configuration, or train again"
        ) from None
    return network.eval()
