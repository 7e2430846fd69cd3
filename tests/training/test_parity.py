"""Torch against the exported graphs: honest ones agree, and any other is refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
import tiny
import torch
from numpy.typing import NDArray
from tiny_bundle import drawn_network, graph_engine

from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.export.parity import BOUND, ParityError, compare
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.torch_engine import TorchEngine

OUTPUTS = {
    "trunk.objectness",
    "trunk.deltas",
    "trunk.pyramid",
    "trunk.image_classes",
    "heads.classes",
    "heads.box_deltas",
    "masks.masks",
}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnnxEngine]:
    engine = graph_engine(drawn_network(), tmp_path_factory.mktemp("tiny"))
    yield engine
    engine.close()


@pytest.fixture
def network() -> RefinedMaskRcnn:
    """The network that the graphs were made of; its weights may be changed."""
    return drawn_network()


def canvases(count: int = 3) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(7)
    return list(rng.normal(size=(count, *tiny.GEOMETRY.input_size)).astype(np.float32))


def differences(network: RefinedMaskRcnn, engine: Engine) -> dict[str, float]:
    return compare(TorchEngine(network), engine, canvases(), tiny.GEOMETRY)


def test_an_honest_export_agrees_far_within_the_bound(
    graphs: OnnxEngine, network: RefinedMaskRcnn
) -> None:
    worst = differences(network, graphs)
    assert set(worst) == OUTPUTS
    assert 0 <= max(worst.values()) < BOUND / 20


@pytest.mark.parametrize(
    ("weight", "output"),
    [
        ("trunk.backbone.stem.0.weight", "trunk.objectness"),
        ("trunk.smooth.0.weight", "trunk.pyramid"),
        ("trunk.rpn.objectness.bias", "trunk.objectness"),
        ("trunk.rpn.deltas.weight", "trunk.deltas"),
        ("trunk.image_head.linear.weight", "trunk.image_classes"),
        ("box_head.fc6.weight", "heads.classes"),
        ("box_head.classes.bias", "heads.classes"),
        ("box_head.deltas.weight", "heads.box_deltas"),
        ("mask_head.body.0.weight", "masks.masks"),
        ("mask_head.body.12.bias", "masks.masks"),
    ],
)
def test_a_weight_changed_after_export_is_refused_with_the_output_it_shows_in(
    graphs: OnnxEngine, network: RefinedMaskRcnn, weight: str, output: str
) -> None:
    changed = network.get_parameter(weight)
    with torch.no_grad():
        changed.flatten()[0] += 3.0
    with pytest.raises(ParityError, match=rf"^{output} differs by \d\.\d\de[+-]\d\d, more than"):
        differences(network, graphs)


def test_a_running_mean_changed_after_export_is_refused(
    graphs: OnnxEngine, network: RefinedMaskRcnn
) -> None:
    network.get_buffer("trunk.backbone.stem.1.running_mean").add_(0.5)
    with pytest.raises(ParityError, match="trunk"):
        differences(network, graphs)


class Off(Engine):
    """Answers as another engine does, one output off by a share of its largest value."""

    def __init__(self, engine: Engine, output: str, share: float) -> None:
        self.engine, self.output, self.share = engine, output, share

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        answers = self.engine.run(stage, inputs, keep)
        name, output = self.output.split(".")
        if stage == name:
            value = np.asarray(answers[output]).copy()
            value.flat[0] += self.share * np.abs(value).max()
            answers[output] = value
        return answers

    def close(self) -> None:
        self.engine.close()


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_the_bound_is_relative_to_the_largest_value_of_the_output(
    network: RefinedMaskRcnn, output: str
) -> None:
    same = TorchEngine(network)
    assert differences(network, Off(same, output, 0.5 * BOUND))[output] == pytest.approx(
        0.5 * BOUND, rel=0.01
    )
    with pytest.raises(ParityError, match=output):
        differences(network, Off(same, output, 1.5 * BOUND))


def test_a_nan_is_a_difference(network: RefinedMaskRcnn) -> None:
    with pytest.raises(ParityError, match=r"masks\.masks differs by nan"):
        differences(network, Off(TorchEngine(network), "masks.masks", np.nan))


def test_without_an_image_nothing_is_proved(graphs: OnnxEngine, network: RefinedMaskRcnn) -> None:
    with pytest.raises(ParityError, match="no image"):
        compare(TorchEngine(network), graphs, [], tiny.GEOMETRY)
