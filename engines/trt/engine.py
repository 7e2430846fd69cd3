"""TensorRT engine: runs the plans built on this device."""

import contextlib
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np

from mammosono.engines.bundle import Bundle, Stage, TensorSpec
from mammosono.engines.checks import check_finite, check_names, misfit, outlived
from mammosono.engines.errors import EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.interface import DeviceTensor, Engine, Tensor
from mammosono.engines.trt import api_compat
from mammosono.engines.trt.device import this_device
from mammosono.engines.trt.memory import Gpu
from mammosono.engines.trt.plan import BUILD, hold, read_plan, read_sidecar


class TensorRtEngine(Engine):
    """Runs a bundle's plans on the first GPU. Any thread may call, one at a time.

    A kept output stays where the stage wrote it, and is read there by the stages after it.
    """

    def __init__(self, bundle: Bundle, plans: str) -> None:
        """Load the plan of every stage of `bundle` from the folder `plans`, and hold the folder.

        Raises EngineUnavailable, with the remedy, if TensorRT, PyCUDA, the GPU or a plan is
        missing, if a plan does not fit this device and bundle, or if memory does not suffice.
        """
        trt = api_compat.import_tensorrt()
        device = this_device()
        self._engines: Dict[str, Any] = {}
        self._stages: Dict[str, _Stage] = {}
        self._kept: Dict[str, List[DeviceTensor]] = {}  # by the stage that made them
        self._specs = bundle.stages
        with contextlib.ExitStack() as undo:
            undo.enter_context(hold(plans, exclusive=False))
            precisions = {read_sidecar(plans, name).precision for name in bundle.stages}
            self._gpu = Gpu()
            undo.callback(self._gpu.close)
            undo.callback(self._unload)
            with self._gpu.current(), _memory_suffices(self._gpu):
                for name, stage in bundle.stages.items():
                    self._engines[name] = _load(trt, stage, read_plan(plans, stage, device))
                size = max(api_compat.scratch_size(trt, made) for made in self._engines.values())
                # One for all: the stages run one after the other, on one stream.
                scratch = self._gpu.device(size)
                for name, stage in bundle.stages.items():
                    context = _context(trt, self._engines[name], scratch, size)
                    launch = api_compat.launcher(trt, self._engines[name], context)
                    self._stages[name] = _Stage(self._gpu, stage, launch)
            self._undo = undo.pop_all()
        self.runtime = "tensorrt %s %s" % (trt.__version__, "+".join(sorted(precisions)))

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> Dict[str, Tensor]:
        """As Engine.run. Raises EngineLost if the GPU itself failed: CUDA then refuses every
        later call of this process."""
        if not self._stages:
            raise EngineFault("the engine is closed; open the bundle again")
        spec = check_names(self._specs, stage, inputs, keep)
        for name in spec.inputs:
            self._check_input(spec, name, inputs[name])
        self._kept.pop(stage, None)
        loaded = self._stages[stage]
        try:
            with self._gpu.current():
                fetched = loaded.run(inputs, [name for name in spec.outputs if name not in keep])
        except self._gpu.error as error:
            raise EngineLost(
                "stage %s: the GPU failed (%s); start the engine again"
                % (stage, type(error).__name__)
            ) from error
        outputs: Dict[str, Tensor] = dict(fetched)
        check_finite(stage, outputs)
        for name in keep:
            outputs[name] = DeviceTensor(loaded.outputs[name], spec.outputs[name][1])
        self._kept[stage] = [v for v in outputs.values() if isinstance(v, DeviceTensor)]
        return {name: outputs[name] for name in spec.outputs}

    def close(self) -> None:
        self._undo.close()

    def _unload(self) -> None:
        # TensorRT's objects give back memory of the device: it must be there, and current.
        with contextlib.suppress(self._gpu.error), self._gpu.current():
            self._stages = {}
            self._engines = {}
        self._kept = {}

    def _check_input(self, spec: Stage, name: str, value: Tensor) -> None:
        dtype, shape = spec.inputs[name]
        if isinstance(value, DeviceTensor):
            # Not what this stage itself kept: this very run writes over it.
            makers = (made for stage, made in self._kept.items() if stage != spec.name)
            if not any(value is kept for made in makers for kept in made):
                raise outlived(spec, name)
            fits = (value.handle.dtype, value.shape) == (dtype, shape)
        else:
            fits = value.dtype == np.dtype(dtype) and value.shape == shape
        if not fits:
            raise misfit(spec, name, value)


