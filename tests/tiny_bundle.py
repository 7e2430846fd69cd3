"""The tiny network as graphs, as a bundle's stages and as a run: for tests of what is exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny
import torch

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.denoiser.network import Denoiser, DenoiserConfig
from mammosono.tools.denoiser.training import DenoiserTraining
from mammosono.tools.export.graphs import export_denoiser, export_stage
from mammosono.tools.network.config import NetworkConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs
from mammosono.tools.training import checkpoint


def drawn_network(config: NetworkConfig = tiny.NETWORK, seed: int = 1) -> RefinedMaskRcnn:
    """In evaluation mode, its weights drawn from the seed, all large enough to matter."""
    torch.manual_seed(seed)
    network = RefinedMaskRcnn(config).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            # As built, the last layers answer next to nothing whatever they are asked.
            if value.ndim > 1 and value.std() < 0.02:
                value.normal_(std=0.1)
            elif name.endswith("bias"):
                value.normal_(std=0.02)
    return network


DENOISER = DenoiserTraining(network=DenoiserConfig((4, 6), (1, 1), (1, 1)))
PROVENANCE = {"method": "supervised", "psnr_gain_db": {"phantom": 1.5}}


def drawn_denoiser(seed: int = 2) -> Denoiser:
    """A denoiser of few weights, drawn from the seed."""
    torch.manual_seed(seed)
    return Denoiser(DENOISER.network).eval()


def denoiser_run(folder: Path) -> Path:
    """The run folder of the drawn denoiser."""
    folder.mkdir()
    checkpoint.write_config(folder, DENOISER)
    state = {"network": drawn_denoiser().state_dict(), "provenance": PROVENANCE}
    checkpoint.save(folder, "best.pt", state)
    return folder


def export_stages(network: RefinedMaskRcnn, folder: Path) -> Mapping[str, Any]:
    """Every stage's graph into `folder`; their manifest entries."""
    inputs = stage_inputs(network.config.geometry, network.config.fpn_channels)
    stages = {
        "trunk": TrunkStage(network),
        "heads": HeadsStage(network),
        "masks": MasksStage(network),
    }
    return {
        name: export_stage(stage, inputs[name], folder / f"{name}.onnx")
        for name, stage in stages.items()
    }


def graph_engine(network: RefinedMaskRcnn, folder: Path) -> OnnxEngine:
    """The network's graphs behind onnxruntime; `folder` becomes a bundle of stages alone."""
    stages = export_stages(network, folder)
    write_manifest(folder, {"schema": 1, "name": "tiny", "version": "1", "stages": stages})
    return OnnxEngine(open_bundle(folder), threads=1)


def drawn_bundle(folder: Path, *, denoiser: bool = False) -> Path:
    """The tiny network as a bundle that can be read with, without what a device builder needs.

    denoiser: with a stage that denoises mammograms.
    """
    folder.mkdir(exist_ok=True)
    stages = dict(export_stages(drawn_network(), folder))
    if denoiser:
        size = tiny.GEOMETRY.input_size
        stages[STAGE] = export_denoiser(drawn_denoiser(), size, folder)
    each = dict.fromkeys(("MG", "US"), 0.3)
    write_manifest(
        folder,
        {
            "schema": 1,
            "name": "tiny",
            "version": "1",
            "stages": stages,
            "geometry": tiny.GEOMETRY.to_manifest(),
            "normalisation": {"percentiles": [1.0, 99.5], "mean": 0.3, "std": 0.2},
            "image_score": {modality: {"head_weight": 0.5} for modality in each},
            "finding_thresholds": each,
            "operating_points": each,
        },
    )
    return folder


def drawn_networks(folder: Path, networks: Mapping[str, tuple[tuple[int, int], int]]) -> Path:
    """A bundle of schema 2. networks: by modality its network's canvas (height, width) and the
    seed of its weights; modalities of one canvas and seed share a network."""
    folder.mkdir(exist_ok=True)
    entries: dict[str, Any] = {}
    modalities: dict[str, Any] = {}
    for code, (size, seed) in networks.items():
        name = f"n{size[0]}x{size[1]}-{seed}"
        if name not in entries:
            geometry = tiny.geometry(input_size=size)
            made = folder / "made"
            made.mkdir()
            drawn = drawn_network(tiny.network(geometry=geometry), seed)
            stages = {own: dict(entry) for own, entry in export_stages(drawn, made).items()}
            for own, entry in stages.items():
                entry["file"] = f"{name}.{own}.onnx"
                (made / f"{own}.onnx").rename(folder / entry["file"])
            made.rmdir()
            entries[name] = {
                "stages": stages,
                "geometry": geometry.to_manifest(),
                "normalisation": {"percentiles": [1.0, 99.5], "mean": 0.3, "std": 0.2},
            }
        modalities[code] = {
            "network": name,
            "finding_threshold": 0.3,
            "score": {"rule": "head-and-finding", "head_weight": 0.5},
            "operating_point": 0.3,
        }
    write_manifest(
        folder,
        {
            "schema": 2,
            "kind": "refined-mask-rcnn/1",
            "name": "tiny",
            "version": "1",
            "networks": entries,
            "modalities": modalities,
        },
    )
    return folder


def finished_run(folder: Path, network: RefinedMaskRcnn) -> Path:
    """A run folder of `train` with all that `export` looks at."""
    folder.mkdir()
    checkpoint.write_config(folder, replace(tiny.TRAIN, network=network.config))
    checkpoint.save(folder, "best.pt", {"network": network.state_dict(), "epoch": 1, "score": 0.5})
    return folder
