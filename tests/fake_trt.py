"""NVIDIA's `tensorrt` and `pycuda.driver` without a GPU: same names, real numerics, stern memory.

`fake_tensorrt(generation, gpu)` is a module with the runtime half of TensorRT's Python API as one
generation has it, and nothing that generation does not have (tests/test_trt_surface.py holds both
against NVIDIA's own binding modules). A plan is `fake_plan(onnx)`: a header line and the ONNX
bytes, which onnxruntime computes on what lies in the fake device memory.

`fake_pycuda(gpu)` is `pycuda.driver` over that memory. The `Gpu` behind both refuses what a real
one would punish, often much later and elsewhere: use after free, double free, a call without a
current context, a wild address, an asynchronous copy from memory that is not pinned. Work is done
when the stream is synchronised and not before, so a forgotten synchronisation shows as a wrong
answer. `Gpu.leaks()` names what was not given back.

Python 3.6 clean: the engine that runs on these is tried under 3.6 as well.
"""
# ruff: noqa: UP004, UP006, UP031, UP035, UP045, B905

import contextlib
import enum
import itertools
import json
import sys
import threading
import types
import warnings
import weakref
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import numpy as np

GENERATIONS = ("8.2", "8.6", "10", "11")
VERSIONS = {"8.2": "8.2.1.8", "8.6": "8.6.1", "10": "10.3.0", "11": "11.4.0.106"}

_MAGIC = "fake plan"


class Gpu(object):
    """Memory, contexts and streams of one pretend GPU, and what is still held of them."""

    def __init__(
        self,
        name: str = "NVIDIA Tegra X1",
        compute_capability: Tuple[int, int] = (5, 3),
        count: int = 1,
        memory: int = 1 << 30,
    ) -> None:
        self.name = name
        self.compute_capability = compute_capability
        self.count = count
        self.memory = memory
        self.error: Callable[[str], Exception] = RuntimeError  # pycuda.driver sets its own
        self.copies: List[Tuple[str, int]] = []  # direction and bytes, in order
        self.enqueued: List[Dict[str, int]] = []  # addresses by tensor, in order
        self.allocated = 0  # device allocations so far, freed or not
        self.pinned_made = 0
        self.refuse = False  # whether TensorRT refuses to enqueue
        self.fail_at_synchronise: Optional[str] = None  # an asynchronous error to come
        self.contexts: Any = weakref.WeakSet()  # execution contexts alive
        self.engines: Any = weakref.WeakSet()
        self.retained = 0
        self._blocks: Dict[int, Tuple[int, Any]] = {}  # address: size and bytes; freed: None
        self._pinned: Dict[int, int] = {}  # host address: size
        self._streams: Dict[int, Any] = {}
        self._current = threading.local()
        # Never a host's address, never given twice: a stale one cannot hit someone else's block.
        self._addresses = itertools.count(0x700000000)
        self._handles = itertools.count(0x5000)

    # -- contexts

    @property
    def stack(self) -> List[Any]:
        """Contexts pushed by this thread."""
        if not hasattr(self._current, "stack"):
            self._current.stack = []
        stack: List[Any] = self._current.stack
        return stack

    def need_context(self, what: str) -> None:
        if not self.stack:
            raise self.error("%s failed: invalid device context" % what)

    # -- device memory

    def allocate(self, size: int) -> int:
        self.need_context("cuMemAlloc")
        if size <= 0:
            raise self.error("cuMemAlloc failed: invalid argument")
        if size + self.in_use() > self.memory:
            raise self.error("cuMemAlloc failed: out of memory")
        address = next(self._addresses) << 20
        # Not zeros: what nobody wrote must not look like an answer.
        self._blocks[address] = (size, np.full(size, 0xA5, np.uint8))
        self.allocated += 1
        return address

    def free(self, address: int) -> None:
        self.need_context("cuMemFree")
        size, data = self._blocks[address]
        if data is None:
            raise self.error("cuMemFree failed: freed twice")
        self._blocks[address] = (size, None)

    def view(self, address: int, size: int) -> Any:
        """The bytes [address, address + size), to read and write."""
        for start, (length, data) in self._blocks.items():
            if start <= address < start + length:
                if data is None:
                    raise self.error("an illegal memory access: use after free")
                if address + size > start + length:
                    raise self.error("an illegal memory access: %d bytes past the end" % size)
                return data[address - start : address - start + size]
        raise self.error("an illegal memory access: no such address")

    def in_use(self) -> int:
        return sum(size for size, data in self._blocks.values() if data is not None)

    # -- pinned host memory

    def pin(self, array: Any) -> None:
        self._pinned[array.ctypes.data] = array.nbytes
        self.pinned_made += 1

    def unpin(self, array: Any) -> None:
        if self._pinned.pop(array.ctypes.data, None) is None:
            raise self.error("cuMemFreeHost failed: freed twice")

    def need_pinned(self, array: Any) -> None:
        start = array.ctypes.data
        if not any(
            at <= start and start + array.nbytes <= at + size for at, size in self._pinned.items()
        ):
            raise self.error("an asynchronous copy needs pinned host memory")

    # -- streams

    def make_stream(self) -> int:
        self.need_context("cuStreamCreate")
        handle = next(self._handles)
        self._streams[handle] = []
        return handle

    def drop_stream(self, handle: int) -> None:
        self._streams.pop(handle, None)

    def enqueue(self, handle: int, work: Callable[[], None]) -> None:
        self.need_context("a launch")
        if handle not in self._streams:
            raise self.error("invalid resource handle: no such stream")
        self._streams[handle].append(work)

    def synchronise(self, handle: int) -> None:
        self.need_context("cuStreamSynchronize")
        pending, self._streams[handle] = self._streams[handle], []
        for work in pending:
            work()
        if self.fail_at_synchronise is not None:
            raise self.error("cuStreamSynchronize failed: %s" % self.fail_at_synchronise)

    # -- the account

    def leaks(self) -> List[str]:
        """What is still held: nothing, after an engine was closed."""
        counts = {
            "device blocks": sum(data is not None for _, data in self._blocks.values()),
            "pinned blocks": len(self._pinned),
            "streams": len(self._streams),
            "retained contexts": self.retained,
            "pushed contexts": len(self.stack),
            "execution contexts": len(self.contexts),
            "engines": len(self.engines),
        }
        return ["%d %s" % (count, what) for what, count in counts.items() if count]


