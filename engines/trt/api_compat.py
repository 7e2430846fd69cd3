"""TensorRT's Python API from 8.2 to 11 behind one interface.

What a generation can do is read off its classes and enumerations, never off its version. Off the
classes, not the objects: on an object `hasattr` evaluates a property, which deprecated ones answer
with a warning, and misses a property that can only be set, as `device_memory`.

    8.2        bindings by index, execute_async_v2
    8.5, 8.6   both
    10         tensors by name, execute_async_v3; sized scratch memory
    11         the same, without what 10 deprecated
"""

from typing import Any, Callable, List, Mapping, NamedTuple, Tuple

from mammosono.engines.errors import EngineUnavailable

DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",  # from 10
    "UINT8": "uint8",  # from 8.6
    "BOOL": "bool",
}
"""numpy's name of a dtype by TensorRT's. Our own: `tensorrt.nptype` of 8.2 to 8.5 asks numpy for
`np.bool`, which numpy 1.24 to 1.26 do not have."""


Launch = Callable[[Mapping[str, int], int], bool]
"""Enqueues one run: device addresses by name, the stream's handle. False where TensorRT refuses;
what goes wrong later shows when the stream is waited for."""


class Port(NamedTuple):
    """An input or output of an engine. dtype: as numpy spells it, or TensorRT's own name."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    is_input: bool


def import_tensorrt() -> Any:
    """NVIDIA's module. Raises EngineUnavailable if it is not installed or does not load."""
    try:
        import tensorrt
    except Exception as error:  # an extension module raises what it likes
        raise EngineUnavailable(
            "TensorRT's module for this Python is not installed or does not start; use the "
            "JetPack image and the Python it came with"
        ) from error
    return tensorrt


def dtype_name(dtype: Any) -> str:
    """numpy's name of a `DataType`; TensorRT's own where numpy has no such type."""
    name: str = dtype.name
    return DTYPES.get(name, name)


def ports(trt: Any, engine: Any) -> List[Port]:
    """The inputs and outputs of an engine, in its own order."""
    if hasattr(trt.ICudaEngine, "num_io_tensors"):
        return [_named_port(trt, engine, index) for index in range(engine.num_io_tensors)]
    return [_bound_port(engine, index) for index in range(engine.num_bindings)]


def scratch_size(trt: Any, engine: Any) -> int:
    """Bytes of device memory that a context of this engine needs while it runs."""
    if hasattr(trt.ICudaEngine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)


def make_context(trt: Any, engine: Any, scratch: int, size: int) -> Any:
    """An execution context that works in `size` bytes at the device address `scratch`.

    None if TensorRT cannot make one, as when it runs out of memory.
    """
    if hasattr(trt, "ExecutionContextAllocationStrategy"):
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = engine.create_execution_context(strategy)
    else:
        context = engine.create_execution_context_without_device_memory()
    if context is None:
        return None
    if hasattr(trt.IExecutionContext, "set_device_memory"):
        context.set_device_memory(scratch, size)
    else:
        context.device_memory = scratch
    return context


def launcher(trt: Any, engine: Any, context: Any) -> Launch:
    """How a context of this engine is run."""
    if hasattr(trt.IExecutionContext, "execute_async_v3"):

        def launch(addresses: Mapping[str, int], stream: int) -> bool:
            for name, address in addresses.items():
                if not context.set_tensor_address(name, address):
                    return False
            return bool(context.execute_async_v3(stream))

        return launch

    order = [port.name for port in ports(trt, engine)]

    def launch_bindings(addresses: Mapping[str, int], stream: int) -> bool:
        return bool(context.execute_async_v2([addresses[name] for name in order], stream))

    return launch_bindings


def _named_port(trt: Any, engine: Any, index: int) -> Port:
    name = engine.get_tensor_name(index)
    return Port(
        name=name,
        dtype=dtype_name(engine.get_tensor_dtype(name)),
        shape=tuple(engine.get_tensor_shape(name)),
        is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
    )


def _bound_port(engine: Any, index: int) -> Port:
    return Port(
        name=engine.get_binding_name(index),
        dtype=dtype_name(engine.get_binding_dtype(index)),
        shape=tuple(engine.get_binding_shape(index)),
        is_input=bool(engine.binding_is_input(index)),
    )
