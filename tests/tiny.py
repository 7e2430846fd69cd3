"""A network that answers in milliseconds, and pictures that it can be trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.sample import Sample, SampleLesion
from mammosono.tools.network.config import LossConfig, NetworkConfig, TrainConfig

GEOMETRY = Geometry(
    input_size=(96, 64),
    pyramid_strides=(4, 8, 16, 32),
    rpn_strides=(8, 16, 32, 64),
    anchor_sizes=((10.0, 14.0), (20.0, 26.0), (34.0, 44.0), (56.0, 70.0)),
    pre_nms_top_n=50,
    proposals=16,
    proposals_floor=2,
    roi_level_sizes=(12.0, 24.0, 48.0),
    box_bins=3,
    mask_bins=4,
    mask_size=16,
    findings=4,
)

NETWORK = NetworkConfig(
    geometry=GEOMETRY,
    backbone="resnet18",
    width=0.125,
    fpn_channels=8,
    box_channels=16,
    mask_channels=8,
)

TRAIN = TrainConfig(
    network=NETWORK,
    loss=LossConfig(rpn_samples=32, roi_samples=16),
    batch_size=4,
    epochs=2,
    warmup_steps=2,
    ema_decay=0.8,
    pretrained=False,
)


def geometry(**changes: Any) -> Geometry:
    return replace(GEOMETRY, **changes)


def network(**changes: Any) -> NetworkConfig:
    return replace(NETWORK, **changes)


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> NDArray[np.uint8]:
    """1 inside, 0 outside; centre (x, y) and radius in pixels, pixel centres at + 0.5."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2).astype(np.uint8)


def disc_sample(
    *discs: tuple[float, float, float],
    size: tuple[int, int] = (96, 64),
    label: Label | None = Label.MALIGNANT,
    modality: Modality = Modality.MG,
    exact: bool = True,
    enlarge: float = 1.0,
    source: str = "drawn",
) -> Sample:
    """Bright discs (x, y, radius) on grey tissue; each is a lesion of that label."""
    masks = [disc(size, (x, y), radius) for x, y, radius in discs]
    view = np.full(size, 60, np.uint8)
    view[::16, ::16] = 20  # the tissue's own dark end, so that grey levels have a span
    for mask in masks:
        view[mask > 0] = 240
    lesions = () if label is None else tuple(SampleLesion(label, mask, exact) for mask in masks)
    name = label.value if label else "normal"
    return Sample(modality, name, source, (view,), lesions, enlarge)
