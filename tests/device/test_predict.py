"""What a board would need, from the graphs: kernels, bytes, live memory, seconds, the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import tiny
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from rich.console import Console
from tiny_bundle import drawn_network, drawn_networks, export_stages
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.model import SHIPPED, model_of
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle, read_stage, write_manifest
from mammosono.engines.options import EngineOptions
from mammosono.tools.benchmarks.flops import Flops
from mammosono.tools.benchmarks.predict import networks
from mammosono.tools.benchmarks.predict.graph import (
    GraphKernel,
    StageCost,
    blank_network,
    denoiser_cost,
    fold_batch_norm,
    heads_cost,
    masks_cost,
    stage_cost,
    traced,
    trunk_cost,
)
from mammosono.tools.benchmarks.predict.measurements import (
    HostWork,
    cap_ladder,
    check_on_val,
    host_work,
)
from mammosono.tools.benchmarks.predict.networks import (
    BoardPrediction,
    Variant,
    paper_variants,
    vary,
)
from mammosono.tools.benchmarks.predict.prediction import (
    NANO,
    CostedNetwork,
    Rates,
    Span,
    bundle_networks,
    config_network,
    kernel_seconds,
    predict,
    stage_seconds,
)
from mammosono.tools.benchmarks.predict.table import NOT_SHOWN, PREDICTION, as_dict, as_rich
from mammosono.tools.benchmarks.workload import BenchMachine
from mammosono.tools.cli import app
from mammosono.tools.data.index import read_index, select
from mammosono.tools.evaluation.evaluate import evaluate
from mammosono.tools.network.backbones import ResNet
from mammosono.tools.network.config import preset
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import TrunkStage

pytestmark = pytest.mark.slow

# Graphs of a few nodes: x [1, 4, 8, 8] in, y out.

SIDE = (8, 8)
PIXELS = 64


def graph(
    nodes: Sequence[NodeProto],
    weights: dict[str, tuple[int, ...]],
    given: dict[str, tuple[int, tuple[int, ...]]] | None = None,
) -> onnx.ModelProto:
    given = given or {"x": (TensorProto.FLOAT, (1, 4, *SIDE))}
    made = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in given.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])
    return onnx.shape_inference.infer_shapes(model)


def node(op: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [output], name=output, **attributes)


def test_a_sum_and_an_activation_run_inside_the_convolution_before_them() -> None:
    model = graph(
        [node("Conv", "x w", "a"), node("Add", "a x", "b"), node("Relu", "b", "y")],
        {"w": (4, 4, 1, 1)},
    )
    (kernel,) = stage_cost(model, ["x"]).kernels
    assert kernel.ops == ("Conv", "Add", "Relu")
    assert kernel.weights == 2 * 4 * 4  # half precision
    # x twice, for the convolution and for the sum; bindings are what the graph says: FP32.
    assert (kernel.read, kernel.written) == (2 * 4 * 4 * PIXELS, 4 * 4 * PIXELS)
    assert kernel.flops == Flops(2 * PIXELS * 4 * 4, 0)


def test_what_two_nodes_read_is_written_first() -> None:
    model = graph(
        [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Add", "a b", "y")],
        {"w": (4, 4, 1, 1)},
    )
    assert [k.ops for k in stage_cost(model, ["x"]).kernels] == [("Conv",), ("Relu",), ("Add",)]


def test_a_change_of_shape_is_no_work() -> None:
    shape = numpy_helper.from_array(np.array([1, -1]), "shape")
    model = graph([node("Relu", "x", "a"), node("Reshape", "a shape", "y")], {})
    model.graph.initializer.append(shape)
    cost = stage_cost(onnx.shape_inference.infer_shapes(model), ["x"])
    assert [k.ops for k in cost.kernels] == [("Relu",)]
    assert cost.scratch == 0  # what it writes is the output itself
    assert cost.bindings == {"x": 4 * 4 * PIXELS, "y": 4 * 4 * PIXELS}


def test_a_tensor_lives_until_its_last_reader() -> None:
    """a waits for c while b is alive: three of half precision, and not four, since d is y."""
    model = graph(
        [
            node("MaxPool", "x", "a", kernel_shape=[1, 1]),
            node("MaxPool", "a", "b", kernel_shape=[1, 1]),
            node("MaxPool", "b", "c", kernel_shape=[1, 1]),
            node("Mul", "a c", "y"),
        ],
        {},
    )
    assert stage_cost(model, ["x"]).scratch == 3 * 2 * 4 * PIXELS


def test_a_depthwise_convolution_is_counted_apart() -> None:
    model = graph([node("Conv", "x w", "y", group=4)], {"w": (4, 1, 1, 1)})
    assert stage_cost(model, ["x"]).flops == Flops(0, 2 * PIXELS * 4)


def test_a_gather_reads_the_rows_that_are_named_and_not_the_table() -> None:
    given = {
        "table": (TensorProto.FLOAT, (1000, 8)),
        "rows": (TensorProto.INT32, (3, 5)),
    }
    model = graph([node("Gather", "table rows", "a"), node("Relu", "a", "y")], {}, given)
    gather = stage_cost(model, ["table", "rows"]).kernels[0]
    assert gather.read == 4 * 15 + 4 * 15 * 8
    assert gather.written == 2 * 15 * 8
    assert stage_cost(model, ["table", "rows"]).gathered == gather.moved


@pytest.mark.parametrize(("single", "bytes_each"), [(("y",), 4), (("other",), 2)])
def test_a_node_is_single_precision_if_it_is_named(
    single: tuple[str, ...], bytes_each: int
) -> None:
    given = {"x": (TensorProto.FLOAT, (3, 8))}
    model = graph([node("Gemm", "x w", "y")], {"w": (8, 2)}, given)
    cost = stage_cost(model, ["x"], single)
    assert cost.weights == bytes_each * 16
    assert cost.kernels[0].single is (bytes_each == 4)


# A configuration's graphs without weights are the bundle's graphs.


def bare(cost: StageCost) -> tuple[Any, ...]:
    """All but the names of the buffers."""
    kernels = tuple(replace(kernel, reads=(), writes="") for kernel in cost.kernels)
    return kernels, cost.scratch, cost.bindings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network, untrained, with all that a reader needs."""
    folder = tmp_path_factory.mktemp("tiny")
    manifest = {
        "schema": 1,
        "name": "tiny",
        "version": "1",
        "stages": export_stages(drawn_network(), folder),
        "geometry": tiny.GEOMETRY.to_manifest(),
        "normalisation": {"percentiles": [1.0, 99.7], "mean": 0.35, "std": 0.25},
        "image_score": {code: {"head_weight": 0.5} for code in ("MG", "US")},
        "finding_thresholds": {"MG": 0.2, "US": 0.2},
        "operating_points": {"MG": 0.5, "US": 0.5},
    }
    write_manifest(folder, manifest)
    return folder


