"""The three stages: static shapes, the engine contract, and the device's own detector on top."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the stages need torch")

import tiny  # noqa: E402

from mammosono.appliance.pipeline.detector.detector import Detections, Detector  # noqa: E402
from mammosono.engines.errors import EngineFault  # noqa: E402
from mammosono.engines.interface import DeviceTensor  # noqa: E402
from mammosono.tools.network.model import RefinedMaskRcnn  # noqa: E402
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs  # noqa: E402
from mammosono.tools.network.torch_engine import TorchEngine  # noqa: E402

G = tiny.GEOMETRY


@pytest.fixture
def network() -> RefinedMaskRcnn:
    torch.manual_seed(5)
    made = RefinedMaskRcnn(tiny.NETWORK)
    torch.nn.init.normal_(made.box_head.deltas.weight, std=0.1)  # boxes that move
    torch.nn.init.normal_(made.mask_head.body[-1].weight, std=1.0)  # masks that have a shape
    return made


def canvas(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(G.input_size, np.float32)


def test_every_stage_answers_its_traced_shapes(network: RefinedMaskRcnn) -> None:
    inputs = stage_inputs(G, tiny.NETWORK.fpn_channels)
    anchors = 2 * 3 * sum(h * w for h, w in G.level_shapes(G.rpn_strides))
    expected = {
        "trunk": {
            "objectness": (1, anchors),
            "deltas": (1, anchors, 4),
            "pyramid": (G.pyramid_rows, tiny.NETWORK.fpn_channels),
            "image_classes": (1, 3),
        },
        "heads": {"classes": (G.proposals, 3), "box_deltas": (G.proposals, 4)},
        "masks": {"masks": (G.findings, G.mask_size, G.mask_size)},
    }
    stages = {"trunk": TrunkStage, "heads": HeadsStage, "masks": MasksStage}
    assert inputs.keys() == stages.keys()
    for name, kind in stages.items():
        stage = kind(network).eval()
        assert tuple(inputs[name]) == stage.inputs
        with torch.inference_mode():
            answers = dict(zip(stage.outputs, stage(*inputs[name].values()), strict=True))
        assert {key: tuple(value.shape) for key, value in answers.items()} == expected[name]


def test_stages_answer_probabilities(network: RefinedMaskRcnn) -> None:
    engine = TorchEngine(network)
    image = engine.run("trunk", {"image": canvas()[None, None]})["image_classes"]
    rng = np.random.default_rng(1)
    pyramid = rng.standard_normal((G.pyramid_rows, tiny.NETWORK.fpn_channels), np.float32)

    def rois(count: int, bins: int) -> dict[str, np.ndarray]:
        shape = (count, bins * bins, G.samples_per_row)
        rows = rng.integers(0, G.pyramid_rows, shape, np.int32)
        return {"pyramid": pyramid, "rows": rows, "weights": rng.random(shape, np.float32)}

    classes = engine.run("heads", rois(G.proposals, G.box_bins))["classes"]
    masks = engine.run("masks", rois(G.findings, G.mask_bins))["masks"]
    assert np.allclose(np.asarray(image).sum(1), 1, atol=1e-6)
    assert np.allclose(np.asarray(classes).sum(1), 1, atol=1e-6)
    assert np.asarray(masks).min() >= 0
    assert np.asarray(masks).max() <= 1
    assert np.ptp(np.asarray(masks)) > 0.1


def detect(network: RefinedMaskRcnn, seed: int = 0, threshold: float = 0.0) -> Detections:
    return Detector(TorchEngine(network), G).detect(canvas(seed), threshold)


def test_the_devices_detector_runs_on_it_from_end_to_end(network: RefinedMaskRcnn) -> None:
    seen = detect(network)
    height, width = G.input_size
    assert 0 < len(seen.boxes) <= G.findings
    assert seen.masks.shape == (len(seen.boxes), G.mask_size, G.mask_size)
    assert seen.image.shape == (3,)
    assert seen.boxes.min() >= 0
    assert (seen.boxes[:, 2:] <= (width, height)).all()
    assert (seen.boxes[:, 2:] - seen.boxes[:, :2] >= G.min_box_px).all()
    assert (np.diff(seen.lesion) <= 0).all()


def test_the_same_canvas_gives_the_same_answer_and_another_another(
    network: RefinedMaskRcnn,
) -> None:
    network.train()  # the engine must not leave dropout or batch statistics on
    one, again, other = detect(network, 0), detect(network, 0), detect(network, 1)
    for field in ("image", "boxes", "malignant", "masks"):
        assert np.array_equal(getattr(one, field), getattr(again, field))
    assert not np.array_equal(one.image, other.image)


def test_a_score_that_nothing_reaches_gives_no_finding(network: RefinedMaskRcnn) -> None:
    seen = detect(network, threshold=1.01)
    assert seen.boxes.shape == (0, 4)
    assert seen.masks.shape == (0, G.mask_size, G.mask_size)


def test_a_kept_output_stays_a_tensor_and_can_be_used(network: RefinedMaskRcnn) -> None:
    engine = TorchEngine(network)
    kept = engine.run("trunk", {"image": canvas()[None, None]}, keep=("pyramid",))["pyramid"]
    fetched = engine.run("trunk", {"image": canvas()[None, None]})["pyramid"]
    assert isinstance(kept, DeviceTensor)
    assert kept.shape == fetched.shape == (G.pyramid_rows, tiny.NETWORK.fpn_channels)
    shape = (G.proposals, G.box_bins**2, G.samples_per_row)
    rois = {"rows": np.full(shape, 7, np.int32), "weights": np.full(shape, 0.1, np.float32)}
    answers = [engine.run("heads", {"pyramid": p, **rois})["box_deltas"] for p in (kept, fetched)]
    assert np.array_equal(*answers)


def test_the_runtime_names_torch(network: RefinedMaskRcnn) -> None:
    assert TorchEngine(network).runtime == f"torch {torch.__version__}"


@pytest.mark.parametrize(
    ("stage", "name"), [("denoise", "image"), ("trunk", "picture"), ("heads", "image")]
)
def test_a_stage_or_input_that_does_not_exist_is_a_fault(
    network: RefinedMaskRcnn, stage: str, name: str
) -> None:
    with pytest.raises(EngineFault, match=f"no stage {stage} takes {name}"):
        TorchEngine(network).run(stage, {name: canvas()[None, None]})


def test_nan_is_a_fault_and_never_no_finding(network: RefinedMaskRcnn) -> None:
    torch.nn.init.constant_(network.box_head.classes.bias, float("nan"))
    with pytest.raises(EngineFault, match="classes of stage heads"):
        detect(network)


def test_a_closed_engine_runs_nothing(network: RefinedMaskRcnn) -> None:
    engine = TorchEngine(network)
    engine.close()
    with pytest.raises(EngineFault):
        engine.run("trunk", {"image": canvas()[None, None]})
