"""The bench: operations counted from graphs, ratios by round, what is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import tiny
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from rich.console import Console
from tiny_bundle import drawn_network, export_stages
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from mammosono.appliance.values import ModelInfo
from mammosono.engines.bundle import write_manifest
from mammosono.tools.benchmarks.figures import (
    CEILING,
    OVERLAP,
    PEER,
    Bench,
    PeerRun,
    Round,
    Spread,
    as_dict,
    as_rich,
    denoising_share,
    network_rates,
    peer_figures,
    spread,
    stage_figures,
    step_figures,
)
from mammosono.tools.benchmarks.flops import Flops, count_flops
from mammosono.tools.benchmarks.measure import stage_flops
from mammosono.tools.benchmarks.references import matrix_product, peer_flops, peer_network
from mammosono.tools.benchmarks.workload import STEPS, BenchMachine, TimedPair, draw_pair
from mammosono.tools.cli import app
from mammosono.tools.export.graphs import export_stage
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs

# Graphs of one node: operator, attributes, input shape, weight shape, output's rank.


def graph(
    op: str, given: Sequence[Any], weight: Sequence[int], rank: int, **attributes: Any
) -> ModelProto:
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, given)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    w = numpy_helper.from_array(np.zeros(weight, np.float32), "w")
    made = helper.make_graph([node], "g", [x], [y], [w])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])


def test_a_convolution_multiplies_its_kernel_at_every_output_pixel() -> None:
    model = graph("Conv", [1, 3, 10, 12], [8, 3, 3, 3], 4, strides=[2, 2], pads=[1, 1, 1, 1])
    assert count_flops(model) == Flops(dense=2 * (5 * 6) * 8 * (3 * 3 * 3), depthwise=0)


def test_a_group_divides_a_convolution() -> None:
    model = graph("Conv", [1, 6, 4, 4], [8, 3, 1, 1], 4, group=2)
    assert count_flops(model) == Flops(dense=2 * (4 * 4) * 8 * 3, depthwise=0)


def test_a_group_for_every_channel_is_depthwise() -> None:
    model = graph("Conv", [1, 6, 5, 5], [6, 1, 5, 5], 4, group=6, pads=[2, 2, 2, 2])
    assert count_flops(model) == Flops(dense=0, depthwise=2 * (5 * 5) * 6 * (5 * 5))


def test_one_channel_in_is_not_yet_depthwise() -> None:
    model = graph("Conv", [1, 1, 5, 5], [4, 1, 1, 1], 4)
    assert count_flops(model) == Flops(dense=2 * 25 * 4, depthwise=0)


def test_a_deconvolution_multiplies_its_kernel_at_every_input_pixel() -> None:
    model = graph("ConvTranspose", [2, 3, 7, 5], [3, 4, 2, 2], 4, strides=[2, 2])
    assert count_flops(model) == Flops(dense=2 * 2 * (7 * 5) * 3 * 4 * (2 * 2), depthwise=0)


@pytest.mark.parametrize(("given", "transposed"), [([5, 7], 0), ([7, 5], 1)])
def test_a_gemm_is_rows_times_columns_times_depth(given: list[int], transposed: int) -> None:
    model = graph("Gemm", given, [7, 3], 2, transA=transposed)
    assert count_flops(model).total == 2 * 5 * 3 * 7


def test_a_matrix_product_counts_its_batch() -> None:
    assert count_flops(graph("MatMul", [4, 2, 5], [4, 5, 3], 3)).total == 2 * 4 * 2 * 3 * 5


def test_a_shape_that_is_not_static_is_refused() -> None:
    with pytest.raises(ValueError, match="not static"):
        count_flops(graph("Conv", [1, 3, "height", 8], [4, 3, 1, 1], 4))


class Small(nn.Module):
    """A dense, a depthwise and a transposed convolution and a linear layer."""

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    outputs: ClassVar[tuple[str, ...]] = ("answer",)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 6, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 6, 5, padding=2, groups=6),
            nn.ConvTranspose2d(6, 4, 2, stride=2),
            nn.Flatten(),
            nn.Linear(4 * 8 * 8, 3),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.body(image)
        return answer


def torch_flops(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module.eval()(*(inputs[name] for name in module.inputs))
    return int(counter.get_total_flops())


def test_the_count_is_torchs_own_and_splits_off_the_depthwise_part(tmp_path: Path) -> None:
    module, inputs = Small(), {"image": torch.zeros(1, 2, 8, 8)}
    export_stage(module, inputs, tmp_path / "small.onnx")
    counted = count_flops(onnx.load(tmp_path / "small.onnx"))
    assert counted.total == torch_flops(module, inputs)
    assert counted.depthwise == 2 * (4 * 4) * 6 * (5 * 5)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network, untrained, with all that a reader needs."""
    folder = tmp_path_factory.mktemp("tiny")
    stages = export_stages(drawn_network(), folder)
    write_manifest(
        folder,
        {
            "schema": 1,
            "name": "tiny",
            "version": "1",
            "stages": stages,
            "geometry": tiny.GEOMETRY.to_manifest(),
            "normalisation": {"percentiles": [1.0, 99.7], "mean": 0.35, "std": 0.25},
            "image_score": {code: {"head_weight": 0.5} for code in ("MG", "US")},
            "finding_thresholds": {"MG": 0.5, "US": 0.5},
            "operating_points": {"MG": 0.5, "US": 0.5},
        },
    )
    return folder


