"""A bundle's denoiser as a run, for training and export without training it anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.numpy_helper import to_array

from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle, read_stage
from mammosono.tools.denoiser.network import Denoiser, DenoiserConfig
from mammosono.tools.denoiser.training import DenoiserTraining
from mammosono.tools.training.checkpoint import save, write_config


def write_denoiser_run(bundle: Path, run: Path) -> dict[str, Any]:
    """Write config.json and best.pt of the bundle's mammogram denoiser into `run`; returns its
    provenance as the bundle states it.

    Raises BundleError, OSError; ValueError if the bundle has no such stage, or one of another
    network than `train-denoiser` trains.
    """
    opened = open_bundle(bundle)
    entry = opened.modalities.get(Modality.MG.value, {})
    own = entry.get("denoise")
    if own is None:
        raise ValueError("the bundle has no denoiser of mammograms: train-denoiser trains one")
    stage = opened.stages[opened.networks[entry["network"]].stages[own]]
    graph = onnx.load_model_from_string(read_stage(stage)).graph
    weights = {w.name: torch.from_numpy(to_array(w).copy()) for w in graph.initializer}
    config = DenoiserConfig()
    try:
        Denoiser(config).load_state_dict(weights)
    except RuntimeError:
        raise ValueError("the bundle's denoiser is another network than is trained here") from None
    provenance = dict(opened.manifest.get("denoiser", {}))
    run.mkdir(parents=True, exist_ok=True)
    write_config(run, DenoiserTraining(network=config))
    save(run, "best.pt", {"network": weights, "provenance": provenance})
    return provenance
