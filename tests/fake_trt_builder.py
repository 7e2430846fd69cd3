"""The builder half of NVIDIA's `tensorrt`, put on the modules of tests/fake_trt.py.

`add_builder(trt, generation)` gives a fake module Builder, IBuilderConfig, INetworkDefinition,
OnnxParser, ITimingCache and their enumerations as that generation has them, and nothing that it
does not have. The parser makes layers of the graph's nodes and names them as NVIDIA's does; the
plan that comes out holds the ONNX bytes, which the fake runtime computes.

`Behaviour` says what goes wrong with which graph. `write_shim` makes a folder for PYTHONPATH, so
that a process of its own finds the same under `import tensorrt`.

Python 3.6 clean, as the builder that is tried on it.
"""
# ruff: noqa: UP004, UP006, UP031, UP035, RUF005, SIM905

import hashlib
import itertools
import json
import os
import signal
import sys
import time
import types
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

import fake_gpu
import fake_trt
from fake_trt import _ORT_TYPES, _deprecated, _Enum, fake_plan

_FLAGS = (
    "DEBUG GPU_FALLBACK REFIT DISABLE_TIMING_CACHE TF32 SPARSE_WEIGHTS SAFETY_SCOPE DIRECT_IO"
).split()
_WEAK_FLAGS = (
    "FP16 INT8 OBEY_PRECISION_CONSTRAINTS PREFER_PRECISION_CONSTRAINTS REJECT_EMPTY_ALGORITHMS"
).split()
FLAGS = {
    "8.2": _FLAGS + _WEAK_FLAGS + ["STRICT_TYPES"],
    "8.6": _FLAGS + _WEAK_FLAGS + ["STRICT_TYPES", "FP8", "VERSION_COMPATIBLE"],
    "10": _FLAGS + _WEAK_FLAGS + ["BF16", "FP8", "INT4", "VERSION_COMPATIBLE", "STRIP_PLAN"],
    "11": _FLAGS + ["VERSION_COMPATIBLE", "STRIP_PLAN", "STRICT_NANS"],
}
NETWORK_FLAGS = {
    "8.2": (("EXPLICIT_BATCH", 0), ("EXPLICIT_PRECISION", 1)),
    "8.6": (("EXPLICIT_BATCH", 0), ("EXPLICIT_PRECISION", 1)),
    "10": (("EXPLICIT_BATCH", 0), ("STRONGLY_TYPED", 1)),
    "11": (("STRONGLY_TYPED", 0),),
}
_LAYERS = {
    "Conv": "CONVOLUTION",
    "Gather": "GATHER",
    "MatMul": "MATRIX_MULTIPLY",
    "Gemm": "MATRIX_MULTIPLY",
    "Relu": "ACTIVATION",
    "Sigmoid": "ACTIVATION",
    "Softmax": "SOFTMAX",
    "ArgMax": "TOPK",
}


class Behaviour(NamedTuple):
    """What goes wrong, with the graphs of these sha256.

    parse: cannot be parsed. memory: the builder runs out of it. nothing: no plan, nor a reason.
    killed: the process is, while it builds. hang: the build never ends; a file of that name is
    made when it begins. half: what half precision makes of the graph, another ONNX file.
    chatter: the library writes to stdout.
    """

    parse: Sequence[str] = ()
    memory: Sequence[str] = ()
    nothing: Sequence[str] = ()
    killed: Sequence[str] = ()
    hang: Mapping[str, str] = {}
    half: Mapping[str, str] = {}
    chatter: bool = False


class Record(NamedTuple):
    """One build as the builder saw it. pins: layers by name, and the precisions asked for."""

    sha256: str
    network_flags: int
    flags: Set[str]
    cleared: Set[str]
    workspace: int
    pins: Dict[str, Tuple[str, ...]]
    measured: int


