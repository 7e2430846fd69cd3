"""Losses of one batch: the network's three stages around the device's own RoI code.

An image's share of each loss depends on that image alone, and is divided by what the whole step
holds; so the shares of a step add up to the same loss however its images are dealt out to
batches and devices. (Batch norm's statistics are the exception: they are a batch's own.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.boxes import encode
from mammosono.appliance.pipeline.detector.proposals import propose
from mammosono.appliance.pipeline.detector.roi import roi_samples
from mammosono.tools import losses
from mammosono.tools.data.augment import Example
from mammosono.tools.network.config import LOSS_PARTS, TrainConfig
from mammosono.tools.network.model import RefinedMaskRcnn, TrunkOutput, pool_rois
from mammosono.tools.training.targets import RoiTargets, anchor_targets, mask_target, roi_targets

MAX_MASK_ROIS = 4
"""Mask RoIs an image: the mask branch costs four times the box branch."""

_RPN_BOX_SHARE = 0.25
"""Of the sampled anchors, what the box loss is divided by: few of them are positive here."""


class Counts(NamedTuple):
    """What a step's losses are divided by: its images, those whose lesions have a mask that may
    teach, and those whose image class is known."""

    images: float
    masked: float
    known: float

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Counts:
        return cls(
            len(examples),
            sum(bool(e.exact.any()) for e in examples),
            sum(e.image_class >= 0 for e in examples),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Scalars with their graph: this batch's share of the step's losses. `image_correct` and
    `image_count` are plain numbers of this batch."""

    rpn_class: Tensor
    rpn_box: Tensor
    classes: Tensor
    box: Tensor
    mask: Tensor
    image: Tensor
    image_correct: int
    image_count: int

    def total(self, image_weight: float) -> Tensor:
        parts = self.rpn_class + self.rpn_box + self.classes + self.box + self.mask
        return parts + image_weight * self.image


def batch_losses(
    network: RefinedMaskRcnn,
    images: Tensor,
    examples: Sequence[Example],
    config: TrainConfig,
    rngs: Sequence[np.random.Generator],
    counts: Counts,
) -> Losses:
    """images: [N, 1, H, W] standardised, on the network's device.

    rngs: one an image, for the sampling of its anchors and RoIs. counts: of the whole step.
    """
    geometry = config.network.geometry
    trunk: TrunkOutput = network.trunk(images)
    anchors = anchors_by_level(geometry)
    rpn_class, rpn_box = _rpn_losses(trunk, np.concatenate(anchors), examples, config, rngs)
    objectness = trunk.objectness.detach().float().cpu().numpy()
    deltas = trunk.deltas.detach().float().cpu().numpy()
    sampled = []
    for k, example in enumerate(examples):
        proposals, _ = propose(objectness[k], deltas[k], anchors, geometry)
        sampled.append(roi_targets(proposals, example.boxes, example.labels, config.loss, rngs[k]))
    classes, box = _box_losses(network, trunk.pyramid, examples, sampled, config)
    mask = _mask_losses(network, trunk.pyramid, examples, sampled, config)
    truth = torch.tensor([e.image_class for e in examples], device=images.device)
    known = truth >= 0
    correct = ((trunk.image_logits.argmax(1) == truth) & known).sum()
    image = losses.class_loss(trunk.image_logits, truth) * known.sum()
    return Losses(
        rpn_class / counts.images,
        rpn_box / counts.images,
        classes / counts.images,
        box / counts.images,
        mask / max(counts.masked, 1.0),
        image / max(counts.known, 1.0),
        int(correct),
        int(known.sum()),
    )


def _rpn_losses(
    trunk: TrunkOutput,
    anchors: np.ndarray,
    examples: Sequence[Example],
    config: TrainConfig,
    rngs: Sequence[np.random.Generator],
) -> tuple[Tensor, Tensor]:
    """Sums over the images."""
    geometry, device = config.network.geometry, trunk.objectness.device
    classes, boxes = [], []
    for k, (example, rng) in enumerate(zip(examples, rngs, strict=True)):
        target = anchor_targets(anchors, example.boxes, geometry, config.loss, rng)
        index = torch.from_numpy(target.index).to(device)
        positive = torch.from_numpy(target.positive).to(device)
        classes.append(losses.objectness_loss(trunk.objectness[k][index], positive))
        found = trunk.deltas[k][index[positive]].float()
        wanted = torch.from_numpy(target.deltas).to(device)
        normaliser = _RPN_BOX_SHARE * len(index)
        boxes.append(losses.box_loss(found, wanted, 1.0, "huber", normaliser))
    return torch.stack(classes).sum(), torch.stack(boxes).sum()


