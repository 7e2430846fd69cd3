"""The losses of one batch: the network's three stages around the device's own RoI code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from appliance.detector.anchors import anchors_by_level
from appliance.detector.boxes import encode
from appliance.detector.proposals import propose
from appliance.detector.roi import roi_samples
from tools import losses
from tools.data.augment import Example
from tools.network.config import TrainConfig
from tools.network.model import RefinedMaskRcnn, TrunkOutput, pool_rois
from tools.training.targets import RoiTargets, anchor_targets, mask_target, roi_targets

MAX_MASK_ROIS = 4
"""Mask RoIs an image: the mask branch costs four times the box branch."""

_RPN_BOX_SHARE = 0.25
"""Of the sampled anchors, what the box loss is divided by: few of them are positive here."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Scalars with their graph; `image_correct` and `image_count` are plain numbers."""

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
    rng: np.random.Generator,
) -> Losses:
    """images: [N, 1, H, W] standardised, on the network's device."""
    geometry = config.network.geometry
    trunk: TrunkOutput = network.trunk(images)
    anchors = anchors_by_level(geometry)
    rpn_class, rpn_box = _rpn_losses(trunk, np.concatenate(anchors), examples, config, rng)
    objectness = trunk.objectness.detach().float().cpu().numpy()
    deltas = trunk.deltas.detach().float().cpu().numpy()
    sampled = []
    for k, example in enumerate(examples):
        proposals, _ = propose(objectness[k], deltas[k], anchors, geometry)
        sampled.append(roi_targets(proposals, example.boxes, example.labels, config.loss, rng))
    classes, box = _box_losses(network, trunk.pyramid, examples, sampled, config)
    mask = _mask_losses(network, trunk.pyramid, examples, sampled, config)
    truth = torch.tensor([e.image_class for e in examples], device=images.device)
    known = truth >= 0
    correct = ((trunk.image_logits.argmax(1) == truth) & known).sum()
    return Losses(
        rpn_class,
        rpn_box,
        classes,
        box,
        mask,
        losses.class_loss(trunk.image_logits, truth),
        int(correct),
        int(known.sum()),
    )


def _rpn_losses(
    trunk: TrunkOutput,
    anchors: np.ndarray,
    examples: Sequence[Example],
    config: TrainConfig,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    geometry, device = config.network.geometry, trunk.objectness.device
    logits, flags, predicted, wanted = [], [], [], []
    for k, example in enumerate(examples):
        target = anchor_targets(anchors, example.boxes, geometry, config.loss, rng)
        index = torch.from_numpy(target.index).to(device)
        positive = torch.from_numpy(target.positive).to(device)
        logits.append(trunk.objectness[k][index])
        flags.append(positive)
        predicted.append(trunk.deltas[k][index[positive]])
        wanted.append(torch.from_numpy(target.deltas).to(device))
    found, sampled = torch.cat(predicted).float(), torch.cat(flags)
    normaliser = _RPN_BOX_SHARE * len(sampled)
    box = losses.box_loss(found, torch.cat(wanted), 1.0, "huber", normaliser)
    return losses.objectness_loss(torch.cat(logits), sampled), box


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
    geometry, device = config.network.geometry, pyramid.device
    pooled = _pooled(pyramid, [s.boxes for s in sampled], geometry.box_bins, config)
    logits, deltas = network.box_head(pooled)
    labels = torch.from_numpy(np.concatenate([s.labels for s in sampled])).to(device)
    wanted = [
        encode(e.boxes[s.truth[s.truth >= 0]], s.boxes[s.truth >= 0], geometry.box_weights)
        for e, s in zip(examples, sampled, strict=True)
    ]
    target = torch.from_numpy(np.concatenate(wanted).astype(np.float32)).to(device)
    box = losses.box_loss(
        deltas[labels > 0].float(),
        target,
        config.loss.box_alpha,
        config.loss.box_kernel,
        float(len(labels)),
    )
    return losses.class_loss(logits, labels), box


def _mask_losses(
    network: RefinedMaskRcnn,
    pyramid: Tensor,
    examples: Sequence[Example],
    sampled: Sequence[RoiTargets],
    config: TrainConfig,
) -> Tensor:
    geometry = config.network.geometry
    boxes, targets = [], []
    for example, roi in zip(examples, sampled, strict=True):
        usable = [j for j, t in enumerate(roi.truth) if t >= 0 and example.exact[t]]
        usable = usable[:MAX_MASK_ROIS]
        boxes.append(roi.boxes[usable])
        targets += [
            mask_target(example.masks[roi.truth[j]], roi.boxes[j], geometry.mask_size)
            for j in usable
        ]
    if not targets:
        return pyramid.sum() * 0
    logits = network.mask_head(_pooled(pyramid, boxes, geometry.mask_bins, config))
    return losses.mask_loss(logits, torch.from_numpy(np.stack(targets)).to(pyramid.device))