def add_builder(trt: Any, generation: str, behaviour: Any = None) -> List[Record]:
    """Put the builder half on `trt`; the list gets a record of every build."""
    records: List[Record] = []
    weak = generation != "11"
    trt.BuilderFlag = _Enum("BuilderFlag", [(f, n) for n, f in enumerate(FLAGS[generation])])
    trt.NetworkDefinitionCreationFlag = _Enum(
        "NetworkDefinitionCreationFlag", list(NETWORK_FLAGS[generation])
    )
    if generation != "8.2":
        trt.MemoryPoolType = _Enum(
            "MemoryPoolType", [("WORKSPACE", 0), ("DLA_MANAGED_SRAM", 1), ("TACTIC_DRAM", 4)]
        )
    layers = sorted(set(_LAYERS.values()) | {"CONSTANT", "SHUFFLE", "ELEMENTWISE"})
    trt.LayerType = _Enum("LayerType", [(name, n) for n, name in enumerate(layers)])
    trt.ITensor = _tensor_class()
    trt.ILayer = _layer_class(weak)
    trt.INetworkDefinition = _network_class()
    trt.ITimingCache = _timing_cache_class(trt)
    trt.IBuilderConfig = _config_class(trt, generation)
    trt.ParserError = _parser_error_class()
    trt.OnnxParser = _parser_class(trt, generation, behaviour or Behaviour())
    trt.Builder = _builder_class(trt, generation, behaviour or Behaviour(), records)
    return records


def _tensor_class() -> Any:
    class ITensor(object):
        def __init__(self, name: str, dtype: Any, shape: Tuple[int, ...]) -> None:
            self._all = (name, dtype, shape)

        name = property(lambda self: self._all[0])
        dtype = property(lambda self: self._all[1])
        shape = property(lambda self: self._all[2])
        is_shape_tensor = property(lambda self: False)

    return ITensor


def _layer_class(weak: bool) -> Any:
    class ILayer(object):
        def __init__(self, name: str, kind: Any, output: Any) -> None:
            self._name, self._kind, self._output = name, kind, output
            self._asked: List[Any] = []

        name = property(lambda self: self._name)
        type = property(lambda self: self._kind)
        num_outputs = property(lambda self: 1)

        def get_output(self, index: int) -> Any:
            return self._output if index == 0 else None

        if weak:

            def _set_precision(self, dtype: Any) -> None:
                self._asked.append(dtype)

            precision = property(None, _set_precision)

            def set_output_type(self, index: int, dtype: Any) -> None:
                assert index == 0
                self._asked.append(dtype)

    return ILayer


def _network_class() -> Any:
    class INetworkDefinition(object):
        def __init__(self, flags: int) -> None:
            self._flags = flags
            self._onnx = b""
            self._layers: List[Any] = []
            self._inputs: List[Any] = []
            self._outputs: List[Any] = []

        num_layers = property(lambda self: len(self._layers))
        num_inputs = property(lambda self: len(self._inputs))
        num_outputs = property(lambda self: len(self._outputs))

        def get_layer(self, index: int) -> Any:
            return self._layers[index]

        def get_input(self, index: int) -> Any:
            return self._inputs[index]

        def get_output(self, index: int) -> Any:
            return self._outputs[index]

    return INetworkDefinition


def _timing_cache_class(trt: Any) -> Any:
    class ITimingCache(object):
        def __init__(self, data: bytes) -> None:
            head, _, layers = data.partition(b"\n")
            if data and not head.startswith(b"timings of "):
                os.abort()  # as the real one does with one flipped bit
            self._version = head[len(b"timings of ") :].decode("ascii") if data else trt.__version__
            self._layers = set(layers.decode("ascii").splitlines())

        def serialize(self) -> Any:
            lines = ["timings of " + self._version] + sorted(self._layers)
            return trt.IHostMemory("\n".join(lines).encode("ascii"))

    return ITimingCache


def _config_class(trt: Any, generation: str) -> Any:
    class IBuilderConfig(object):
        def __init__(self) -> None:
            self._flags = {"TF32"}
            self._cleared: Set[str] = set()
            self._workspace = -1
            self._timings: Any = None

        def set_flag(self, flag: Any) -> None:
            self._flags.add(trt.BuilderFlag(flag).name)

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(trt.BuilderFlag(flag).name)
            self._cleared.add(flag.name)

        if generation in ("8.2", "8.6"):

            def _set_workspace(self, size: int) -> None:
                if generation == "8.6":
                    _deprecated("set_memory_pool_limit")
                self._workspace = size

            max_workspace_size = property(None, _set_workspace)

        if generation != "8.2":

            def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
                assert pool is trt.MemoryPoolType.WORKSPACE
                self._workspace = pool_size

        def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
            return trt.ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            if cache._version != trt.__version__ and not ignore_mismatch:
                return False
            self._timings = cache
            return True

        def get_timing_cache(self) -> Any:
            return self._timings

    return IBuilderConfig


