"""TensorRT's builder on one stage, whatever its generation: ONNX bytes in, plan bytes out.

What changed from 8.2 to 11 is looked up by name, never by version: the version says what was
shipped, the name what is there.
"""

import re
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

from mammosono.engines.bundle import Stage
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.trt.api_compat import dtype_name

MIB = 1024 * 1024
SMALLER = "try --workspace-mb 128, stop what else runs on the device, add swap; see build.log"

_TIMED = re.compile(r"Timing Runner: (\S+)")
_MEMORY = re.compile(r"out of memory|OutOfMemory|insufficient memory|std::bad_alloc", re.IGNORECASE)


class Built(NamedTuple):
    """What the builder made of one stage.

    precision: what the plan computes in: "fp16", "fp32", or "mixed" where the types came from
        the graph.
    pinned: layers held at single precision.
    missed: nodes that were to be held and gave no layer; the parser folded them into others.
    warnings: how many the builder logged.
    """

    plan: bytes
    timings: bytes
    precision: str
    pinned: int
    missed: Tuple[str, ...]
    warnings: int


class BuildLog(object):
    """Takes TensorRT's messages: the important ones as lines, the rest as a sign of life.

    write: called with each line of the log. timed: with the count of timed kernels, and the layer.
    """

    def __init__(self, write: Callable[[str], None], timed: Callable[[int, str], None]) -> None:
        self._write = write
        self._timed = timed
        self._count = 0
        self.errors: List[str] = []
        self.warnings = 0

    def take(self, severity: int, message: str) -> None:
        """severity: as TensorRT counts, 0 internal error, 1 error, 2 warning, 3 info, 4 verbose."""
        if severity <= 3:
            self._write("%s %s" % ("FEWI"[severity], message))
        if severity <= 1:
            self.errors.append(message)
        self.warnings += severity == 2
        layer = _TIMED.search(message)
        if layer:
            self._count += 1
            self._timed(self._count, layer.group(1))


def has_half(trt: Any) -> bool:
    """Whether the builder chooses half precision itself; from 11 on the graph's types do."""
    return hasattr(trt.BuilderFlag, "FP16")


def build(
    trt: Any,
    stage: Stage,
    onnx: bytes,
    precision: str,
    workspace_mb: int,
    timings: bytes,
    log: BuildLog,
) -> Built:
    """Build the plan of `stage`.

    onnx: the graph; where the builder no longer chooses precision, a variant's, as "mixed".
    precision: "fp16" lets layers run in half precision, but for those of `stage.fp32`.
    workspace_mb: what one layer may use of the device's memory, MiB.
    timings: timing cache of an earlier build on this device, b"" for none.

    Raises EngineUnavailable if the graph cannot be parsed, is not the manifest's, or no plan
    comes out.
    """
    logger = _logger(trt, log)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise EngineUnavailable(
            "stage %s: TensorRT %s cannot parse it (%s); export the bundle anew at opset 13"
            % (stage.name, trt.__version__, _parser_error(parser))
        )
    _check_tensors(stage, network)
    config = builder.create_builder_config()
    _set_workspace(trt, config, workspace_mb * MIB)
    # On by default on Ampere: ten bits of mantissa are not what single precision promises.
    config.clear_flag(trt.BuilderFlag.TF32)
    held: Tuple[int, Tuple[str, ...]] = (0, ())
    if precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
        held = _hold_fp32(trt, network, config, stage.fp32)
    _set_timings(config, timings)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineUnavailable(_nothing_built(stage, trt.__version__, log))
    return Built(bytes(plan), _timings(config), precision, held[0], held[1], log.warnings)


def _logger(trt: Any, log: BuildLog) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 insists on the base's own, not super()'s

        def log(self, severity: Any, msg: str) -> None:
            log.take(int(severity), msg)

    return Logger()


def _network_flags(trt: Any) -> int:
    # By name: in 11 the bit of 8's EXPLICIT_BATCH means something else.
    batch = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if batch is None else 1 << int(batch)


def _set_workspace(trt: Any, config: Any, size: int) -> None:
    if hasattr(trt.IBuilderConfig, "set_memory_pool_limit"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
    else:
        config.max_workspace_size = size


def _hold_fp32(
    trt: Any, network: Any, config: Any, nodes: Sequence[str]
) -> Tuple[int, Tuple[str, ...]]:
    """Hold the layers of these ONNX nodes at single precision: their number, the nodes missed.

    The parser makes one or more layers of a node, one behind the other: the first bears the
    node's name, the others the name with a number, none, or one of the parser's own. Between
    them stand the constants that they read, named as the initialisers.
    """
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    wanted, found = set(nodes), set()
    holding = ""
    pinned = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == trt.LayerType.CONSTANT:
            continue
        if layer.name in wanted:
            holding = layer.name
            found.add(holding)
        elif not (holding and _continues(layer.name, holding)):
            holding = ""
        if holding and _computes_floats(trt, layer):
            layer.precision = trt.float32
            for output in range(layer.num_outputs):
                layer.set_output_type(output, trt.float32)
            pinned += 1
    return pinned, tuple(name for name in nodes if name not in found)


def _continues(name: str, node: str) -> bool:
    if name.startswith(("(Unnamed Layer", "ONNXTRT_")):
        return True
    return name.startswith(node + "_") and name[len(node) + 1 :].isdigit()


def _computes_floats(trt: Any, layer: Any) -> bool:
    # Asking for single precision of a layer of indices or shapes fails the whole build.
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    floats = (trt.float32, trt.float16)
    return bool(outputs) and all(o.dtype in floats and not o.is_shape_tensor for o in outputs)


def _check_tensors(stage: Stage, network: Any) -> None:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    for found, wanted in ((inputs, stage.inputs), (outputs, stage.outputs)):
        tensors = {t.name: (dtype_name(t.dtype), tuple(t.shape)) for t in found}
        if tensors != dict(wanted):
            raise EngineUnavailable(
                "stage %s: TensorRT finds the tensors %s, the manifest says %s; export the bundle "
                "anew" % (stage.name, _listed(tensors), _listed(wanted))
            )


def _set_timings(config: Any, timings: bytes) -> None:
    cache = config.create_timing_cache(timings)
    # Refused where another version or device measured: then this build starts its own.
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _timings(config: Any) -> bytes:
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def _parser_error(parser: Any) -> str:
    if not parser.num_errors:
        return "it does not say why"
    error = parser.get_error(0)
    return _line("node %d: %s" % (error.node(), error.desc()))


def _nothing_built(stage: Stage, version: str, log: BuildLog) -> str:
    if any(_MEMORY.search(message) for message in log.errors):
        return "stage %s: memory ran out while it was built; %s" % (stage.name, SMALLER)
    last = _line(log.errors[-1]) if log.errors else "it does not say why"
    return "stage %s: TensorRT %s built no plan (%s); %s" % (stage.name, version, last, SMALLER)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _listed(tensors: Any) -> str:
    return ", ".join("%s %s %s" % (name, *tensors[name]) for name in sorted(tensors)) or "none"
