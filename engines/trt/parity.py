"""Check of a freshly built plan against its graph, on tensors stored in the bundle.

They are named `<case>/<stage>/in/<tensor>` and `<case>/<stage>/out/<tensor>`; an input that is
not stored is the tensor of that name which an earlier stage of the same case kept on the device.
"""

import io
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mammosono.engines.bundle import Bundle, Stage, read_file
from mammosono.engines.errors import EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.trt.tolerances import Arrays, Figures, measure, outside, worst


class PlanCheck(NamedTuple):
    """figures: the worst over the cases. reason: why the plan cannot be used, "" if it can."""

    stage: str
    figures: Figures
    reason: str


def read_tensors(bundle: Bundle) -> Dict[str, np.ndarray]:
    """The stored tensors by name.

    Raises EngineUnavailable if there are none, or none for some stage, and BundleError if the
    file is missing or is not the manifest's.
    """
    if bundle.parity is None:
        raise _untried("the bundle holds no tensors to try a plan on")
    try:
        with np.load(io.BytesIO(read_file(bundle.parity)), allow_pickle=False) as archive:
            tensors = {name: archive[name] for name in archive.files}
    except (ValueError, KeyError, OSError) as error:
        raise _untried("the bundle's tensors to try a plan on cannot be read") from error
    for stage in bundle.stages:
        if not any(name.split("/")[1:3] == [stage, "out"] for name in tensors):
            raise _untried("the bundle holds no tensors to try stage %s on" % stage)
    return tensors


def stages_in_order(bundle: Bundle) -> List[Stage]:
    """Every stage behind those whose outputs it reads; the manifest's order has no meaning.

    Raises EngineUnavailable if stages read each other in a circle.
    """
    left = [bundle.stages[name] for name in sorted(bundle.stages)]
    ordered: List[Stage] = []
    while left:
        ready = [stage for stage in left if not any(reads(stage, other) for other in left)]
        if not ready:
            raise EngineUnavailable("the bundle's stages read each other; export the bundle anew")
        ordered += ready
        left = [stage for stage in left if stage not in ready]
    return ordered


def reads(stage: Stage, other: Stage) -> bool:
    """Whether an input of `stage` is an output of `other`, of the same network."""
    return stage.network == other.network and bool(set(stage.inputs) & set(other.outputs))


def try_plans(
    engine: Engine, bundle: Bundle, tensors: Arrays, trying: Callable[[str], None]
) -> List[PlanCheck]:
    """Run every stage on every case that reaches it, and compare; a verdict each, in order.

    One verdict alone if the device was lost over a stage: what was to come could not be tried.
    trying: called with the stage before it is run, since a bad plan may take the process with it.
    Raises EngineUnavailable if the tensors do not fit the bundle.
    """
    stages = stages_in_order(bundle)
    figures: Dict[str, Figures] = {stage.name: {} for stage in stages}
    reasons: Dict[str, str] = {}
    for case in sorted({name.split("/")[0] for name in tensors}):
        kept: Dict[str, Dict[str, Tensor]] = {}  # by network
        for stage in stages:
            if not _reached(stage, case, tensors):
                continue
            inputs = _inputs(stage, case, tensors, kept.setdefault(stage.network, {}))
            if inputs is None:
                reasons.setdefault(stage.name, "a stage before it failed")
                continue
            trying(stage.name)
            try:
                outputs, more = _run(engine, stage, inputs, _read_later(stage, stages))
            except EngineLost as error:
                return [PlanCheck(stage.name, {}, str(error))]
            except EngineFault as error:
                reasons.setdefault(stage.name, str(error))
                continue
            kept[stage.network].update(more)
            wanted = _stored(stage, "out", stage.outputs, case, tensors)
            figures[stage.name] = worst(
                figures[stage.name], measure(wanted, outputs, stage.tolerances)
            )
    return [
        PlanCheck(
            stage.name,
            figures[stage.name],
            reasons.get(stage.name) or outside(figures[stage.name], stage.tolerances),
        )
        for stage in stages
    ]


def _run(
    engine: Engine, stage: Stage, inputs: Mapping[str, Tensor], keep: Sequence[str]
) -> Tuple[Dict[str, np.ndarray], Dict[str, Tensor]]:
    """Every output as an array, which the engine has found finite; and those to keep, kept."""
    outputs = {name: np.asarray(value) for name, value in engine.run(stage.name, inputs).items()}
    again = engine.run(stage.name, inputs, keep) if keep else {}
    return outputs, {name: again[name] for name in keep}


def _reached(stage: Stage, case: str, tensors: Arrays) -> bool:
    """Not every image needs every stage: an ultrasound has no use for a mammogram's."""
    return any(name.startswith("%s/%s/out/" % (case, stage.name)) for name in tensors)


def _inputs(
    stage: Stage, case: str, tensors: Arrays, kept: Mapping[str, Tensor]
) -> Optional[Dict[str, Tensor]]:
    """What to feed; None if an earlier stage, which had to make some of it, failed."""
    inputs: Dict[str, Tensor] = dict(_stored(stage, "in", stage.inputs, case, tensors))
    for name in stage.inputs:
        if name in kept:
            inputs.setdefault(name, kept[name])
    return inputs if len(inputs) == len(stage.inputs) else None


def _stored(
    stage: Stage, side: str, specs: Mapping[str, Tuple[str, Tuple[int, ...]]],
    case: str, tensors: Arrays,
) -> Dict[str, np.ndarray]:  # fmt: skip
    found: Dict[str, np.ndarray] = {}
    for name, (dtype, shape) in specs.items():
        value = tensors.get("%s/%s/%s/%s" % (case, stage.name, side, name))
        if value is None:
            continue
        if value.shape != shape:
            raise _untried("a tensor to try stage %s on has another shape" % stage.name)
        found[name] = np.ascontiguousarray(value, dtype)
    return found


def _read_later(stage: Stage, stages: Sequence[Stage]) -> List[str]:
    readers = [other for other in stages if reads(other, stage)]
    return [name for name in stage.outputs if any(name in other.inputs for other in readers)]


def _untried(what: str) -> EngineUnavailable:
    return EngineUnavailable("%s; export the bundle anew" % what)