def test_a_resnet_traced_without_weights_costs_what_its_exported_graphs_cost(bundle: Path) -> None:
    blank = config_network(tiny.NETWORK, "tiny").stages
    (network,) = bundle_networks(bundle)
    exported = network.stages
    assert {name: bare(cost) for name, cost in blank.items()} == {
        name: bare(cost) for name, cost in exported.items()
    }


def test_compact_traced_without_weights_costs_what_the_shipped_graphs_cost() -> None:
    """On the canvas of each of its networks."""
    shipped = open_bundle(SHIPPED)
    for own in model_of(shipped, "none").modalities.values():
        compact = preset("compact").network
        network = blank_network(replace(compact, geometry=own.geometry))
        for name, make in zip(own.stages, (trunk_cost, heads_cost, masks_cost), strict=True):
            stage = shipped.stages[name]
            model = onnx.load_model_from_string(read_stage(stage))
            assert bare(make(network)) == bare(stage_cost(model, stage.inputs, stage.fp32))


def test_two_convolutions_of_one_shape_on_one_input_stay_two() -> None:
    """The image head and the last lateral are such a pair where the pyramid has 256 channels."""
    config = replace(tiny.NETWORK, fpn_channels=256)
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        stage = TrunkStage(RefinedMaskRcnn(config)).eval()
        stage(torch.zeros(1, 1, *tiny.GEOMETRY.input_size))
    assert trunk_cost(blank_network(config)).flops.total == counter.get_total_flops()


# Seconds.


def kernel(**changes: Any) -> GraphKernel:
    blank = GraphKernel(("Conv",), Flops(0, 0), False, 0, 0, 0, (), "y")
    return replace(blank, **changes)


RATES = Rates(dense=100, depthwise=50, bandwidth=10, host=2)


