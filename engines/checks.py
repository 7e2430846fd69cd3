"""What every engine asks of a run before and after it: the same words, whatever the runtime."""

from typing import Any, Mapping, Sequence

import numpy as np

from mammosono.engines.bundle import Stage
from mammosono.engines.errors import EngineFault
from mammosono.engines.interface import DeviceTensor, Tensor


def check_names(
    stages: Mapping[str, Stage], stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str]
) -> Stage:
    """The stage of that name. Raises EngineFault if it, or a tensor of it, is not the bundle's."""
    spec = stages.get(stage)
    if spec is None:
        raise EngineFault("no stage %r; the bundle has %s" % (stage, _names(stages)))
    if set(inputs) != set(spec.inputs):
        raise EngineFault(
            "stage %s: given %s; it takes %s" % (stage, _names(inputs), _names(spec.inputs))
        )
    if not set(keep) <= set(spec.outputs):
        raise EngineFault(
            "stage %s: asked to keep %s; it gives %s" % (stage, _names(keep), _names(spec.outputs))
        )
    return spec


def misfit(stage: Stage, name: str, value: Tensor) -> EngineFault:
    """That an input has another shape or dtype than the stage takes."""
    dtype, shape = stage.inputs[name]
    return EngineFault(
        "stage %s: %s must be %s %s, not %s"
        % (stage.name, name, dtype, list(shape), _described(value))
    )


def outlived(stage: Stage, name: str) -> EngineFault:
    """That a kept tensor is no longer valid, or is another engine's."""
    return EngineFault(
        "stage %s: %s was kept by an earlier run or another engine; run the stage that makes it "
        "first" % (stage.name, name)
    )


def check_finite(stage: str, outputs: Mapping[str, Tensor]) -> None:
    """Raises EngineFault if a floating-point numpy output holds NaN or Inf."""
    # Kept tensors are not scanned: on a device that means fetching what is kept so as never to be
    # fetched. A NaN in a sampled row shows in the answer of the stage it feeds, which is scanned.
    for name, value in outputs.items():
        if isinstance(value, DeviceTensor) or not np.issubdtype(value.dtype, np.floating):
            continue
        if not np.isfinite(value).all():
            raise EngineFault(
                "stage %s: %s holds NaN or Inf; do not use this answer, and replace the bundle if "
                "it happens again" % (stage, name)
            )


def _described(value: Tensor) -> str:
    if isinstance(value, DeviceTensor):
        return "a kept tensor %s" % list(value.shape)
    return "%s %s" % (value.dtype, list(value.shape))


def _names(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
