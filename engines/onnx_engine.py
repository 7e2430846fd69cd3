"""The engine for machines without a GPU: onnxruntime on the CPU."""

import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from mammosono.engines.bundle import Bundle, Stage, TensorSpec, read_stage
from mammosono.engines.checks import check_finite, check_names, misfit, outlived
from mammosono.engines.errors import BundleError, EngineFault, EngineUnavailable
from mammosono.engines.interface import DeviceTensor, Engine, Tensor

_ORT_TYPES = {
    "float32": "tensor(float)",
    "float16": "tensor(float16)",
    "float64": "tensor(double)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
    "int8": "tensor(int8)",
    "uint8": "tensor(uint8)",
    "bool": "tensor(bool)",
}


class OnnxEngine(Engine):
    """Runs a bundle's stages with onnxruntime, 1.10 (the last for Python 3.6) or newer."""

    def __init__(self, bundle: Bundle, threads: Optional[int] = None) -> None:
        """Load every stage of `bundle`.

        threads: that compute one stage; all the cores this process may use if None.

        Raises EngineUnavailable if onnxruntime is not installed or cannot load a stage,
        BundleError if a stage's bytes changed since the bundle was opened or if its graph has
        other inputs and outputs than the manifest says.
        """
        self._ort = _import_onnxruntime()
        self.runtime = "onnxruntime %s cpu" % self._ort.__version__
        options = _session_options(self._ort, _usable_cores() if threads is None else threads)
        self._stages = bundle.stages
        self._sessions = {
            name: _load(self._ort, stage, options) for name, stage in bundle.stages.items()
        }
        self._kept: Dict[str, List[DeviceTensor]] = {}  # by the stage that made them

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> Dict[str, Tensor]:
        spec = self._spec(stage, inputs, keep)
        binding = self._sessions[stage].io_binding()
        # `feeds` holds the arrays alive: onnxruntime reads them where they are.
        feeds = {name: self._feed(spec, name, inputs[name]) for name in spec.inputs}
        for name, feed in feeds.items():
            binding.bind_ortvalue_input(name, feed)
        outputs: Dict[str, Tensor] = {}
        for name, (dtype, shape) in spec.outputs.items():
            if name in keep:
                binding.bind_output(name, "cpu")  # onnxruntime's own memory, reused by its arena
            else:
                outputs[name] = array = np.empty(shape, dtype)  # written in place by the graph
                binding.bind_ortvalue_output(name, self._ort.OrtValue.ortvalue_from_numpy(array))

        self._kept.pop(stage, None)
        try:
            self._sessions[stage].run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exceptions have no other base
            raise EngineFault(
                "stage %s: %s failed (%s); if it happens again, export the bundle anew"
                % (stage, self.runtime, type(error).__name__)
            ) from error
        check_finite(stage, outputs)

        # get_outputs answers in the order of binding, which is the manifest's.
        values = binding.get_outputs()
        for index, (name, (_, shape)) in enumerate(spec.outputs.items()):
            if name in keep:
                outputs[name] = tensor = DeviceTensor(values[index], shape)
                self._kept.setdefault(stage, []).append(tensor)
        binding.clear_binding_inputs()  # a kept output keeps its binding, not its inputs
        return outputs

    def close(self) -> None:
        self._sessions = {}
        self._kept = {}

    def _spec(self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str]) -> Stage:
        if not self._sessions:
            raise EngineFault("the engine is closed; open the bundle again")
        return check_names(self._stages, stage, inputs, keep)

    def _feed(self, stage: Stage, name: str, value: Tensor) -> Any:
        """The OrtValue over `value`'s own memory. Copies only an array that is not C-ordered."""
        dtype, shape = stage.inputs[name]
        if isinstance(value, DeviceTensor):
            # By identity, so the reuse of a tensor that a device engine would have overwritten
            # fails here too, where the tests run.
            if not any(value is kept for tensors in self._kept.values() for kept in tensors):
                raise outlived(stage, name)
            fits = value.shape == shape and value.handle.data_type() == _ORT_TYPES[dtype]
        else:
            fits = value.shape == shape and value.dtype == np.dtype(dtype)
        if not fits:
            raise misfit(stage, name, value)
        if isinstance(value, DeviceTensor):
            return value.handle
        return self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value))


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            "onnxruntime is not installed or does not start; install it with pip"
        ) from error
    return onnxruntime


def _usable_cores() -> int:
    # onnxruntime's own default counts the machine's cores, not those the service was given.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _session_options(ort: Any, threads: int) -> Any:
    if threads < 1:
        raise ValueError("threads must be at least 1, not %d" % threads)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # The graphs are chains of large convolutions: nothing to gain from running nodes in parallel.
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Spinning threads burn the core that denoises the next image. Measured on two cores, twenty
    # 64-channel convolutions beside a box-filter loop: without spinning the network is 8 % faster
    # and the filter gets 35 % more done; alone, no difference.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Static shapes: the arena stops growing after the first run, and later runs take no page
    # faults. The memory pattern would add one block of the peak's size on top of the chunks that
    # the first run left in the arena (measured: 5 MB of 148 more resident, no time gained).
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    # Fatal only: every error reaches the caller as an exception; the log need not repeat it.
    options.log_severity_level = 4
    return options


def _load(ort: Any, stage: Stage, options: Any) -> Any:
    # From the bytes that were hashed, not from the path: the file cannot change in between.
    data = read_stage(stage)
    try:
        session = ort.InferenceSession(
            data, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's exceptions have no other base
        raise EngineUnavailable(
            "stage %s: onnxruntime %s cannot load it (%s); install a newer onnxruntime or export "
            "the bundle at opset 13" % (stage.name, ort.__version__, type(error).__name__)
        ) from error
    if not (
        _agree(session.get_inputs(), stage.inputs) and _agree(session.get_outputs(), stage.outputs)
    ):
        raise BundleError(
            "%s: its inputs and outputs are not the manifest's; export the bundle anew"
            % os.path.basename(stage.path)
        )
    return session


def _agree(nodes: Sequence[Any], tensors: Mapping[str, TensorSpec]) -> bool:
    if {node.name for node in nodes} != set(tensors):
        return False
    for node in nodes:
        dtype, shape = tensors[node.name]
        if node.type != _ORT_TYPES[dtype] or len(node.shape) != len(shape):
            return False
        # A dimension that the exporter left without a number is checked when the stage runs.
        if any(isinstance(n, int) and n != shape[axis] for axis, n in enumerate(node.shape)):
            return False
    return True