def test_every_stage_of_a_bundle_counts_as_torch_counts_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)  # the graph's own form
    network = drawn_network()
    inputs = stage_inputs(tiny.GEOMETRY, tiny.NETWORK.fpn_channels)
    wanted = {
        "trunk": torch_flops(TrunkStage(network), inputs["trunk"]),
        "heads": torch_flops(HeadsStage(network), inputs["heads"]),
        "masks": torch_flops(MasksStage(network), inputs["masks"]),
    }
    assert {name: flops.total for name, flops in stage_flops(bundle).items()} == wanted


# The peer. Its time is its own affair; that it does the whole of the usual work is ours.


def test_the_peers_backbone_is_the_resnet50_of_the_books() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        peer_network((224, 224)).trunk.backbone.eval()(torch.zeros(1, 1, 224, 224))
    # 4.09 G multiply-adds for colour (torchvision's model table), less two of the stem's three
    # input channels (7 x 7 x 64 at 112 x 112) and the classifier.
    wanted = 2 * (4.09e9 - 2 * 49 * 64 * 112**2 - 2048 * 1000)
    assert counter.get_total_flops() == pytest.approx(wanted, rel=5e-3)


def test_the_peer_computes_1000_proposals_and_100_masks_in_full() -> None:
    size = (64, 64)
    with torch.device("meta"):
        network = peer_network(size)
        inputs = stage_inputs(network.config.geometry, 256)["trunk"]
        trunk = torch_flops(TrunkStage(network), inputs)
    # The pooling is a bag look-up, which torch does not count.
    box = 49 * 256 * 1024 + 1024 * 1024 + 1024 * (3 + 4)
    mask = 196 * (4 * 9 * 256 * 256) + 784 * (256 * 256 + 256)
    assert peer_flops(size) - trunk == 2 * (1000 * box + 100 * mask)


# Figures.


def timed(total: float, **steps: float) -> TimedPair:
    return TimedPair({**dict.fromkeys(STEPS, 0.0), **steps, "total": total}, (2, 0))


FLOPS = {
    "trunk": Flops(int(3e9), int(1e9)), "heads": Flops(int(1e9), 0), "masks": Flops(int(1e9), 0),
}  # fmt: skip
ROUNDS = (
    Round(
        timed(200, trunk=80, heads=10, masks=10),
        timed(150, trunk=80, heads=10, masks=10),
        {"trunk": 80, "heads": 10, "masks": 10}, 240,
        (PeerRun((64, 32), int(5e9), 1000, (100, 99)),),
    ),
    Round(
        timed(100, trunk=50, heads=15, masks=15),
        timed(80, trunk=50, heads=15, masks=15),
        {"trunk": 40, "heads": 5, "masks": 5}, 300,
        (PeerRun((64, 32), int(5e9), 900, (100, 99)),),
    ),
    Round(
        timed(100, trunk=10, heads=10, masks=10),
        timed(70, trunk=10, heads=10, masks=10),
        {"trunk": 80, "heads": 10, "masks": 10}, 120,
        (PeerRun((64, 32), int(5e9), 400, (100, 99)),),
    ),
)  # fmt: skip
INFO = ModelInfo("compact", "1.0", "ab" * 32, "onnxruntime 1 cpu", {"MG": 0.5, "US": 0.5})


def bench(load: float = 0.1, total: float = 100.0) -> Bench:
    rate, of_ceiling = network_rates(ROUNDS, FLOPS, images=2)
    return Bench(
        date(2026, 1, 2), BenchMachine("Some CPU", 2, load, "3.11.1"), INFO, (64, 32),
        ((1024, 640), (480, 560)), 2, 3,
        {**step_figures(ROUNDS), "total": Spread(total, total, total)},
        spread([one.pair.outside for one in ROUNDS]), denoising_share(ROUNDS), (2, 0),
        stage_figures(ROUNDS, FLOPS, images=2), rate, spread([one.ceiling for one in ROUNDS]),
        of_ceiling, peer_figures(ROUNDS),
    )  # fmt: skip


def test_denoising_is_what_the_pair_takes_longer_than_the_raw_one() -> None:
    share = denoising_share(ROUNDS)
    assert (share.low, share.median, share.high) == pytest.approx((0.2, 0.25, 0.3))


def test_outside_the_network_is_what_trunk_heads_and_masks_leave_of_the_total() -> None:
    assert [one.pair.outside for one in ROUNDS] == pytest.approx([0.5, 0.2, 0.7])


