"""Checks of the bundle, and of the TensorRT plans built from it on this device."""

from __future__ import annotations

from pathlib import Path

from mammosono.appliance.doctor.check_result import CheckResult, fail, failed, note, ok
from mammosono.appliance.doctor.interpreter import Interpreter
from mammosono.appliance.errors import ModelUnavailable
from mammosono.appliance.pipeline.model import SHIPPED, model_of
from mammosono.engines.bundle import Bundle, open_bundle, read_file, require_pinned
from mammosono.engines.errors import BundleError
from mammosono.engines.trt.plan import plan_state, plans_of

BUNDLE = "Bundle"
PLANS = "Plans"

_BUILD = (
    "on the host: sudo systemctl start mammosono-build-engine\n"
    "or where the engine runs: mammosono-tools build-engine BUNDLE"
)
_AS_THE_SERVICE = "ask again as the user that the service runs as, or build as that user"


def check_bundle(
    folder: Path | None, pinned: str | None = None
) -> tuple[CheckResult, Bundle | None]:
    """Every hash is computed anew; None if the bundle cannot be used. pinned: its hash must be."""
    try:
        bundle = open_bundle(folder or SHIPPED)
        require_pinned(bundle, pinned)
        variants = [file for stage in bundle.stages.values() for file in stage.variants.values()]
        for file in (*variants, *([bundle.parity] if bundle.parity else [])):
            read_file(file)
        model_of(bundle, runtime="")
    except (BundleError, ModelUnavailable) as error:
        return failed(BUNDLE, error), None
    observation = (
        f"{bundle.name} {bundle.version}; "
        f"reads {' and '.join(bundle.modalities)}, {len(bundle.stages)} stages, every hash holds; "
        f"sha256 {bundle.sha256}{', as pinned' if pinned else ''}"
    )
    return ok(BUNDLE, observation), bundle


def plans(
    bundle: Bundle | None, folder: Path | None, interpreter: Interpreter, *, tensorrt: bool
) -> CheckResult:
    """folder: of the plans; the bundle's own if None. tensorrt: that they are needed."""
    if not tensorrt:
        return note(PLANS, "none are needed: onnxruntime runs the graphs themselves")
    if bundle is None or interpreter.device is None:
        return note(PLANS, "not looked at: that needs the bundle and the GPU")
    where = str(folder or plans_of(bundle))
    stages_of: dict[str, list[str]] = {}
    for name, stage in bundle.stages.items():
        # "stage trunk: it has no plan; run: ..."
        state = plan_state(where, stage, interpreter.device).removeprefix(f"stage {name}: ")
        stages_of.setdefault(state.partition("; ")[0], []).append(name)
    fit = stages_of.pop("", [])
    if stages_of:
        wrong = [f"{', '.join(names)}: {reason}" for reason, names in stages_of.items()]
        others = any("another user" in reason for reason in stages_of)
        return fail(PLANS, "; ".join(wrong), _AS_THE_SERVICE if others else _BUILD)
    return ok(PLANS, f"{', '.join(fit)}: built on this device, and fit")