def test_a_kernel_takes_the_longer_of_computing_and_moving() -> None:
    heavy = kernel(flops=Flops(int(1e9), int(1e9)), read=int(1e6))
    assert kernel_seconds(heavy, RATES, 0.5) == pytest.approx(1 / 100 + 1 / 50)
    light = kernel(flops=Flops(int(1e6), 0), weights=int(2e7), read=int(3e7), written=int(5e7))
    assert kernel_seconds(light, RATES, 0.5) == pytest.approx(1e8 / 10e9)


def test_single_precision_computes_at_its_own_share_of_the_rate() -> None:
    fully_connected = kernel(flops=Flops(int(1e9), 0), single=True)
    assert kernel_seconds(fully_connected, RATES, 0.5) == pytest.approx(1 / 50)


class Backbone(nn.Module):
    """image [1, 1, 224, 224] -> the last stage."""

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    outputs: ClassVar[tuple[str, ...]] = ("last",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.body = ResNet(name)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)[-1]


@pytest.mark.parametrize(("name", "fps"), [("resnet18", 90.2), ("resnet101", 19.9)])
def test_the_rates_span_what_others_measured_on_a_nano(name: str, fps: float) -> None:
    """torch2trt's own table, 224 px, FP16. The dense rate was taken from such networks, so this
    is a check of what is counted besides, the bytes above all."""
    network = Backbone(name)
    fold_batch_norm(network)
    model = traced(network, {"image": torch.zeros(1, 1, 224, 224)})  # type: ignore[arg-type]
    seconds = stage_seconds(stage_cost(model, ["image"]), NANO)
    assert seconds.low < 1 / fps < seconds.high
    assert seconds.plan == pytest.approx(1 / fps, rel=0.1)


# A prediction.


def cost(seconds_at_100: float, scratch: int = 0, **bindings: int) -> StageCost:
    computing = kernel(flops=Flops(int(seconds_at_100 * 100e9), 0), weights=int(1e6))
    return StageCost((computing,), scratch, bindings)


BOARD = replace(
    NANO,
    best=RATES,
    plan=RATES,
    worst=replace(RATES, dense=50),
    libraries=Span(100, 100, 100),
    workspace=Span(0, 0, 10),
    processes=Span(0, 0, 0),
)
NETWORK = CostedNetwork(
    "n",
    tiny.GEOMETRY,
    {
        "trunk": cost(1.0, int(5e6), image=int(1e6), pyramid=int(7e6)),
        "heads": cost(0.5, int(9e6), pyramid=int(7e6), rows=int(2e6)),
    },
)
WORK = (HostWork(0.1, 0.2, 0.3), HostWork(0.2, 2.0, 0.1))


def test_the_second_image_is_prepared_while_the_network_runs() -> None:
    one = predict(NETWORK, WORK, BOARD)
    assert one.seconds == Span(1.5, 1.5, 3.0)
    # Host twice as slow, the denoiser on two threads: 0.4 + 0.6 and 2.4 + 0.2.
    assert one.host.plan == pytest.approx(2.6)
    assert one.image.plan == pytest.approx(1.5 + 2.6)
    assert one.pair.plan == pytest.approx(0.4 + max(1.5 + 0.6, 2.4) + 1.5 + 0.2)
    assert one.pair.high == pytest.approx(0.4 + max(3.0 + 0.6, 2.4) + 3.0 + 0.2)


def test_memory_is_one_scratch_one_pyramid_and_a_twin_of_all_that_is_copied() -> None:
    one = predict(NETWORK, WORK, BOARD)
    assert (one.weights, one.scratch) == pytest.approx((2.0, 9.0))
    assert one.bindings == pytest.approx(7 + 2 * (1 + 2))
    assert one.memory.high == pytest.approx(100 + 10 + 2 + 9 + 13)


def test_the_hosts_work_is_timed_for_both_images_without_a_network() -> None:
    work = host_work(tiny.GEOMETRY, denoises=False, repeats=1)
    assert len(work) == 2
    assert all(min(one.prepare, one.denoise, one.after) > 0 for one in work)


def test_a_denoiser_of_mammograms_is_no_work_of_the_host() -> None:
    without, within = (
        host_work(preset("compact").network.geometry, denoises=denoises, repeats=1)[0].denoise
        for denoises in (False, True)
    )
    assert 0 < within < without / 2