class _Buffer(object):
    """Memory of a tensor: on the device, and in pinned memory if it crosses.

    Each is allocated when it is first needed, once: an input that always comes kept needs
    neither, an output that is always kept no pinned memory.
    """

    def __init__(self, gpu: Gpu, spec: TensorSpec) -> None:
        self.dtype, self.shape = spec
        self._gpu = gpu
        self._address: Optional[int] = None
        self._host: Optional[np.ndarray] = None

    @property
    def address(self) -> int:
        if self._address is None:
            size = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
            self._address = self._gpu.device(size)
        return self._address

    @property
    def host(self) -> np.ndarray:
        if self._host is None:
            self._host = self._gpu.pinned(self.shape, self.dtype)
        return self._host


class _Stage(object):
    """A loaded stage with its buffers. Used while the GPU is current."""

    def __init__(self, gpu: Gpu, spec: Stage, launch: api_compat.Launch) -> None:
        self._gpu = gpu
        self._name = spec.name
        self._launch = launch
        self._inputs = {name: _Buffer(gpu, tensor) for name, tensor in spec.inputs.items()}
        self.outputs = {name: _Buffer(gpu, tensor) for name, tensor in spec.outputs.items()}

    def run(self, inputs: Mapping[str, Tensor], fetch: Sequence[str]) -> Dict[str, np.ndarray]:
        """The outputs named in `fetch`, each in memory of its own. The others stay in theirs."""
        addresses = {name: buffer.address for name, buffer in self.outputs.items()}
        for name, value in inputs.items():
            addresses[name] = self._fed(self._inputs[name], value)
        launched = self._launch(addresses, self._gpu.stream)
        if launched:
            for name in fetch:
                self._gpu.download(self.outputs[name].host, addresses[name])
        self._gpu.wait()  # even when it was refused: the uploads read the pinned memory
        if not launched:
            raise EngineFault(
                "stage %s: TensorRT refused to run it; build its plan again: %s"
                % (self._name, BUILD)
            )
        return {name: self.outputs[name].host.copy() for name in fetch}

    def _fed(self, buffer: _Buffer, value: Tensor) -> int:
        """The device address of an input's bytes, once the stream has come so far."""
        if isinstance(value, DeviceTensor):
            address: int = value.handle.address
            return address
        np.copyto(buffer.host, value)
        self._gpu.upload(buffer.address, buffer.host)
        return buffer.address


def _load(trt: Any, stage: Stage, plan: bytes) -> Any:
    # A runtime each, kept alive by the engine it makes. Its own words, on stderr, say more than
    # the None that it answers when it refuses.
    engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineUnavailable(
            "stage %s: TensorRT %s does not take its plan; %s"
            % (stage.name, trt.__version__, BUILD)
        )
    actual = {
        (port.name, port.dtype, port.shape, port.is_input) for port in api_compat.ports(trt, engine)
    }
    wanted = {
        (name, dtype, shape, side is stage.inputs)
        for side in (stage.inputs, stage.outputs)
        for name, (dtype, shape) in side.items()
    }
    if actual != wanted:
        raise EngineUnavailable(
            "stage %s: its plan has other inputs and outputs than the manifest says; %s"
            % (stage.name, BUILD)
        )
    return engine


def _context(trt: Any, engine: Any, scratch: int, size: int) -> Any:
    context = api_compat.make_context(trt, engine, scratch, size)
    if context is None:
        raise EngineUnavailable(_NO_MEMORY)
    return context


@contextlib.contextmanager
def _memory_suffices(gpu: Gpu) -> Iterator[None]:
    try:
        yield
    except gpu.error as error:
        raise EngineUnavailable(_NO_MEMORY) from error


_NO_MEMORY = (
    "the device has too little free memory for the plans; stop other programs, switch the desktop "
    "off, or use a smaller bundle"
)
