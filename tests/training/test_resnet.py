"""The ResNet: the stock trunk, and what its stride schedule may and may not change."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from torch import nn  # noqa: E402

from mammosono.tools.network.backbones import FULL_STRIDES, ResNet, _conv_bn  # noqa: E402

DILATED = (1, 2, 2, 1)
bottleneck_or_not = pytest.mark.parametrize("name", ["resnet18", "resnet50"])


def tiny(name: str, **options: object) -> ResNet:
    torch.manual_seed(0)
    backbone = ResNet(name, 0.0625, **options)  # type: ignore[arg-type]
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # no identity, so that it is tested too
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return backbone.eval()


@pytest.mark.parametrize(
    ("name", "stock_without_fc"),
    [
        # torchvision's published counts less the 1000-class layer
        ("resnet18", 11_689_512 - 513_000),
        ("resnet34", 21_797_672 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
        ("resnet101", 44_549_160 - 2_049_000),
    ],
)
def test_every_depth_has_the_stock_number_of_weights(name: str, stock_without_fc: int) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in ResNet(name).parameters())
    two_colours_of_the_stem = 2 * 64 * 7 * 7
    assert count == stock_without_fc - two_colours_of_the_stem


@pytest.mark.parametrize(
    ("schedule", "strides"),
    [
        ((1, 2, 2, 2), (4, 8, 16, 32)),
        ((1, 2, 2, 1), (4, 8, 16, 16)),
        ((1, 2, 1, 1), (4, 8, 8, 8)),
        ((2, 2, 2, 1), (8, 16, 32, 32)),
    ],
)
@bottleneck_or_not
def test_the_schedule_gives_the_strides_it_says(
    name: str, schedule: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    backbone = tiny(name, stage_strides=schedule)
    with torch.inference_mode():
        features = backbone(torch.zeros(1, 1, 64, 96))
    assert backbone.strides == strides
    assert [tuple(f.shape) for f in features] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(backbone.channels, strides, strict=True)
    ]


@pytest.mark.parametrize("schedule", [DILATED, (1, 2, 1, 1), (1, 2, 1, 2)])
@pytest.mark.parametrize("stride_in_1x1", [False, True])
@bottleneck_or_not
def test_dilation_is_the_strided_network_seen_more_densely(
    name: str, stride_in_1x1: bool, schedule: tuple[int, ...]
) -> None:
    """With the same weights the coarse answer is every second one of the dense: so the field of
    view is the same, and weights move from one schedule to the other."""
    strided = tiny(name, stride_in_1x1=stride_in_1x1)
    dilated = tiny(name, stage_strides=schedule, stride_in_1x1=stride_in_1x1)
    dilated.load_state_dict(strided.state_dict())
    image = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        pairs = list(zip(strided(image), dilated(image), strict=True))
    for k, (coarse, dense) in enumerate(pairs):
        step = strided.strides[k] // dilated.strides[k]
        assert torch.allclose(coarse, dense[..., ::step, ::step], atol=1e-4), f"stage {k}"
    assert pairs[-1][1].shape[-1] > pairs[-1][0].shape[-1]


@pytest.mark.parametrize(("stride_in_1x1", "kernels"), [(True, {1}), (False, {3})])
def test_a_bottleneck_strides_where_it_is_told_to(stride_in_1x1: bool, kernels: set[int]) -> None:
    backbone = tiny("resnet50", stride_in_1x1=stride_in_1x1)
    bodies = [block.body for stage in backbone.stages for block in stage]
    strided = {
        conv.kernel_size[0]
        for body in bodies
        for conv in body.modules()
        if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2)
    }
    assert strided == kernels


def test_width_scales_the_channels() -> None:
    assert ResNet("resnet18", 0.25).channels == (16, 32, 64, 128)


def test_the_schedule_that_is_usual_is_the_default() -> None:
    assert ResNet("resnet18", 0.125).strides == (4, 8, 16, 32)
    assert FULL_STRIDES == (1, 2, 2, 2)


def test_a_schedule_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ResNet("resnet18", 0.125, (1, 2, 2))


# A strided 1x1 in training

ODD_PASSES = """
import torch
from mammosono.tools.network.backbones import ResNet
torch.set_num_threads(2)
network = ResNet("resnet18", 0.125).to(memory_format=torch.channels_last).train()
for images in (3, 5, 7) * 10:
    picture = torch.randn(images, 1, 96, 64).to(memory_format=torch.channels_last)
    sum(level.square().mean() for level in network(picture)).backward()
"""


def test_passes_of_an_odd_number_of_images_do_not_write_past_a_buffer() -> None:
    """oneDNN's gradient of a strided 1x1 does; glibc then ends the process, sooner or later."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", ODD_PASSES], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_strided_pointwise_convolution_is_the_stock_one_in_training_too() -> None:
    torch.manual_seed(0)
    ours = _conv_bn(8, 16, 1, stride=2)[0].train()
    picture = torch.randn(2, 8, 10, 6)
    stock = nn.functional.conv2d(picture, ours.weight, stride=2)
    found = ours(picture)
    torch.testing.assert_close(found, stock)
    given = torch.randn_like(stock)
    torch.testing.assert_close(
        torch.autograd.grad(found, ours.weight, given),
        torch.autograd.grad(stock, ours.weight, given),
    )
