"""`pycuda.driver` without a GPU: device memory, contexts and streams that punish at once.

`fake_pycuda(gpu)` is `pycuda.driver` over the memory of a `Gpu`, which refuses what a real one
would punish, often much later and elsewhere: use after free, double free, a call without a
current context, a wild address, an asynchronous copy from memory that is not pinned. Work is done
when the stream is synchronised and not before, so a forgotten synchronisation shows as a wrong
answer. `Gpu.leaks()` names what was not given back.

Python 3.6 clean: the engine that runs on it is tried under 3.6 as well.
"""
# ruff: noqa: UP004, UP006, UP031, UP035, UP045

import itertools
import threading
import types
import weakref
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np


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
