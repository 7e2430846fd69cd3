"""Export: run folders in, a bundle out; refused unless the graphs compute what torch does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.model import KIND, RULE, BundleModel, model_of
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import MANIFEST, open_bundle, write_manifest
from mammosono.engines.interface import Engine
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.engines.schema1 import TOLERANCES
from mammosono.tools.data.index import SPLITS, Record, select, split_hash
from mammosono.tools.denoiser.network import Denoiser
from mammosono.tools.denoiser.training import best_denoiser
from mammosono.tools.evaluation.evaluate import Terms, evaluate
from mammosono.tools.evaluation.roles import roles_of
from mammosono.tools.evaluation.table import as_dict
from mammosono.tools.export.calibrate import (
    FALSE_POSITIVES,
    LOWEST,
    Calibration,
    Judged,
    Look,
    calibrate,
    look_at,
)
from mammosono.tools.export.graphs import export_denoiser, export_stage
from mammosono.tools.export.half_precision import add_half_precision
from mammosono.tools.export.kind import check_kind, enter_kind
from mammosono.tools.export.out_of_fold import chosen_on, out_of_folds
from mammosono.tools.export.parity import compare, compare_denoiser
from mammosono.tools.export.probes import DenoiserInputs, RenamedStages
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs
from mammosono.tools.network.torch_engine import TorchEngine
from mammosono.tools.progress import OnPhase
from mammosono.tools.training import checkpoint
from mammosono.tools.training.checkpoint import best_network
from mammosono.tools.training.datasets import required

PARITY_IMAGES = 8
SHARED = "shared"
"""Name of the one network that reads every modality."""
OWN = {Modality.MG: "mammogram", Modality.US: "ultrasound"}


@dataclass(frozen=True, slots=True)
class Goal:
    """What the thresholds are chosen for: sensitivity of each modality's verdict, and findings
    shown that hit no lesion, an image."""

    sensitivity: float = 0.9
    false_positives: Mapping[Modality, float] = field(default_factory=lambda: FALSE_POSITIVES)


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """A network of the bundle: its name there, whose images it reads, and where it comes from."""

    name: str
    modalities: tuple[Modality, ...]
    config: TrainConfig
    network: RefinedMaskRcnn


def export_bundle(
    runs: Path | Mapping[Modality, Path],
    out: Path,
    records: Sequence[Record],
    sources: Sequence[str],
    *,
    name: str,
    version: str,
    goal: Goal,
    on_image: OnPhase,
    denoiser_run: Path | None = None,
    kind_run: Path | None = None,
    out_of_fold_runs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Write the bundle of runs' best checkpoints into `out` and return its manifest.

    runs: one whose network reads every modality that it was trained for and val has images of; or
        one for each modality, each then read by a network of its own.
    denoiser_run: of `train-denoiser`; None for a bundle without the mammogram's network.
    kind_run: of `train-kind`; None for a bundle that takes every image for what it was sent as.
    out_of_fold_runs: of parts of the same images; what they held back chooses the thresholds of
        their modalities, in place of `val`, see `out_of_folds`.
    records: the whole index; `val` of the sources chooses thresholds, `test` is only measured.
    `out` is touched when the bundle is complete: a refused one leaves there what was there.
    Raises BadRun, ParityError, BundleError, IntakeError, ValueError, OSError.
    """
    trained = _trained(runs)
    seen = {record.modality for record in required(records, "val", sources)}
    trained = [_seen(one, seen) for one in trained]
    read = {modality for one in trained for modality in one.modalities}
    records = [record for record in records if record.modality in read]
    val, test = (required(records, split, sources) for split in ("val", "test"))
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=out) as temporary:
        folder = Path(temporary)
        manifest = _draft(trained, folder, name, version)
        cleaner = None
        if denoiser_run is not None:
            cleaner, manifest["denoiser"] = best_denoiser(denoiser_run)
            _add_denoiser(manifest, trained, cleaner, folder)
        network = None if kind_run is None else enter_kind(manifest, kind_run, folder)
        write_manifest(folder, manifest)
        compared = {} if network is None else check_kind(network, folder)
        held_back = out_of_folds(
            out_of_fold_runs, records, sources, partial(on_image, "out of fold"), denoiser_run
        )
        parity, chosen = _choose(trained, cleaner, folder, val, held_back, goal, on_image)
        _enter(
            manifest, chosen, goal, chosen_on({one.record.modality for one in held_back}, chosen)
        )
        manifest["training"] = {
            "networks": {one.name: {"config": asdict(one.config)} for one in trained},
            "sources": list(sources),
            "split_sha256": split_hash(select(records, sources=sources)),
            "images": {
                split: len(select(records, split=split, sources=sources)) for split in SPLITS
            },
            "parity": {key: float(f"{value:.3g}") for key, value in (parity | compared).items()},
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


def _trained(runs: Path | Mapping[Modality, Path]) -> list[_Trained]:
    """Raises BadRun, or ValueError for a run that was not trained for its modality."""
    if isinstance(runs, Path):
        config = checkpoint.read_config(runs)
        own = tuple(modality for modality in Modality if modality.value in config.modalities)
        return [_Trained(SHARED, own, config, best_network(runs, config.network))]
    found = []
    for modality, run in runs.items():
        config = checkpoint.read_config(run)
        if modality.value not in config.modalities:
            raise ValueError(
                f"the run for {modality.value} was trained for {' and '.join(config.modalities)}"
            )
        network = best_network(run, config.network)
        found.append(_Trained(OWN[modality], (modality,), config, network))
    return found


def _seen(one: _Trained, modalities: Collection[Modality]) -> _Trained:
    """It for those of its modalities that val has images of. Raises ValueError if that is none."""
    own = tuple(modality for modality in one.modalities if modality in modalities)
    if not own:
        lacking = " and ".join(modality.value for modality in one.modalities)
        raise ValueError(
            f"the run was trained for {lacking} and the index has no val image of it: "
            "name its own sources with --source"
        )
    return replace(one, modalities=own)


def _choose(
    trained: Sequence[_Trained],
    cleaner: Denoiser | None,
    folder: Path,
    val: Sequence[Record],
    held_back: Sequence[Look],
    goal: Goal,
    on_image: OnPhase,
) -> tuple[dict[str, float], dict[Modality, Calibration]]:
    """The graphs' parity with the networks, and the numbers that images give which taught nothing:
    what was held back where there is any of that modality, else validation images."""
    bundle = open_bundle(folder)
    model = model_of(bundle, "export")
    engine = OnnxEngine(bundle)
    recorder = DenoiserInputs(engine, model)
    parity: dict[str, float] = {}
    try:
        canvases = _canvases(val, recorder, model)
        for one in trained:
            own = [canvas for modality, canvas in canvases if modality in one.modalities]
            graphs = RenamedStages(engine, bundle.networks[one.name].stages)
            compared = compare(TorchEngine(one.network), graphs, own, one.config.network.geometry)
            parity |= {f"{one.name}.{key}": value for key, value in compared.items()}
        if cleaner is not None:
            for stage, noisy in recorder.noisy.items():
                parity |= compare_denoiser(cleaner, engine, noisy, stage)
        judged = {one.record.modality for one in held_back}
        rest = [record for record in val if record.modality not in judged]
        looks = [*held_back, *look_at(engine, model, rest, partial(on_image, "calibrate"))]
    finally:
        engine.close()
    free = {source for one in trained for source in one.config.class_free}
    return parity, {
        modality: calibrate(
            [one for one in looks if one.record.modality is modality],
            goal.sensitivity, free, goal.false_positives[modality],
        )
        for modality in model.modalities
    }  # fmt: skip


def _measure(
    folder: Path, records: Sequence[Record], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """The groups' figures with n and interval; the images themselves stay out."""
    with Reader.open(folder) as reader:
        terms = Terms(roles_of(open_bundle(folder).manifest))
        measured = as_dict(evaluate(reader, records, progress=progress, terms=terms))
    return {key: measured[key] for key in ("groups", "pairs")}


def _draft(trained: Sequence[_Trained], out: Path, name: str, version: str) -> dict[str, Any]:
    """The manifest, its numbers still to be chosen."""
    return {
        "schema": 2,
        "kind": KIND,
        "name": name,
        "version": version,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "classes": ["benign", "malignant"],
        "networks": {one.name: _network(one, out) for one in trained},
        "modalities": {
            modality.value: {
                "network": one.name,
                "finding_threshold": 0.5,
                "score": {
                    "rule": RULE,
                    "head_weight": 0.5,
                    "region_floor": LOWEST,
                    "calibration": {"slope": 1.0, "intercept": 0.0},
                },
                "operating_point": 0.5,
            }
            for one in trained
            for modality in one.modalities
        },
    }


def _network(one: _Trained, out: Path) -> dict[str, Any]:
    config = one.config
    inputs = stage_inputs(config.network.geometry, config.network.fpn_channels)
    stages = {
        stage: _bounded(export_stage(module, inputs[stage], out / f"{one.name}.{stage}.onnx"))
        for stage, module in (
            ("trunk", TrunkStage(one.network)),
            ("heads", HeadsStage(one.network)),
            ("masks", MasksStage(one.network)),
        )
    }
    return {
        "stages": stages,
        "geometry": config.network.geometry.to_manifest(),
        "normalisation": {
            "percentiles": list(config.percentiles),
            "mean": config.mean,
            "std": config.std,
        },
    }


def _add_denoiser(
    manifest: dict[str, Any], trained: Sequence[_Trained], cleaner: Denoiser, folder: Path
) -> None:
    """Raises ValueError if no network reads mammograms or the input's size does not fit."""
    for one in trained:
        if Modality.MG in one.modalities:
            size = one.config.network.geometry.input_size
            entry = export_denoiser(cleaner, size, folder, f"{one.name}.{STAGE}.onnx")
            manifest["networks"][one.name]["stages"][STAGE] = _bounded(entry)
            manifest["modalities"][Modality.MG.value]["denoise"] = STAGE
            return
    raise ValueError("the denoiser is for mammograms, and the bundle reads none")


def _bounded(entry: dict[str, Any]) -> dict[str, Any]:
    """A stage's entry with the bounds of what a plan's answers may be off by."""
    named = {name: TOLERANCES[name] for name in entry["outputs"] if name in TOLERANCES}
    return {**entry, "tolerances": named}


def _enter(
    manifest: dict[str, Any], chosen: dict[Modality, Calibration], goal: Goal, on: str
) -> None:
    reached = {}
    for modality, own in chosen.items():
        score: dict[str, Any] = {
            "rule": RULE,
            "head_weight": own.scoring.head_weight,
            "region_floor": own.scoring.region_floor,
            "calibration": own.scoring.calibration and asdict(own.scoring.calibration),
        }
        reached[modality.value] = _reached(own.image)
        if own.scoring.breast is not None and own.breast is not None:
            score["breast"] = asdict(own.scoring.breast)
            reached[f"{modality.value} breasts"] = _reached(own.breast)
        manifest["modalities"][modality.value].update(
            finding_threshold=own.shown.threshold,
            score=score,
            # Not rounded: it lies midway between two scores, which may be closer than any rounding.
            operating_point=own.scoring.operating_point,
        )
    manifest["findings_chosen"] = {
        "on": on,
        "for": "at most so many false positives an image: "
        + ", ".join(f"{m.value} {goal.false_positives[m]:g}" for m in chosen),
        "reached": {
            m.value: {k: round(v, 4) for k, v in asdict(own.shown).items() if k != "threshold"}
            for m, own in chosen.items()
        },
    }
    manifest["operating_points_chosen"] = {
        "on": on,
        "for": f"sensitivity of at least {goal.sensitivity:g} of each modality",
        "reached": reached,
    }


def _reached(judged: Judged) -> dict[str, Any]:
    return {
        "n": judged.n,
        "malignant": judged.malignant,
        "auc": round(judged.auc, 4),
        "tpr": round(judged.point.tpr, 4),
        "tnr": round(judged.point.tnr, 4),
    }


def _canvases(
    records: Sequence[Record], engine: Engine, model: BundleModel
) -> list[tuple[Modality, NDArray[np.float32]]]:
    """Real images, spread over the list so that both modalities are among them."""
    step = -(-len(records) // PARITY_IMAGES)
    images = [read_image(r.image.read_bytes(), r.modality) for r in records[::step]]
    remove = denoiser(engine, model, 2)
    return [(i.modality, prepare(i, model, remove, Stopwatch()).canvas) for i in images]
