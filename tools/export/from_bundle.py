"""A bundle's network as a run: to go on from its weights, or to export it beside another's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import torch
from onnx.numpy_helper import to_array

from mammosono.appliance.values import Modality
from mammosono.engines.bundle import Bundle, open_bundle, read_stage
from mammosono.tools.network.config import TrainConfig, train_config
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.training.checkpoint import save, write_config

STAGES = ("trunk", "heads", "masks")


def write_network_run(folder: Path, modality: Modality, run: Path) -> TrainConfig:
    """Write config.json and best.pt of the network that reads `modality`, for it alone, into `run`;
    returns the configuration.

    Raises BundleError, OSError; ValueError if the bundle reads no such images, does not say how it
    was trained, or its graphs hold other weights than that configuration's network: of a ResNet,
    whose batch norm is folded into them.
    """
    bundle = open_bundle(folder)
    entry = bundle.modalities.get(modality.value)
    if entry is None:
        raise ValueError(f"the bundle reads no {modality.value}")
    config = replace(_config(bundle, entry["network"]), modalities=(modality.value,))
    weights = {}
    for own in STAGES:
        stage = bundle.stages[bundle.networks[entry["network"]].stages[own]]
        for tensor in onnx.load_model_from_string(read_stage(stage)).graph.initializer:
            weights[tensor.name] = torch.from_numpy(to_array(tensor).copy())
    named = RefinedMaskRcnn(config.network).state_dict()
    if any(name not in weights or weights[name].shape != named[name].shape for name in named):
        raise ValueError("the bundle's graphs hold other weights than its training's network")
    run.mkdir(parents=True, exist_ok=True)
    write_config(run, config, data=None)
    save(run, "best.pt", {"network": {name: weights[name] for name in named}})
    return config


def _config(bundle: Bundle, network: str) -> TrainConfig:
    training = bundle.manifest.get("training", {})
    entry = training.get("networks", {}).get(network, training)  # schema 1 had one network
    if "config" not in entry:
        raise ValueError("the bundle does not say how its network was trained")
    return train_config(entry["config"])
