"""NVIDIA's `tensorrt` without a GPU: same names, real numerics.

`fake_tensorrt(generation, gpu)` is a module with the runtime half of TensorRT's Python API as one
generation has it, and nothing that generation does not have (test_trt_surface.py holds it
against NVIDIA's own binding module). A plan is `fake_plan(onnx)`: a header line and the ONNX
bytes, which onnxruntime computes on what lies in the fake device memory.

Device memory is tests/fake_gpu.py's; `installed` puts both where the engine imports them from.

Python 3.6 clean: the engine that runs on it is tried under 3.6 as well.
"""
# ruff: noqa: UP004, UP006, UP031, UP035, UP045, B905

import contextlib
import enum
import json
import sys
import types
import warnings
import weakref
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import numpy as np
from fake_gpu import Gpu, fake_pycuda

GENERATIONS = ("8.2", "8.6", "10", "11")
VERSIONS = {"8.2": "8.2.1.8", "8.6": "8.6.1", "10": "10.3.0", "11": "11.4.0.106"}

_MAGIC = "fake plan"


class _Enum(enum.Enum):
    """As pybind11 makes them: an int only where it is asked for one."""

    def __int__(self) -> int:
        return int(self.value)


DTYPES = {
    "8.2": ("FLOAT", "HALF", "INT8", "INT32", "BOOL"),
    "8.6": ("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8"),
    "10": ("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8", "BF16", "INT64", "INT4"),
    "11": (
        *("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8", "BF16", "INT64", "INT4"),
        *("FP4", "E8M0"),
    ),
}

_ORT_TYPES = {
    "tensor(float)": ("FLOAT", np.float32),
    "tensor(float16)": ("HALF", np.float16),
    "tensor(int8)": ("INT8", np.int8),
    "tensor(int32)": ("INT32", np.int32),
    "tensor(int64)": ("INT64", np.int64),
    "tensor(uint8)": ("UINT8", np.uint8),
    "tensor(bool)": ("BOOL", np.bool_),
}


def fake_plan(onnx: bytes, generation: str = "8.2", scratch: int = 4096) -> bytes:
    """A plan that `Runtime.deserialize_cuda_engine` of the same generation takes.

    scratch: bytes of device memory that a context of it needs.
    """
    header = {"magic": _MAGIC, "version": VERSIONS[generation], "scratch": scratch}
    return json.dumps(header).encode("ascii") + b"\n" + onnx


class _Tensor(NamedTuple):
    name: str
    dtype: str
    numpy: Any
    shape: Tuple[int, ...]
    is_input: bool

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * int(np.dtype(self.numpy).itemsize)


