"""What an engine is: named stages, named tensors, and tensors that stay on the device."""

from abc import ABC, abstractmethod
from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import numpy as np


class DeviceTensor(object):
    """A tensor that stays where the runtime put it; only the engine that made it can read it."""

    __slots__ = ("handle", "shape")

    def __init__(self, handle: Any, shape: Tuple[int, ...]) -> None:
        self.handle = handle
        self.shape = shape


Tensor = Union[np.ndarray, DeviceTensor]


class Engine(ABC):
    """Runs the stages of one bundle. Any thread may call, one at a time: see `engines.locked`."""

    runtime: str = ""
    """Name and version of the runtime, for the record: "onnxruntime 1.28.0 cpu"."""

    @abstractmethod
    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> Dict[str, Tensor]:
        """Run one stage and return every output by name.

        Outputs named in `keep` come back as DeviceTensor and can be passed to a later stage
        without a copy; the others as numpy arrays (C order, the dtype of the stage's output).
        A kept tensor stays valid until `run` is called again for the stage that made it.

        Raises EngineFault if a name, shape or dtype does not fit the stage, if a kept tensor is
        no longer valid or another engine's, if the runtime fails, or if a floating-point numpy
        output holds NaN or Inf.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back memory and device. The engine cannot be used afterwards."""
