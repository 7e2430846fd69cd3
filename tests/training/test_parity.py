"""Parity: an honest export agrees with torch, a dishonest one is refused; two engines' findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from numpy.typing import NDArray
from tiny_bundle import drawn_network, graph_engine

from mammosono.appliance.pipeline.detector.detector import Detections
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.tools.export.parity import BOUND, MARGIN, Agreement, ParityError, compare, mask_iou
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


THRESHOLD = 0.4
GEOMETRY = tiny.geometry(input_size=(128, 640))


def seen(*, lesion: tuple[float, ...] = (0.9, 0.6)) -> Detections:
    """Findings far apart, 40 px a side, the upper half of each in the mask."""
    count = len(lesion)
    boxes = np.float32([[100 * k, 0, 100 * k + 40, 40] for k in range(count)]).reshape(-1, 4)
    masks = np.zeros((count, 16, 16), np.float32)
    masks[:, :8] = 1
    score = np.float32(lesion)
    return Detections(np.float32([0.2, 0.3, 0.5]), boxes, score / 2, score / 2, masks)


def compared(a: Detections, b: Detections) -> Agreement:
    found = Agreement()
    found.add(a, b, THRESHOLD, GEOMETRY)
    return found


def reordered(a: Detections, order: list[int]) -> Detections:
    return replace(
        a,
        boxes=a.boxes[order],
        benign=a.benign[order],
        malignant=a.malignant[order],
        masks=a.masks[order],
    )


def test_the_same_in_another_order_agrees() -> None:
    found = compared(seen(), reordered(seen(), [1, 0]))
    assert found == Agreement(images=1, findings=2)
    assert found.broken == []


def test_two_readings_without_findings_agree() -> None:
    assert compared(seen(lesion=()), seen(lesion=())).broken == []


@pytest.mark.parametrize("swap", [False, True])
def test_a_sure_finding_that_one_alone_reports_is_lost(swap: bool) -> None:
    pair = (seen(), seen(lesion=(0.9,)))
    found = compared(*(reversed(pair) if swap else pair))
    assert found.broken == ["1 findings without a counterpart"]


def test_one_just_above_the_threshold_may_be_missing_if_it_was_just_below_for_the_other() -> None:
    """Both are asked for findings down to the margin below the threshold."""
    below = seen(lesion=(0.9, THRESHOLD - MARGIN / 2))
    assert compared(below, seen(lesion=(0.9,))).broken == []


def moved(by: float) -> dict[str, Any]:
    return {"boxes": seen().boxes + np.float32([by, 0, by, 0])}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (moved(30), "4 findings without a counterpart"),
        (moved(4), "2 of 2 findings have another box"),
        ({"masks": np.roll(seen().masks, 3, axis=1)}, "masks overlap by IoU 0.4"),
        ({"malignant": seen().malignant - np.float32(0.1)}, "score is off by 0.1000"),
        ({"benign": seen().benign + np.float32(0.1)}, "score is off by 0.1000"),
        ({"malignant": seen().malignant * np.float32(np.nan)}, "score is off by nan"),
        ({"image": np.float32([0.1, 0.3, 0.6])}, "image's score is off by 0.1000"),
        ({"image": np.float32([np.nan, 0.3, 0.6])}, "image's score is off by nan"),
    ],
)
def test_what_differs_is_named_with_its_measure(change: dict[str, Any], said: str) -> None:
    found = compared(seen(), replace(seen(), **change))
    assert any(said in line for line in found.broken), found.broken


def test_of_two_candidates_that_rank_alike_either_may_be_chosen_but_seldom() -> None:
    six = seen(lesion=(0.9,) * 6)
    boxes = six.boxes.copy()
    boxes[0, [0, 2]] += 4
    assert compared(six, replace(six, boxes=boxes)).broken == []
    boxes[1, [0, 2]] += 4
    (line,) = compared(six, replace(six, boxes=boxes)).broken
    assert line == "2 of 6 findings have another box"


def test_an_innocent_image_after_a_bad_one_hides_nothing() -> None:
    found = compared(seen(), replace(seen(), image=np.float32([np.nan, 0.3, 0.6])))
    found.add(seen(), seen(), THRESHOLD, GEOMETRY)
    assert found.images == 2
    assert any("off by nan" in line for line in found.broken)


def test_masks_overlap_by_what_is_inside_both() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, True])
    assert mask_iou(a, b) == pytest.approx(1 / 3)
    assert mask_iou(a & ~a, b & ~b) == 1
