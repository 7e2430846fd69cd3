"""A run folder in, a bundle folder out; refused unless the graphs compute what torch does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.model import Model, model_of
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import MANIFEST, open_bundle, write_manifest
from mammosono.engines.interface import Engine
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.data.index import SPLITS, Record, select, split_hash
from mammosono.tools.denoiser.network import Denoiser
from mammosono.tools.denoiser.training import best_denoiser
from mammosono.tools.evaluation.evaluate import evaluate
from mammosono.tools.evaluation.table import as_dict
from mammosono.tools.export.calibrate import Calibration, calibrate
from mammosono.tools.export.denoiser import compare_denoiser, export_denoiser
from mammosono.tools.export.graphs import export_stage
from mammosono.tools.export.half_precision import add_half_precision
from mammosono.tools.export.noisy import Overheard
from mammosono.tools.export.parity import compare
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs
from mammosono.tools.network.torch_engine import TorchEngine
from mammosono.tools.training import checkpoint
from mammosono.tools.training.checkpoint import best_network
from mammosono.tools.training.datasets import required

PARITY_IMAGES = 8
OnImage = Callable[[str, int, int], None]
"""Told what is being done, how many images are done, and of how many."""


def export_bundle(
    run: Path,
    out: Path,
    records: Sequence[Record],
    sources: Sequence[str],
    *,
    name: str,
    version: str,
    sensitivity: float,
    on_image: OnImage,
    denoiser_run: Path | None = None,
) -> dict[str, Any]:
    """Write the bundle of a run's best checkpoint into `out` and return its manifest.

    denoiser_run: of `train-denoiser`; None for a bundle without the mammogram's network.
    records: the whole index; `val` of the sources chooses thresholds, `test` is only measured.
    `out` is touched when the bundle is complete: a refused one leaves there what was there.
    Raises BadRun, ParityError, BundleError, IntakeError, ValueError, OSError.
    """
    config = checkpoint.read_config(run)
    network = best_network(run, config.network)
    val, test = (required(records, split, sources) for split in ("val", "test"))
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=out) as temporary:
        folder = Path(temporary)
        manifest = _draft(config, network, folder, name, version)
        cleaner = None
        if denoiser_run is not None:
            cleaner, provenance = best_denoiser(denoiser_run)
            size = config.network.geometry.input_size
            manifest["stages"][STAGE] = export_denoiser(cleaner, size, folder)
            manifest["denoiser"] = provenance
        write_manifest(folder, manifest)
        parity, chosen = _choose(network, cleaner, folder, val, sensitivity, on_image)
        _enter(manifest, chosen, sensitivity)
        manifest["training"] = {
            "config": asdict(config),
            "sources": list(sources),
            "split_sha256": split_hash(select(records, sources=sources)),
            "images": {
                split: len(select(records, split=split, sources=sources)) for split in SPLITS
            },
            "parity": {key: float(f"{value:.3g}") for key, value in parity.items()},
        }
        write_manifest(folder, manifest)
        manifest["training"]["metrics"] = {
            "val": _measure(folder, val, partial(on_image, "measure val")),
            "test": _measure(folder, test, partial(on_image, "measure test")),
        }
        write_manifest(folder, manifest)
        manifest = add_half_precision(folder)
        # The manifest last: until it is there, no hash fits and nobody opens half a bundle.
        for file in sorted(folder.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(out / file.name)
    return manifest


def _choose(
    network: RefinedMaskRcnn,
    cleaner: Denoiser | None,
    folder: Path,
    val: Sequence[Record],
    sensitivity: float,
    on_image: OnImage,
) -> tuple[dict[str, float], dict[Modality, Calibration]]:
    """The graphs' parity with the networks, and the numbers that validation images give."""
    bundle = open_bundle(folder)
    model = model_of(bundle, "export")
    engine = Overheard(OnnxEngine(bundle), model)
    try:
        canvases = _canvases(val, engine, model)
        parity = compare(TorchEngine(network), engine, canvases, model.of(Modality.MG).geometry)
        if cleaner is not None:
            parity |= compare_denoiser(cleaner, engine, engine.noisy[STAGE])
        chosen = calibrate(engine, model, val, sensitivity, partial(on_image, "calibrate"))
    finally:
        engine.close()
    return parity, chosen


def _measure(
    folder: Path, records: Sequence[Record], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """The groups' figures with n and interval; the images themselves stay out."""
    with Reader.open(folder) as reader:
        measured = as_dict(evaluate(reader, records, progress=progress))
    return {key: measured[key] for key in ("groups", "pairs")}


def _draft(
    config: TrainConfig, network: RefinedMaskRcnn, out: Path, name: str, version: str
) -> dict[str, Any]:
    geometry = config.network.geometry
    inputs = stage_inputs(geometry, config.network.fpn_channels)
    stages = {
        stage: export_stage(module, inputs[stage], out / f"{stage}.onnx")
        for stage, module in (
            ("trunk", TrunkStage(network)),
            ("heads", HeadsStage(network)),
            ("masks", MasksStage(network)),
        )
    }
    return {
        "schema": 1,
        "name": name,
        "version": version,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "classes": ["benign", "malignant"],
        "modalities": [modality.value for modality in Modality],
        "stages": stages,
        "geometry": geometry.to_manifest(),
        "normalisation": {
            "percentiles": list(config.percentiles),
            "mean": config.mean,
            "std": config.std,
        },
        "image_score": {m.value: {"head_weight": 0.5} for m in Modality},
        "finding_thresholds": {m.value: 0.5 for m in Modality},
        "operating_points": {m.value: 0.5 for m in Modality},
    }


def _enter(
    manifest: dict[str, Any], chosen: dict[Modality, Calibration], sensitivity: float
) -> None:
    for modality, values in chosen.items():
        key = modality.value
        manifest["image_score"][key] = {
            "head_weight": values.image_score.weight,
            "rule": "score = w * whole-image head + (1 - w) * most malignant finding; "
            "w by AUC on val",
            "val_auc": round(values.image_score.auc, 4),
        }
        manifest["finding_thresholds"][key] = values.finding_threshold
        # Not rounded: it lies midway between two scores, which may be closer than any rounding.
        manifest["operating_points"][key] = values.operating_point.threshold
    manifest["operating_points_chosen"] = {
        "on": "val",
        "for": f"sensitivity of at least {sensitivity:g} of each modality",
        "reached": {
            m.value: {
                "n": v.images,
                "tpr": round(v.operating_point.tpr, 4),
                "tnr": round(v.operating_point.tnr, 4),
            }
            for m, v in chosen.items()
        },
    }


def _canvases(records: Sequence[Record], engine: Engine, model: Model) -> list[NDArray[np.float32]]:
    """Real images, spread over the list so that both modalities are among them."""
    step = -(-len(records) // PARITY_IMAGES)
    images = [read_image(r.image.read_bytes(), r.modality) for r in records[::step]]
    remove = denoiser(engine, model, 2)
    return [prepare(image, model, remove, Stopwatch()).canvas for image in images]
