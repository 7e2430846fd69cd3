"""What a device builder needs besides the graphs: FP32 nodes, mixed graphs, parity tensors."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from mammosono.engines.bundle import Bundle, Stage, open_bundle, read_stage, write_manifest
from mammosono.engines.trt.plan import MIXED
from mammosono.tools.export.mixed import fp32_nodes, to_mixed
from mammosono.tools.export.parity_tensors import parity_tensors

PARITY = "parity.npz"


def add_half_precision(folder: Path) -> dict[str, Any]:
    """Add them to the bundle in `folder`, or renew them, and return its new manifest.

    The FP32 graphs and all numbers stay as they are; the bundle's identity changes with its
    manifest. Doing it twice gives the same bytes.
    Raises BundleError, ModelUnavailable, EngineUnavailable, EngineFault, ValueError, OSError.
    """
    bundle = open_bundle(folder)
    manifest: dict[str, Any] = copy.deepcopy(dict(bundle.manifest))
    with TemporaryDirectory(prefix=".half-", dir=folder) as name:
        temporary = Path(name)
        for network, own, stage in each_stage(bundle):
            model = onnx.load_from_string(read_stage(stage))
            names = fp32_nodes(own, model)
            file = temporary / f"{stage.name}.mixed.onnx"
            file.write_bytes(to_mixed(model, names).SerializeToString())
            if manifest["schema"] == 1:
                manifest["stages"][own].update(fp32=names, mixed=_entry(file))
            else:
                entry = manifest["networks"][network]["stages"][own]
                entry["fp32"] = names
                entry.setdefault("variants", {})[MIXED] = _entry(file)
        np.savez_compressed(temporary / PARITY, **parity_tensors(bundle))  # type: ignore[arg-type]
        manifest["parity"] = _entry(temporary / PARITY)
        # The manifest last: until it is there, the bundle is the one that it was.
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)
    write_manifest(folder, manifest)
    return manifest


def each_stage(bundle: Bundle) -> Iterator[tuple[str, str, Stage]]:
    """Its network's name, its own name in that network, and the stage."""
    for name, network in bundle.networks.items():
        for own, stage in network.stages.items():
            yield name, own, bundle.stages[stage]


def _entry(file: Path) -> dict[str, str]:
    return {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