def _parser_error_class() -> Any:
    class ParserError(object):
        def __init__(self, node: int, desc: str) -> None:
            self._node, self._desc = node, desc

        def node(self) -> int:
            return self._node

        def desc(self) -> str:
            return self._desc

    return ParserError


def _parser_class(trt: Any, generation: str, behaviour: Behaviour) -> Any:
    class OnnxParser(object):
        def __init__(self, network: Any, logger: Any) -> None:
            self._network, self._logger = network, logger
            self._errors: List[Any] = []

        num_errors = property(lambda self: len(self._errors))

        def get_error(self, index: int) -> Any:
            return self._errors[index]

        def parse(self, model: bytes, path: Any = None) -> bool:
            if generation in ("8.2", "8.6") and not self._network._flags & 1:
                desc = "Network must have a kEXPLICIT_BATCH dimension"
                self._errors.append(trt.ParserError(-1, desc))
                return False
            if hashlib.sha256(model).hexdigest() in behaviour.parse:
                self._errors.append(trt.ParserError(3, "No importer registered\nfor op: RoiAlign"))
                return False
            network = self._network
            network._onnx = bytes(model)
            network._inputs, network._outputs = _io(trt, network._onnx)
            network._layers = list(_layers(trt, generation, network._onnx))
            return True

    return OnnxParser


def _builder_class(trt: Any, generation: str, behaviour: Behaviour, records: List[Record]) -> Any:
    class Builder(object):
        def __init__(self, logger: Any) -> None:
            if not getattr(logger, "_started", False):
                raise TypeError("ILogger.__init__() must be called when overriding __init__")
            self._logger = logger

        def create_network(self, flags: int = 0) -> Any:
            if generation == "11" and flags & 1:
                _deprecated("no flag")
            return trt.INetworkDefinition(flags)

        def create_builder_config(self) -> Any:
            return trt.IBuilderConfig()

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            sha256 = hashlib.sha256(network._onnx).hexdigest()
            self._log("INFO", "[MemUsageChange] Init CUDA: CPU +229, GPU +0")
            _misbehave(behaviour, sha256)
            if sha256 in behaviour.memory:
                self._log("ERROR", "2: [utils.cpp::checkMemLimit::380] Error Code 2: OutOfMemory")
            if sha256 in behaviour.memory or sha256 in behaviour.nothing:
                return None
            for layer in network._layers:
                if layer._asked and layer._output.dtype.name not in ("FLOAT", "HALF"):
                    self._log("ERROR", "4: [layers.cpp] %s: no such precision" % layer.name)
                    return None
            measured = self._measure(network, config)
            self._log("WARNING", "TensorRT was linked against cuDNN 8.2.1 but loaded cuDNN 8.2.0")
            pins = {
                layer.name: tuple(dtype.name for dtype in layer._asked)
                for layer in network._layers
                if layer._asked
            }
            records.append(
                Record(
                    sha256, network._flags, config._flags, config._cleared, config._workspace,
                    pins, measured,
                )
            )  # fmt: skip
            onnx = network._onnx
            if "FP16" in config._flags and sha256 in behaviour.half:
                with open(behaviour.half[sha256], "rb") as file:
                    onnx = file.read()
            return trt.IHostMemory(fake_plan(onnx, generation))

        def _measure(self, network: Any, config: Any) -> int:
            """Times what the cache does not know; the number of layers that were timed."""
            known = config._timings._layers
            new = [layer.name for layer in network._layers if layer.name not in known]
            for name in new:
                self._log("VERBOSE", "--------------- Timing Runner: %s (CudaConvolution)" % name)
            known.update(new)
            return len(new)

        def _log(self, severity: str, message: str) -> None:
            self._logger.log(getattr(trt.ILogger.Severity, severity), message)

    return Builder


