"""Half precision in a bundle, for the builder on a device: names of FP32 nodes, mixed graphs, and
inputs and right answers of every stage, which a new plan is tried on where there is only numpy.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.kind import kind_of
from mammosono.appliance.pipeline.model import model_of
from mammosono.appliance.pipeline.prepare import denoiser, prepare
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import SourceImage
from mammosono.engines.bundle import Bundle, Stage, open_bundle, read_stage, write_manifest
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.trt.plan import MIXED
from mammosono.tools.export.mixed import fp32_nodes, to_mixed
from mammosono.tools.export.probes import EVERY, alone

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
            mixed = to_mixed(model, names)
            file = temporary / f"{stage.name}.mixed.onnx"
            if is_worth_storing(mixed, model):
                file.write_bytes(mixed.SerializeToString())
            written = _entry(file) if file.exists() else None
            if manifest["schema"] == 1:
                entry = manifest["stages"][own]
                entry.pop("mixed", None)
                entry.update(fp32=names, **({"mixed": written} if written else {}))
            else:
                entry = manifest["networks"][network]["stages"][own]
                entry["fp32"] = names
                others = {k: v for k, v in entry.pop("variants", {}).items() if k != MIXED}
                if written:
                    others[MIXED] = written
                if others:
                    entry["variants"] = others
        np.savez_compressed(temporary / PARITY, **parity_tensors(bundle))  # type: ignore[arg-type]
        manifest["parity"] = _entry(temporary / PARITY)
        # The manifest last: until it is there, the bundle is the one that it was.
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)
    write_manifest(folder, manifest)
    return manifest


def is_worth_storing(mixed: ModelProto, single: ModelProto) -> bool:
    """Whether half precision saves anything: a mixed graph nearly as large as the FP32 one has its
    weights in layers that are held at FP32, and such a stage is built from the FP32 graph."""
    return bool(mixed.ByteSize() < 0.9 * single.ByteSize())


def each_stage(bundle: Bundle) -> Iterator[tuple[str, str, Stage]]:
    """Its network's name, its own name in that network, and the stage."""
    for name, network in bundle.networks.items():
        for own, stage in network.stages.items():
            yield name, own, bundle.stages[stage]


def _entry(file: Path) -> dict[str, str]:
    return {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


CASES = {modality.value.lower(): modality for modality in MODALITIES}
"""By name, the modality of a phantom of the demo."""


def phantom_image(case: str) -> SourceImage:
    """One of CASES, as the appliance takes it in."""
    modality = CASES[case]
    return read_image(grey_png(demo_phantom(modality).pixels), modality)


def parity_tensors(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """`<case>/<stage>/in/<tensor>` and `<case>/<stage>/out/<tensor>`: floats float16, rows int32.

    The answers are those of the FP32 graphs to exactly the inputs as they are stored. An input
    without a tensor is what an earlier stage of the case kept under that name (the pyramid). A
    denoiser's stage has the case alone of the modality that it denoises.
    Raises ValueError if a stage was not reached or answered with more than float16 holds;
    EngineError, ModelUnavailable.
    """
    stored: dict[str, NDArray[Any]] = {}
    engine = alone(bundle)
    try:
        model = model_of(bundle, engine.runtime)
        denoisers = {own.denoiser for own in model.modalities.values()}
        for case, modality in CASES.items():
            if modality not in model.modalities:
                continue
            own = model.of(modality)
            recorder = _TensorRecorder(engine, case, stored)
            remove = denoiser(recorder, model, 1)
            prepared = prepare(phantom_image(case), model, remove, Stopwatch())
            Detector(recorder, own.geometry, own.stages).detect(prepared.canvas, EVERY)
            if model.kind is not None and prepared.shown is not None:
                kind_of(recorder, model.kind, prepared.shown)
            for stage in bundle.networks[own.network].stages.values():
                if stage in denoisers and stage != own.denoiser:
                    continue
                if not any(name.startswith(f"{case}/{stage}/out/") for name in stored):
                    raise ValueError(f"stage {stage} finds nothing to do on the {case} phantom")
    finally:
        engine.close()
    return stored


class _TensorRecorder(Engine):
    """Another engine, its float inputs rounded to float16, all that passes written down."""

    def __init__(self, engine: Engine, case: str, stored: dict[str, NDArray[Any]]) -> None:
        self.runtime = engine.runtime
        self._engine, self._case, self._stored = engine, case, stored

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        self._store(f"{self._case}/{stage}/in", inputs)
        outputs = self._engine.run(stage, {n: _rounded(v) for n, v in inputs.items()}, keep)
        self._store(f"{self._case}/{stage}/out", outputs)
        return outputs

    def _store(self, where: str, tensors: Mapping[str, Tensor]) -> None:
        for name, value in tensors.items():
            if not isinstance(value, DeviceTensor):
                self._stored[f"{where}/{name}"] = _short(value, f"{where}/{name}")

    def close(self) -> None:
        self._engine.close()


def _short(value: NDArray[Any], name: str) -> NDArray[Any]:
    if not np.issubdtype(value.dtype, np.floating):
        return value
    with np.errstate(over="ignore"):
        short = value.astype(np.float16)
    if not np.isfinite(short).all():
        raise ValueError(f"{name} does not fit into float16; such a network is not for FP16")
    return short


def _rounded(value: Tensor) -> Tensor:
    if isinstance(value, DeviceTensor) or not np.issubdtype(value.dtype, np.floating):
        return value
    return np.asarray(value.astype(np.float16).astype(value.dtype))