def test_the_rate_is_both_images_operations_over_the_stages_time() -> None:
    rate, of_ceiling = network_rates(ROUNDS, FLOPS, images=2)
    assert (rate.low, rate.median, rate.high) == pytest.approx((120, 120, 240))
    assert (of_ceiling.low, of_ceiling.median, of_ceiling.high) == pytest.approx((0.5, 0.8, 1.0))


def test_a_stages_time_and_rate_are_those_of_one_image() -> None:
    trunk = stage_figures(ROUNDS, FLOPS, images=2)["trunk"]
    assert trunk.milliseconds == Spread(40, 20, 40)
    assert (trunk.rate.median, trunk.rate.high) == pytest.approx((100, 200))


def test_a_peer_is_compared_with_the_pair_of_its_own_round() -> None:
    (peer,) = peer_figures(ROUNDS)
    assert (peer.ratio.low, peer.ratio.median, peer.ratio.high) == (4, 5, 9)
    assert peer.milliseconds == Spread(900, 400, 1000)


def test_the_target_is_under_a_second() -> None:
    assert bench(total=999.9).target_met
    assert not bench(total=1000.0).target_met


def test_the_product_of_matrices_gives_a_rate() -> None:
    assert 0.01 < matrix_product(64)() < 1e5


# What is printed.


def printed(what: Bench) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(as_rich(what), highlight=False)
    return " ".join(capture.get().split())


def test_people_read_the_steps_the_stages_the_peer_and_the_target() -> None:
    text = printed(bench())
    for note in (OVERLAP, CEILING, PEER):
        assert " ".join(note.split()) in text
    assert "trunk 3.000 1.000 40.0 100" in text
    assert "64 x 32 5 900 400 - 1000 5.0 4.0 - 9.0" in text
    assert "Outside the network: 50% (20% - 70%)" in text
    assert "less than 1000 ms on two cores: met (100 ms)" in text
    assert "busy" not in text


def test_a_busy_machine_and_a_missed_target_are_said() -> None:
    text = printed(bench(load=3.2, total=1500.0))
    assert "busy (load 3.2" in text
    assert "NOT met (1500 ms)" in text


def test_without_a_peer_none_is_spoken_of() -> None:
    assert "Peer" not in printed(replace(bench(), peers=()))


def test_machines_read_the_same_figures() -> None:
    plain = json.loads(json.dumps(as_dict(bench()), allow_nan=False))
    assert plain["steps_ms"]["total"] == {"median": 100.0, "low": 100.0, "high": 100.0}
    assert plain["stages"]["trunk"]["depthwise_gflop"] == 1.0
    assert plain["of_ceiling"]["median"] == pytest.approx(0.8)
    assert plain["peers"][0]["times_ours"]["median"] == 5.0
    assert plain["target"] == {"ms": 1000.0, "met": True}


# The command, on the tiny network.


def test_the_pair_is_two_jpegs_of_the_stated_sizes() -> None:
    pair = draw_pair()
    assert [posted.size for posted in pair] == [(1024, 640), (480, 560)]
    assert all(posted.data.startswith(b"\xff\xd8\xff") for posted in pair)


@pytest.fixture(scope="module")
def answer(bundle: Path) -> dict[str, Any]:
    command = ["bench", "--bundle", str(bundle), "--runs", "1", "--no-peer", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    plain: dict[str, Any] = json.loads(result.stdout)
    return plain


def test_the_command_times_every_step_of_a_real_reading(answer: dict[str, Any]) -> None:
    steps = {step: value["median"] for step, value in answer["steps_ms"].items()}
    assert tuple(steps) == STEPS
    always = set(STEPS) - {"masks"}  # which nothing may be found for
    assert all(steps[step] > 0 for step in always)
    assert steps["decode"] + steps["trunk"] + steps["heads"] + steps["result"] < steps["total"]


def test_the_command_counts_the_bundles_own_graphs(answer: dict[str, Any], bundle: Path) -> None:
    wanted = {name: flops.dense / 1e9 for name, flops in stage_flops(bundle).items()}
    assert {name: one["dense_gflop"] for name, one in answer["stages"].items()} == wanted
    assert all(one["gflop_per_s"]["median"] > 0 for one in answer["stages"].values())


def test_the_command_says_what_was_measured(answer: dict[str, Any]) -> None:
    assert (answer["model"]["name"], answer["runs"], answer["threads"]) == ("tiny", 1, 2)
    assert (answer["input_size"], answer["peers"]) == ([96, 64], [])
    assert answer["ceiling_gflop_per_s"]["median"] > 0


def test_a_folder_without_a_bundle_is_one_line_and_exit_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "--bundle", str(tmp_path), "--no-peer"])
    assert result.exit_code == 2
    assert [line for line in result.stderr.splitlines() if "error: manifest.json" in line]