def _pooled(pyramid: Tensor, boxes: Sequence[np.ndarray], bins: int, config: TrainConfig) -> Tensor:
    """Pooled RoIs of all images of the batch, one after another: [sum R, bins * bins, C]."""
    rows, weights = [], []
    for k, part in enumerate(boxes):
        r, w = roi_samples(part, bins, config.network.geometry)
        rows.append(torch.from_numpy(r.astype(np.int64) + k * pyramid.shape[1]))
        weights.append(torch.from_numpy(w))
    device = pyramid.device
    return pool_rois(
        pyramid.flatten(0, 1), torch.cat(rows).to(device), torch.cat(weights).to(device)
    )


def _box_losses(
    network: RefinedMaskRcnn,
    pyramid: Tensor,
    examples: Sequence[Example],
    sampled: Sequence[RoiTargets],
    config: TrainConfig,
) -> tuple[Tensor, Tensor]:
    """Sums over the images."""
    geometry, device = config.network.geometry, pyramid.device
    pooled = _pooled(pyramid, [s.boxes for s in sampled], geometry.box_bins, config)
    logits, deltas = network.box_head(pooled)
    sizes = [len(s.labels) for s in sampled]
    classes, boxes = [], []
    parts = zip(examples, sampled, logits.split(sizes), deltas.split(sizes), strict=True)
    for example, roi, scores, steps in parts:
        labels = torch.from_numpy(roi.labels).to(device)
        lesion = roi.truth >= 0
        wanted = encode(
            example.boxes[roi.truth[lesion]], roi.boxes[lesion], geometry.box_weights
        ).astype(np.float32)
        classes.append(losses.class_loss(scores, labels))
        boxes.append(
            losses.box_loss(
                steps[labels > 0].float(),
                torch.from_numpy(wanted).to(device),
                config.loss.box_alpha,
                config.loss.box_kernel,
                float(len(labels)),
            )
        )
    return torch.stack(classes).sum(), torch.stack(boxes).sum()


def _mask_losses(
    network: RefinedMaskRcnn,
    pyramid: Tensor,
    examples: Sequence[Example],
    sampled: Sequence[RoiTargets],
    config: TrainConfig,
) -> Tensor:
    """Sum over the images that have a mask to teach."""
    geometry = config.network.geometry
    boxes, targets = [], []
    for example, roi in zip(examples, sampled, strict=True):
        usable = [j for j, t in enumerate(roi.truth) if t >= 0 and example.exact[t]]
        usable = usable[:MAX_MASK_ROIS]
        boxes.append(roi.boxes[usable])
        targets.append(
            [
                mask_target(example.masks[roi.truth[j]], roi.boxes[j], geometry.mask_size)
                for j in usable
            ]
        )
    if not any(targets):
        return pyramid.sum() * 0
    logits = network.mask_head(_pooled(pyramid, boxes, geometry.mask_bins, config))
    parts = zip(logits.split([len(part) for part in targets]), targets, strict=True)
    return torch.stack(
        [
            losses.mask_loss(found, torch.from_numpy(np.stack(wanted)).to(pyramid.device))
            for found, wanted in parts
            if wanted
        ]
    ).sum()


class StepTotals(NamedTuple):
    """The losses of a step, and how many images' classes were right and how many are known."""

    rpn_class: float = 0.0
    rpn_box: float = 0.0
    classes: float = 0.0
    box: float = 0.0
    mask: float = 0.0
    image: float = 0.0
    correct: float = 0.0
    known: float = 0.0

    @classmethod
    def of(cls, losses: Losses) -> StepTotals:
        parts = [float(getattr(losses, part).detach()) for part in LOSS_PARTS]
        return cls._make([*parts, float(losses.image_correct), float(losses.image_count)])

    def plus(self, other: StepTotals) -> StepTotals:
        return StepTotals(*(a + b for a, b in zip(self, other, strict=True)))

    def loss(self, image_weight: float) -> float:
        """What was minimised."""
        return sum(self[: LOSS_PARTS.index("image")]) + image_weight * self.image


class Totals:
    """Means over the steps of an epoch."""

    def __init__(self) -> None:
        self._sum = StepTotals()
        self._steps = 0

    def add(self, step: StepTotals) -> None:
        self._sum = self._sum.plus(step)
        self._steps += 1

    def means(self) -> dict[str, float]:
        steps = max(self._steps, 1)
        return {part: getattr(self._sum, part) / steps for part in LOSS_PARTS}

    def accuracy(self) -> float:
        """Of the whole-image head on the augmented training images."""
        return self._sum.correct / max(self._sum.known, 1)