def test_the_denoiser_takes_its_time_before_the_mammograms_network_alone() -> None:
    with_one = predict(replace(NETWORK, denoiser=cost(0.25, noisy=int(1e6))), WORK, BOARD)
    without = predict(NETWORK, WORK, BOARD)
    assert with_one.denoiser.plan == pytest.approx(0.25)
    assert with_one.pair.plan == pytest.approx(without.pair.plan + 0.25)
    assert with_one.image == without.image  # the ultrasound's: it is the slower one
    quick = (WORK[0], HostWork(0.1, 0.1, 0.1))
    alone = [predict(n, quick, BOARD).image.plan for n in (NETWORK, with_one.network)]
    assert alone[1] == pytest.approx(alone[0] + 0.25)
    assert with_one.own == pytest.approx(without.own + 1 + 2)  # its weights, its input twice


def test_two_networks_share_the_scratch_and_no_weights(tmp_path: Path) -> None:
    """As the engine has it: one scratch buffer of the largest stage, whosever it is."""
    folder = drawn_networks(tmp_path / "two", {"MG": ((96, 64), 1), "US": ((64, 128), 2)})
    probe, film = bundle_networks(folder)
    both = predict(film, WORK, BOARD)
    alone = [predict(replace(one, beside=()), WORK, BOARD) for one in (film, probe)]
    assert both.weights == pytest.approx(alone[0].weights + alone[1].weights)
    assert both.bindings == pytest.approx(alone[0].bindings + alone[1].bindings)
    assert both.scratch == max(one.scratch for one in alone)
    assert predict(probe, WORK, BOARD).own == pytest.approx(both.own)
    assert (film.modalities, probe.modalities) == ((Modality.MG,), (Modality.US,))
    pair = both.pair.plan
    assert min(o.pair.plan for o in alone) <= pair <= max(o.pair.plan for o in alone)


def test_the_shipped_bundle_is_predicted_with_its_denoiser() -> None:
    networks = bundle_networks(SHIPPED)
    for network in networks:
        assert set(network.stages) == {"trunk", "heads", "masks"}
    (film,) = (network for network in networks if Modality.MG in network.modalities)
    assert film.denoiser is not None
    assert bare(denoiser_cost(film.geometry.input_size)) == bare(film.denoiser)


# Savings.


def small(**changes: Any) -> Variant:
    """The variant of that name, of the tiny network in the paper's place."""
    paper = replace(tiny.NETWORK, geometry=tiny.geometry(**changes))
    return Variant("as it is", paper, (), "none", "")


def named(name: str, base: Variant) -> Variant:
    return next(v for v in paper_variants(base.config) if v.name == name)


