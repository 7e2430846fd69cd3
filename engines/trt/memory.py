"""GPU memory through PyCUDA: the first GPU's primary context, one stream, memory allocated once."""

import contextlib
from typing import Any, Iterator, List, Tuple

import numpy as np

from mammosono.engines.errors import EngineUnavailable

_ALIGNED = 256  # bytes; as CUDA aligns, and as TensorRT asks of its scratch memory


def import_cuda() -> Any:
    """PyCUDA's driver module, started.

    Raises EngineUnavailable if it is not installed or if CUDA does not start.
    """
    try:
        import pycuda.driver as cuda
    except Exception as error:  # an extension module raises what it likes
        raise EngineUnavailable(
            "PyCUDA is not installed or does not start; use the JetPack image or install pycuda"
        ) from error
    try:
        cuda.init()
        if not cuda.Device.count():
            raise EngineUnavailable(_NO_GPU)
    except cuda.Error as error:
        raise EngineUnavailable(_NO_GPU) from error
    return cuda


def first_gpu() -> Any:
    """PyCUDA's Device. Raises EngineUnavailable if there is none."""
    return import_cuda().Device(0)


class Gpu(object):
    """The first GPU. Everything but `current` and `close` must be called inside `current`."""

    def __init__(self) -> None:
        """Raises EngineUnavailable if PyCUDA or the GPU is missing or cannot be had."""
        self._cuda = import_cuda()
        self.error = self._cuda.Error
        """Base of what PyCUDA raises."""
        self._blocks: List[Any] = []
        try:
            # The primary context, which TensorRT's own CUDA runtime uses too. One of PyCUDA's own
            # making would be a second one, and current in the thread that made it alone.
            self._context = self._cuda.Device(0).retain_primary_context()
            with self.current():
                self._stream = self._cuda.Stream()
        except self.error as error:
            raise EngineUnavailable(_NO_GPU) from error

    @property
    def stream(self) -> int:
        """The handle of the one stream: work on it is done in the order of its asking."""
        return int(self._stream.handle)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Makes the GPU current in the calling thread, whichever that is."""
        self._context.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()

    def device(self, size: int) -> int:
        """The address of `size` fresh bytes of device memory, which live until `close`."""
        block = self._cuda.mem_alloc(-(-max(size, 1) // _ALIGNED) * _ALIGNED)
        self._blocks.append(block)
        return int(block)

    def pinned(self, shape: Tuple[int, ...], dtype: str) -> np.ndarray:
        """A fresh C-ordered array that the GPU can copy from and to by itself. Dies in `close`."""
        array: np.ndarray = self._cuda.pagelocked_empty(shape, dtype)
        self._blocks.append(_owner(array))
        return array

    def upload(self, address: int, array: np.ndarray) -> None:
        """Begin to copy a pinned array to the device; it must not be touched before `wait`."""
        self._cuda.memcpy_htod_async(address, array, self._stream)

    def download(self, array: np.ndarray, address: int) -> None:
        """Begin to copy from the device into a pinned array; it is whole after `wait`."""
        self._cuda.memcpy_dtoh_async(array, address, self._stream)

    def wait(self) -> None:
        """Until everything asked of the stream is done. Its failures are raised here."""
        self._stream.synchronize()

    def close(self) -> None:
        """Give back memory, stream and context. After a failed run CUDA may refuse to; then the
        process' end does."""
        with contextlib.suppress(self.error):
            self._context.push()
            for block in self._blocks:
                with contextlib.suppress(self.error):
                    block.free()
            self._blocks = []
            self._stream = None
            # While it is current: PyCUDA would not release it from a thread that neither made it
            # nor has it current. It leaves PyCUDA's stack by this, so there is nothing to pop.
            self._context.detach()


def _owner(array: np.ndarray) -> Any:
    """What holds the bytes of a pinned array, to free it when asked and not when collected: the
    collector may come by in a thread where the GPU is not current."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


_NO_GPU = (
    "CUDA finds no GPU or cannot use it; start the container with --runtime nvidia and its user "
    "in group video"
)
