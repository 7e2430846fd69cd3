"""ResNet (He 2016) with its stride schedule open: where the edge is kept or lost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

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


def _conv_bn(cin: int, cout: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, padding, dilation, bias=False), nn.BatchNorm2d(cout)
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