def test_an_rpn_of_half_the_channels_saves_half_of_its_work() -> None:
    base = small()
    whole = config_network(base.config, "tiny")
    narrow = vary(whole, named("RPN of 128 channels", base))
    cells = sum(h * w for h, w in tiny.GEOMETRY.level_shapes(tiny.GEOMETRY.rpn_strides))
    channels, per_cell = tiny.NETWORK.fpn_channels, 2 * 3 * 5
    saved = 2 * cells * (9 * channels * channels // 2 + channels // 2 * per_cell)
    assert whole.flops.dense - narrow.flops.dense == saved
    assert narrow.stages["heads"] is whole.stages["heads"]  # not counted again


def test_without_p2_its_lateral_and_smoothing_are_gone_and_its_rows_with_them() -> None:
    base = small()
    whole = config_network(base.config, "tiny")
    without = named("no P2 at all", base)
    # The tiny network already proposes from P3 on; keep its own anchors.
    fewer = vary(whole, replace(without, config=base.config))
    height, width = (side // 4 for side in tiny.GEOMETRY.input_size)
    channels, below = tiny.NETWORK.fpn_channels, 8  # of the backbone's first stage
    saved = 2 * height * width * channels * (below + 9 * channels)
    assert whole.stages["trunk"].flops.dense - fewer.stages["trunk"].flops.dense == saved
    rows = fewer.stages["heads"].bindings["pyramid"] // (4 * channels)
    assert rows == tiny.GEOMETRY.pyramid_rows - height * width


def test_nothing_but_masks_in_groups_claims_to_leave_the_answers_alone() -> None:
    variants = paper_variants(preset("paper").network)
    assert [v.name for v in variants if v.effect == "none"] == ["masks four at a time"]
    assert len({v.name for v in variants}) == len(variants)


# Fewer RoIs on labelled images.


def test_caps_go_down_from_the_bundles_own() -> None:
    assert cap_ladder(64, 12) == ((64, 12), (64, 8), (32, 12), (32, 8), (16, 4))


def test_with_its_own_caps_a_bundle_reads_val_as_the_reader_does(
    bundle: Path, phantom_index: Path
) -> None:
    val = check_on_val(bundle, phantom_index, ["phantom"], lambda done, of: None)
    first = val.caps[0]
    assert first.caps == (tiny.GEOMETRY.proposals, tiny.GEOMETRY.findings)
    records = select(read_index(phantom_index), split="val")
    with Reader.open(bundle, EngineOptions(threads=1, runtime="onnxruntime")) as reader:
        whole = evaluate(reader, records)
    for modality, got in first.figures.items():
        wanted = whole.groups[modality.value]
        assert (got.n, got.tp, got.fp) == (wanted.n, wanted.tp, wanted.fp)
        assert got.estimates["dice_mean"].value == pytest.approx(
            wanted.estimates["dice_mean"].value, nan_ok=True
        )
    per_image = [
        sum(one.estimates["findings_per_image"].value for one in row.figures.values())
        for row in val.caps
    ]
    assert per_image[0] >= per_image[-1]
    assert all(0 < ratio <= 1 for ratio in val.narrower.values())


def test_a_bundle_of_schema_2_reads_val_if_one_network_serves_all(
    phantom_index: Path, tmp_path: Path
) -> None:
    """Its stages have the network's name before theirs; two networks have caps of their own."""
    one = drawn_networks(tmp_path / "one", {"MG": ((96, 64), 1), "US": ((96, 64), 1)})
    val = check_on_val(one, phantom_index, ["phantom"], lambda done, of: None)
    assert set(val.caps[0].figures) == set(Modality)
    two = drawn_networks(tmp_path / "two", {"MG": ((96, 64), 1), "US": ((64, 96), 2)})
    with pytest.raises(ValueError, match="is for a bundle of one network"):
        check_on_val(two, phantom_index, ["phantom"], lambda done, of: None)


# What is printed.


def prediction(**changes: Any) -> BoardPrediction:
    one = predict(NETWORK, WORK, BOARD)
    variant = Variant("some change", tiny.NETWORK, (), "sweep", "a reason")
    made = BoardPrediction(
        date(2026, 1, 2),
        BenchMachine("Some CPU", 2, 0.1, "3.11.1"),
        BOARD,
        (one,),
        ((variant, one),),
    )
    return replace(made, **changes)


def test_the_table_says_first_that_nothing_was_measured() -> None:
    console = Console(record=True, width=160, file=StringIO())
    console.print(as_rich(prediction()))
    text = console.export_text()
    assert text.startswith(PREDICTION)
    assert "some change" in text
    assert NOT_SHOWN.split(":")[0] in text
    assert "met on paper" in text  # 1.5 s
    assert "an assumption" in text


def test_the_document_is_json_and_marked_as_a_prediction() -> None:
    plain = json.loads(json.dumps(as_dict(prediction()), allow_nan=False))
    assert plain["prediction"] is True
    assert plain["networks"][0]["network_s"] == {"low": 1.5, "plan": 1.5, "high": 3.0}
    assert plain["variants_of_paper"][0]["accuracy"] == "sweep"
    assert plain["target"] == {"paper_network_s": 2.0, "met": True}


def test_the_command_predicts_the_bundle_middle_and_paper(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The true presets take seconds each; what is computed of them is tested above.
    monkeypatch.setattr(networks, "preset", lambda name: tiny.TRAIN)
    monkeypatch.setattr(networks, "paper_variants", lambda paper: paper_variants(paper)[:1])
    command = ["bench", "--bundle", str(bundle), "--predict", "nano", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    plain = json.loads(result.stdout)
    assert [one["name"] for one in plain["networks"]] == ["tiny", "middle", "paper"]
    stages, blank = (plain["networks"][k]["stages"] for k in (0, 2))
    assert stages == {name: blank[name] for name in stages}
    assert set(blank) - set(stages) == {STAGE}  # this bundle has no denoiser
    assert [one["name"] for one in plain["variants_of_paper"]] == ["masks four at a time"]
    assert plain["val"] is None


def test_val_images_without_a_prediction_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "--data", str(tmp_path / "index.csv")])
    assert result.exit_code == 2
    assert "--predict" in result.stderr