# -- pycuda.driver


def fake_pycuda(gpu: Gpu) -> Any:
    """A module as `pycuda.driver`, of the part that the engines use."""
    cuda: Any = types.ModuleType("pycuda.driver")

    class Error(Exception):
        """Base of the driver's errors."""

    class LogicError(Error):
        """What the caller did wrong."""

    class MemoryError(Error):
        """Out of device memory."""

    def fault(message: str) -> Exception:
        return (MemoryError if "out of memory" in message else LogicError)(message)

    gpu.error = fault
    started: List[bool] = []

    def init(flags: int = 0) -> None:
        if not gpu.count:
            raise LogicError("cuInit failed: no CUDA-capable device is detected")
        started.append(True)

    class Device(object):
        def __init__(self, number: int) -> None:
            if not started:
                raise LogicError("cuDeviceGet failed: initialization error")
            if not 0 <= number < gpu.count:
                raise LogicError("cuDeviceGet failed: invalid device ordinal")

        @staticmethod
        def count() -> int:
            return gpu.count

        def name(self) -> str:
            return gpu.name

        def compute_capability(self) -> Tuple[int, int]:
            return gpu.compute_capability

        def total_memory(self) -> int:
            return gpu.memory

        def retain_primary_context(self) -> Any:
            gpu.retained += 1
            return Context()

    class Context(object):
        """The primary context. Retained is not yet current, as with the real one."""

        def __init__(self) -> None:
            self._valid = True
            self._thread = threading.get_ident()

        def push(self) -> None:
            if not self._valid:
                raise LogicError("cuCtxPushCurrent failed: invalid device context")
            gpu.stack.append(self)

        @staticmethod
        def pop() -> None:
            if not gpu.stack:
                raise LogicError("context::pop failed: cannot pop non-current context")
            gpu.stack.pop()

        @staticmethod
        def synchronize() -> None:
            for handle in list(gpu._streams):
                gpu.synchronise(handle)

        def detach(self) -> None:
            # From a thread that neither made it nor has it current, PyCUDA marks it invalid and
            # keeps it: the primary context is then held until the process ends.
            if not self._valid:
                raise LogicError("context::detach failed: cannot detach from invalid context")
            current = bool(gpu.stack) and gpu.stack[-1] is self
            if current or self._thread == threading.get_ident():
                gpu.retained -= 1
            self._valid = False
            gpu.stack[:] = [context for context in gpu.stack if context is not self]

    class Stream(object):
        def __init__(self, flags: int = 0) -> None:
            self.handle = gpu.make_stream()
            weakref.finalize(self, gpu.drop_stream, self.handle)

        def synchronize(self) -> None:
            gpu.synchronise(self.handle)

    class DeviceAllocation(object):
        def __init__(self, size: int) -> None:
            self._address = gpu.allocate(size)
            self._valid = True

        def __int__(self) -> int:
            return self._address

        def free(self) -> None:
            if not self._valid:
                raise LogicError("device_allocation::free failed: invalid resource handle")
            gpu.free(self._address)
            self._valid = False

    class PagelockedHostAllocation(object):
        """Owner of pinned bytes, the `base` of the arrays over them."""

        def __init__(self, data: Any) -> None:
            gpu.need_context("cuMemHostAlloc")
            self._data = data
            self._valid = True
            self.__array_interface__ = data.__array_interface__
            gpu.pin(data)

        def free(self) -> None:
            if not self._valid:
                raise LogicError("pagelocked_host_allocation::free failed: invalid handle")
            gpu.need_context("cuMemFreeHost")
            gpu.unpin(self._data)
            self._data[...] = 0xA5  # whoever still reads it shall notice
            self._valid = False

    def mem_alloc(size: int) -> DeviceAllocation:
        return DeviceAllocation(size)

    def pagelocked_empty(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        owner = PagelockedHostAllocation(np.full(max(size, 1), 0xA5, np.uint8))
        array = np.asarray(owner)[:size].view(dtype).reshape(shape, order=order)
        return _with_base(array, owner)

    def memcpy_htod_async(dest: Any, src: Any, stream: Any = None) -> None:
        # PyCUDA takes any contiguous order, and copies the bytes as they lie.
        source = _contiguous(src)
        gpu.need_pinned(source)
        address = int(dest)

        def copy() -> None:
            gpu.view(address, source.nbytes)[...] = _bytes_of(source)

        gpu.enqueue(stream.handle, copy)
        gpu.copies.append(("up", source.nbytes))

    def memcpy_dtoh_async(dest: Any, src: Any, stream: Any = None) -> None:
        target = _contiguous(dest)
        gpu.need_pinned(target)
        address = int(src)

        def copy() -> None:
            _bytes_of(target)[...] = gpu.view(address, target.nbytes)

        gpu.enqueue(stream.handle, copy)
        gpu.copies.append(("down", target.nbytes))

    def mem_get_info() -> Tuple[int, int]:
        gpu.need_context("cuMemGetInfo")
        return gpu.memory - gpu.in_use(), gpu.memory

    for value in (Error, LogicError, MemoryError, init, Device, Context, Stream, DeviceAllocation):
        setattr(cuda, value.__name__, value)
    for value in (PagelockedHostAllocation, mem_alloc, pagelocked_empty, mem_get_info):
        setattr(cuda, value.__name__, value)
    cuda.memcpy_htod_async = memcpy_htod_async
    cuda.memcpy_dtoh_async = memcpy_dtoh_async
    return cuda


def _with_base(array: Any, owner: Any) -> Any:
    """numpy collapses a chain of views to the first owner of the bytes, as PyCUDA's arrays have."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert base.base is owner
    return array


def _contiguous(value: Any) -> Any:
    array = np.asarray(value)
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        raise ValueError("ndarray is not contiguous")
    return array


def _bytes_of(array: Any) -> Any:
    return array.reshape(-1, order="A").view(np.uint8)


# -- tensorrt


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
