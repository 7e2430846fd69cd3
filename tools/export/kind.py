"""The kind network's stage in a bundle: exported from a run, tried against torch, entered."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.kind import CLASSES, INPUT, NETWORK, SIZE, look
from mammosono.engines.bundle import MANIFEST, open_bundle, write_manifest
from mammosono.engines.interface import Engine
from mammosono.tools.export.graphs import export_stage
from mammosono.tools.export.half_precision import add_half_precision
from mammosono.tools.export.parity import BOUND, ParityError
from mammosono.tools.export.probes import alone
from mammosono.tools.kind.network import KindNetwork
from mammosono.tools.kind.training import best_kind

TOLERANCES = {"kind": {"largest": 0.05}}
"""Probabilities."""


def enter_kind(manifest: dict[str, Any], run: Path, folder: Path) -> KindNetwork:
    """Write the graph of a run's best network into `folder`, and it into the manifest.

    Raises BadRun, ValueError if the run's `least` was not chosen or the bundle cannot hold it.
    """
    if manifest["schema"] == 1:
        raise ValueError("a bundle of schema 1 holds one network; export it anew")
    network, provenance = best_kind(run)
    least = provenance.get("least")
    if not least:
        raise ValueError("the run has no probabilities to stop images at; let train-kind finish")
    picture = torch.zeros(1, 2, *SIZE)
    entry = export_stage(network, {"picture": picture}, folder / f"{NETWORK}.{NETWORK}.onnx")
    stage = {**entry, "tolerances": TOLERANCES}
    manifest["networks"][NETWORK] = {"stages": {NETWORK: stage}, "training": provenance}
    manifest["image_kind"] = {
        "network": NETWORK,
        "stage": NETWORK,
        "classes": list(CLASSES),
        "input": INPUT,
        "least": least,
    }
    return network


def compare_kind(
    network: KindNetwork, engine: Engine, looks: Iterable[NDArray[np.float32]]
) -> dict[str, float]:
    """Largest difference of a probability between torch and the graph over these inputs.

    Raises ParityError above BOUND.
    """
    worst = 0.0
    for seen in looks:
        with torch.inference_mode():
            wanted = network.eval()(torch.from_numpy(seen)).numpy()
        got = np.asarray(engine.run(f"{NETWORK}.{NETWORK}", {"picture": seen})["kind"])
        # Unlike max, this keeps a NaN, which the bound then refuses.
        worst = float(np.maximum(worst, np.abs(got - wanted).max()))
    if not worst <= BOUND:
        raise ParityError(f"{NETWORK}.kind differs by {worst:.2e}, more than {BOUND:.0e}")
    return {f"{NETWORK}.{NETWORK}.kind": worst}


def check_kind(network: KindNetwork, folder: Path) -> dict[str, float]:
    """`compare_kind` of the bundle in `folder`, on phantoms and their negatives.

    Raises ParityError, BundleError.
    """
    phantoms = [demo_phantom(modality).pixels for modality in MODALITIES]
    engine = alone(open_bundle(folder))
    try:
        return compare_kind(network, engine, [look(p) for q in phantoms for p in (q, 255 - q)])
    finally:
        engine.close()


def add_kind(folder: Path, run: Path) -> dict[str, Any]:
    """Add the stage to an exported bundle, or renew it; what it reads stays as it is.

    Returns the new manifest. Raises BundleError, BadRun, ParityError, ValueError, OSError.
    """
    manifest: dict[str, Any] = copy.deepcopy(dict(open_bundle(folder).manifest))
    with TemporaryDirectory(prefix=".kind-", dir=folder.parent) as name:
        temporary = Path(name)
        for file in folder.iterdir():
            if file.is_file() and file.name != MANIFEST:
                (temporary / file.name).write_bytes(file.read_bytes())
        network = enter_kind(manifest, run, temporary)
        write_manifest(temporary, manifest)
        check_kind(network, temporary)
        manifest = add_half_precision(temporary)
        # The manifest last: until it is there, no hash fits and nobody opens half a bundle.
        for file in sorted(temporary.iterdir(), key=lambda file: file.name == MANIFEST):
            file.replace(folder / file.name)
    return manifest
