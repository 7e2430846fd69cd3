"""The refinements as configuration: what is trained is what the device computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")
pytest.importorskip("onnx", reason="the graphs need onnx")

import tiny  # noqa: E402
from tiny_bundle import drawn_network, graph_engine  # noqa: E402
from torch import Tensor  # noqa: E402

from mammosono.tools.export.parity import compare  # noqa: E402
from mammosono.tools.network.backbones import EfficientNetLite0  # noqa: E402
from mammosono.tools.network.config import NetworkConfig, preset  # noqa: E402
from mammosono.tools.network.torch_engine import TorchEngine  # noqa: E402

BY_SIZE = tiny.network(geometry=tiny.geometry(roi_levels="by_size"))
FUSED = tiny.network(geometry=tiny.geometry(roi_levels="fused"))
DILATED = tiny.network(
    stage_strides=(1, 2, 2, 1),
    geometry=tiny.geometry(pyramid_strides=(4, 8, 16, 16), rpn_strides=(8, 16, 16, 32)),
)


@pytest.mark.parametrize("config", [BY_SIZE, FUSED, DILATED], ids=["by size", "fused", "dilated"])
def test_the_graphs_of_a_refinement_answer_as_torch_does(
    config: NetworkConfig, tmp_path: Path
) -> None:
    network = drawn_network(config)
    engine = graph_engine(network, tmp_path)
    rng = np.random.default_rng(3)
    canvases = [rng.standard_normal(config.geometry.input_size, np.float32) for _ in range(2)]
    try:
        seen = compare(TorchEngine(network), engine, canvases, config.geometry)
    finally:
        engine.close()
    assert seen
    assert max(seen.values()) < 1e-3


def test_fused_features_are_another_reading_of_the_same_pyramid() -> None:
    one, other = drawn_network(BY_SIZE), drawn_network(FUSED)
    other.load_state_dict(one.state_dict())  # no weight of its own
    assert FUSED.geometry.samples_per_row == 4 * BY_SIZE.geometry.samples_per_row


def features(image: Tensor, backbone: EfficientNetLite0) -> list[Tensor]:
    with torch.inference_mode():
        found: list[Tensor] = backbone(image)
    return found


def encoder(stage_strides: tuple[int, ...] = (1, 2, 2, 2)) -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0(stage_strides).eval()


@pytest.mark.parametrize("schedule", [(1, 2, 2, 1), (1, 2, 1, 1), (1, 2, 1, 2)])
def test_the_encoders_dilation_is_the_strided_one_seen_more_densely(
    schedule: tuple[int, ...],
) -> None:
    """With the same weights every second answer of the dense encoder is the strided one's."""
    strided, dilated = encoder(), encoder(schedule)
    dilated.load_state_dict(strided.state_dict())
    image = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(1))
    coarse, dense = features(image, strided), features(image, dilated)
    for k, (few, many) in enumerate(zip(coarse, dense, strict=True)):
        step = strided.strides[k] // dilated.strides[k]
        assert many.shape[-2:] == (64 // dilated.strides[k], 96 // dilated.strides[k])
        assert torch.allclose(many[..., ::step, ::step], few, atol=1e-5)
    assert dilated.strides[-1] < strided.strides[-1]


def test_the_encoder_reaches_stride_four_before_its_first_stage() -> None:
    with pytest.raises(ValueError, match="takes 1 there"):
        EfficientNetLite0((2, 2, 2, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": {"roi_levels": "by_size"}},
        {
            "geometry": {"pyramid_strides": (4, 8, 16, 16), "rpn_strides": (8, 16, 16, 32)},
            "network": {"stage_strides": (1, 2, 2, 1)},
        },
    ],
    ids=["by size", "dilated"],
)
def test_compact_takes_the_refinement(change: dict) -> None:
    network = preset("compact").network
    geometry = replace(network.geometry, **change["geometry"])
    changed = replace(network, geometry=geometry, **change.get("network", {}))
    made = drawn_network(changed)
    assert made.trunk.backbone.strides == geometry.pyramid_strides