def _misbehave(behaviour: Behaviour, sha256: str) -> None:
    if behaviour.chatter:
        os.write(1, b'a library\'s own words\n{"not": "an event"}\n')
    if sha256 in behaviour.killed:
        os.kill(os.getpid(), signal.SIGKILL)
    if sha256 in behaviour.hang:
        with open(behaviour.hang[sha256], "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)


# -- what the parser makes of a graph


def _io(trt: Any, onnx: bytes) -> Tuple[List[Any], List[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    inputs, outputs = (
        [
            trt.ITensor(node.name, trt.DataType[_ORT_TYPES[node.type][0]], tuple(node.shape))
            for node in nodes
        ]
        for nodes in (session.get_inputs(), session.get_outputs())
    )
    return inputs, outputs


def _layers(trt: Any, generation: str, onnx: bytes) -> Iterator[Any]:
    """As NVIDIA's parser: constants under their initialiser's name, a Gemm in three layers with
    a nameless one (8) or one of the parser's own name (10) among them. Seen in a real parse."""
    counter = itertools.count()
    number = itertools.count()

    def layer(name: str, kind: str, dtype: str = "FLOAT") -> Any:
        next(number)
        tensor = trt.ITensor(name + "_output", trt.DataType[dtype], ())
        return trt.ILayer(name, trt.LayerType[kind], tensor)

    (graph,) = (value for field, value in _fields(onnx) if field == 7)
    initialisers = [
        next(v for f, v in _fields(value) if f == 8)
        for field, value in _fields(graph)
        if field == 5
    ]
    for field, value in _fields(graph):
        if field != 1:
            continue
        node = [(f, v.decode("utf-8")) for f, v in _fields(value) if f in (1, 3, 4)]
        name = next(v for f, v in node if f == 3)
        op = next(v for f, v in node if f == 4)
        constants = [v for f, v in node if f == 1 and v.encode("utf-8") in initialisers]
        if op != "Gemm":
            yield layer(name, _LAYERS.get(op, "SHUFFLE"), "INT32" if op == "ArgMax" else "FLOAT")
            continue
        yield layer(constants[0], "CONSTANT")
        yield layer(name, "MATRIX_MULTIPLY")
        yield layer(constants[1], "CONSTANT")
        unnamed = "(Unnamed Layer* %d) [Shuffle]" % next(number)
        yield layer(unnamed if generation == "8.2" else "ONNXTRT_Broadcast", "SHUFFLE")
        yield layer("%s_%d" % (name, next(counter)), "ELEMENTWISE")


def _fields(message: bytes) -> Iterator[Tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message: number and bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, message[at : at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += 8 if key & 7 == 1 else 4


# -- in a process of its own

_VARIABLE = "MAMMOSONO_FAKE_TRT"


def write_shim(folder: str, generation: str, behaviour: Any = None) -> Dict[str, str]:
    """Make `folder` hold `tensorrt` and `pycuda`; the environment that makes a process use it."""
    tests = os.path.dirname(os.path.abspath(__file__))
    text = "import sys\nsys.path.append(%r)\nimport fake_trt_builder\nfake_trt_builder.install()\n"
    os.makedirs(folder, exist_ok=True)
    for module in ("tensorrt", "pycuda"):
        with open(os.path.join(folder, module + ".py"), "w") as file:
            file.write(text % tests)
    told = {"generation": generation, "behaviour": (behaviour or Behaviour())._asdict()}
    return {"PYTHONPATH": folder, _VARIABLE: json.dumps(told)}


def install() -> None:
    """What the shim's modules do: put the fakes in their own place."""
    if isinstance(getattr(sys.modules.get("pycuda"), "driver", None), types.ModuleType):
        return
    told = json.loads(os.environ[_VARIABLE])
    gpu = fake_gpu.Gpu()
    trt = fake_trt.fake_tensorrt(told["generation"], gpu)
    add_builder(trt, told["generation"], Behaviour(**told["behaviour"]))
    pycuda: Any = types.ModuleType("pycuda")
    pycuda.driver = fake_gpu.fake_pycuda(gpu)
    modules = {"tensorrt": trt, "pycuda": pycuda, "pycuda.driver": pycuda.driver}
    sys.modules.update(modules)