class _Program(object):
    """A deserialised plan: onnxruntime over the fake device memory."""

    def __init__(self, gpu: Gpu, onnx: bytes, scratch: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.gpu = gpu
        self.scratch = scratch
        self.session = onnxruntime.InferenceSession(
            onnx, options, providers=["CPUExecutionProvider"]
        )
        self.tensors = [
            _Tensor(node.name, *_ORT_TYPES[node.type], tuple(node.shape), is_input)
            for nodes, is_input in (
                (self.session.get_inputs(), True),
                (self.session.get_outputs(), False),
            )
            for node in nodes
        ]

    def tensor(self, name: str) -> _Tensor:
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def enqueue(self, addresses: Dict[str, int], scratch: Tuple[int, int], stream: int) -> bool:
        address, size = scratch
        unbound = any(not addresses.get(tensor.name) for tensor in self.tensors)
        if self.gpu.refuse or unbound or size < self.scratch:
            return False  # TensorRT logs and answers False; it does not raise

        def compute() -> None:
            if self.scratch:
                # A kernel's temporary values: an output that shares these bytes is lost.
                self.gpu.view(address, self.scratch)[...] = 0x5A
            values = {}
            for tensor in self.tensors:
                view = self.gpu.view(addresses[tensor.name], tensor.nbytes)
                if tensor.is_input:
                    values[tensor.name] = view.view(tensor.numpy).reshape(tensor.shape).copy()
            outputs = [tensor for tensor in self.tensors if not tensor.is_input]
            answers = self.session.run([tensor.name for tensor in outputs], values)
            for tensor, answer in zip(outputs, answers):
                view = self.gpu.view(addresses[tensor.name], tensor.nbytes)
                view[...] = np.ascontiguousarray(answer).reshape(-1).view(np.uint8)

        self.gpu.enqueue(stream, compute)
        self.gpu.enqueued.append(dict(addresses))
        return True


def _deprecated(what: str) -> None:
    warnings.warn("Use %s instead." % what, DeprecationWarning, stacklevel=3)


def fake_tensorrt(generation: str, gpu: Gpu) -> Any:
    """A module as `tensorrt` of that generation: its runtime half.

    The builder half is put on the same module by tests/fake_trt_builder.py.
    """
    trt: Any = types.ModuleType("tensorrt")
    trt.__version__ = VERSIONS[generation]
    members = {"BF16": 7, "INT64": 8, "INT4": 9, "FP4": 10, "E8M0": 11}
    members.update({"FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3, "BOOL": 4, "UINT8": 5, "FP8": 6})
    trt.DataType = _Enum("DataType", [(name, members[name]) for name in DTYPES[generation]])
    for alias, name in (
        *(("float32", "FLOAT"), ("float16", "HALF"), ("int8", "INT8"), ("int32", "INT32")),
        *(("bool", "BOOL"), ("uint8", "UINT8"), ("int64", "INT64")),
    ):
        if name in DTYPES[generation]:
            setattr(trt, alias, trt.DataType[name])
    _add_logger(trt)
    if generation != "8.2":
        trt.TensorIOMode = _Enum("TensorIOMode", [("NONE", 0), ("INPUT", 1), ("OUTPUT", 2)])
    if generation in ("10", "11"):
        trt.ExecutionContextAllocationStrategy = _Enum(
            "ExecutionContextAllocationStrategy",
            [("STATIC", 0), ("ON_PROFILE_CHANGE", 1), ("USER_MANAGED", 2)],
        )

    class IHostMemory(bytes):
        """Bytes that TensorRT owns; the real one has the buffer protocol, `nbytes` and no more."""

        @property
        def nbytes(self) -> int:
            return len(self)

    trt.IHostMemory = IHostMemory
    trt.IExecutionContext = _context_class(generation)
    trt.ICudaEngine = _engine_class(trt, generation, gpu)
    trt.Runtime = _runtime_class(trt, generation, gpu)
    return trt


def _add_logger(trt: Any) -> None:
    severity = _Enum(
        "Severity",
        [("INTERNAL_ERROR", 0), ("ERROR", 1), ("WARNING", 2), ("INFO", 3), ("VERBOSE", 4)],
    )

    class ILogger(object):
        """To be subclassed with `log(severity, message)`."""

        Severity = severity

        def __init__(self) -> None:
            self._started = True  # pybind11: a subclass must call this one

        def log(self, severity: Any, msg: str) -> None:
            raise RuntimeError("Tried to call pure virtual function ILogger::log")

    class Logger(ILogger):
        """Writes to stderr what is as grave as `min_severity` or graver."""

        def __init__(self, min_severity: Any = severity.WARNING) -> None:
            ILogger.__init__(self)
            self.min_severity = min_severity

        def log(self, severity: Any, msg: str) -> None:
            if int(severity) <= int(self.min_severity):
                sys.stderr.write("[TRT] [%s] %s\n" % (severity.name[0], msg))

    for member in severity:
        setattr(Logger, member.name, member)
    trt.ILogger, trt.Logger = ILogger, Logger


def _runtime_class(trt: Any, generation: str, gpu: Gpu) -> Any:
    class Runtime(object):
        def __init__(self, logger: Any) -> None:
            if not getattr(logger, "_started", False):
                raise TypeError("ILogger.__init__() must be called when overriding __init__")
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
            gpu.need_context("deserialize_cuda_engine")
            header, _, onnx = bytes(serialized_engine).partition(b"\n")
            try:
                plan = json.loads(header.decode("ascii"))
            except ValueError:
                plan = {}
            if plan.get("magic") != _MAGIC or plan.get("version") != trt.__version__:
                error = trt.ILogger.Severity.ERROR
                self._logger.log(error, "The engine plan file is not compatible, please rebuild.")
                return None
            return trt.ICudaEngine._of(_Program(gpu, onnx, plan["scratch"]))

        if generation != "8.2":
            engine_host_code_allowed = False

    return Runtime


def _engine_class(trt: Any, generation: str, gpu: Gpu) -> Any:
    bindings, named = generation in ("8.2", "8.6"), generation != "8.2"

    class ICudaEngine(object):
        def __init__(self) -> None:
            raise TypeError("ICudaEngine: No constructor defined!")

        @classmethod
        def _of(cls, program: _Program) -> Any:
            engine = object.__new__(cls)
            engine._program = program
            gpu.engines.add(engine)
            return engine

        def _context(self, scratch: Any) -> Any:
            gpu.need_context("create_execution_context")
            return trt.IExecutionContext._of(self, scratch)

        def _at(self, index: int) -> _Tensor:
            tensor: _Tensor = self._program.tensors[index]
            return tensor

        if bindings:

            @property
            def num_bindings(self) -> int:
                if named:
                    _deprecated("num_io_tensors")
                return len(self._program.tensors)

            def get_binding_name(self, index: int) -> str:
                if named:
                    _deprecated("get_tensor_name")
                return self._at(index).name

            def get_binding_index(self, name: str) -> int:
                if named:
                    _deprecated("name of the tensor")
                names = [tensor.name for tensor in self._program.tensors]
                return names.index(name) if name in names else -1

            def get_binding_dtype(self, index: int) -> Any:
                if named:
                    _deprecated("get_tensor_dtype")
                return trt.DataType[self._at(index).dtype]

            def get_binding_shape(self, index: int) -> Tuple[int, ...]:
                if named:
                    _deprecated("get_tensor_shape")
                return self._at(index).shape

            def binding_is_input(self, index: int) -> bool:
                if named:
                    _deprecated("get_tensor_mode")
                return self._at(index).is_input

        if named:

            @property
            def num_io_tensors(self) -> int:
                return len(self._program.tensors)

            def get_tensor_name(self, index: int) -> str:
                return self._at(index).name

            def get_tensor_dtype(self, name: str) -> Any:
                return trt.DataType[self._program.tensor(name).dtype]

            def get_tensor_shape(self, name: str) -> Tuple[int, ...]:
                return self._program.tensor(name).shape

            def get_tensor_mode(self, name: str) -> Any:
                mode = trt.TensorIOMode
                return mode.INPUT if self._program.tensor(name).is_input else mode.OUTPUT

        if generation in ("8.2", "8.6"):

            def create_execution_context(self) -> Any:
                return self._context(None)

        else:

            def create_execution_context(self, strategy: Any = None) -> Any:
                choices = trt.ExecutionContextAllocationStrategy
                return self._context((0, 0) if strategy is choices.USER_MANAGED else None)

        if generation != "11":

            def create_execution_context_without_device_memory(self) -> Any:
                if generation == "10":
                    _deprecated("create_execution_context")
                return self._context((0, 0))

            @property
            def device_memory_size(self) -> int:
                if generation == "10":
                    _deprecated("device_memory_size_v2")
                return int(self._program.scratch)

        if generation in ("10", "11"):

            @property
            def device_memory_size_v2(self) -> int:
                return int(self._program.scratch)

    return ICudaEngine


def _context_class(generation: str) -> Any:
    class IExecutionContext(object):
        def __init__(self) -> None:
            raise TypeError("IExecutionContext: No constructor defined!")

        @classmethod
        def _of(cls, engine: Any, scratch: Optional[Tuple[int, int]]) -> Any:
            context = object.__new__(cls)
            context._engine = engine  # kept alive, as pybind11 was told to
            context._addresses = {}
            program = engine._program
            if scratch is None:  # TensorRT's own
                block = program.gpu.allocate(max(program.scratch, 1))
                scratch = (block, program.scratch)
                weakref.finalize(context, program.gpu._blocks.pop, block)
            context._scratch = scratch
            program.gpu.contexts.add(context)
            return context

        def _set_scratch(self, memory: int, size: int) -> None:
            self._scratch = (memory, size)

        def _set_device_memory(self, memory: int) -> None:
            # No size is told: TensorRT trusts that it is enough, and so writes past its end.
            self._set_scratch(memory, self._engine._program.scratch)

        device_memory = property(None, _set_device_memory)

        if generation in ("8.2", "8.6"):

            def execute_async_v2(
                self, bindings: List[int], stream_handle: int, input_consumed: Any = None
            ) -> bool:
                if generation == "8.6":
                    _deprecated("execute_async_v3")
                program = self._engine._program
                if len(bindings) != len(program.tensors):
                    return False
                addresses = {t.name: int(a) for t, a in zip(program.tensors, bindings)}
                return bool(program.enqueue(addresses, self._scratch, stream_handle))

        if generation in ("10", "11"):

            def set_device_memory(self, memory: int, size: int) -> None:
                self._set_scratch(memory, size)

        if generation != "8.2":

            def set_tensor_address(self, name: str, memory: int) -> bool:
                if name not in {tensor.name for tensor in self._engine._program.tensors}:
                    return False
                self._addresses[name] = memory
                return True

            def execute_async_v3(self, stream_handle: int) -> bool:
                program = self._engine._program
                return bool(program.enqueue(self._addresses, self._scratch, stream_handle))

    return IExecutionContext


# -- both, installed


def surface(value: Any) -> Set[str]:
    """Public names that a fake class defines itself; of an enumeration, its members."""
    if isinstance(value, type) and issubclass(value, enum.Enum):
        return set(value.__members__)
    return {
        name
        for kind in value.__mro__
        if kind.__module__.startswith("fake_trt")  # tests/fake_trt_builder.py as well
        for name in vars(kind)
        if not name.startswith("_")
    }


@contextlib.contextmanager
def installed(generation: str, gpu: Optional[Gpu] = None) -> Iterator[Gpu]:
    """`import tensorrt` and `import pycuda.driver` find the fakes, over one Gpu."""
    gpu = gpu or Gpu()
    pycuda: Any = types.ModuleType("pycuda")
    pycuda.driver = fake_pycuda(gpu)
    modules = {
        "tensorrt": fake_tensorrt(generation, gpu),
        "pycuda": pycuda,
        "pycuda.driver": pycuda.driver,
    }
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield gpu
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
