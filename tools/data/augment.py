"""Augmentation: one random view of a sample on the network's canvas, with its ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.pipeline.detector.frame import normalise
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data import perturb
from mammosono.tools.data.sample import Sample

IGNORE = -1
"""Image class that trains nothing: part of a lesion was cropped away."""
_LABELS = {Label.BENIGN: 1, Label.MALIGNANT: 2, None: 3}
_KEEP_SHARE = 0.4
"""A lesion with less of its area left in view is no target."""
_ON_LESION = 0.7
"""Share of the patches of an image with lesions that show one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """image: float32 [H, W] in 0..1; boxes [n, 4] input px; masks uint8 [n, H, W];
    labels: int64 [n], 1 benign, 2 malignant, 3 a lesion of unknown kind; exact: bool [n], the mask
    may train the mask head; image_class: 0 normal, 1 benign, 2 malignant, or IGNORE."""

    image: NDArray[np.float32]
    boxes: NDArray[np.float32]
    masks: NDArray[np.uint8]
    labels: NDArray[np.int64]
    exact: NDArray[np.bool_]
    image_class: int


def augment(
    sample: Sample,
    input_size: tuple[int, int],
    percentiles: tuple[float, float],
    rng: np.random.Generator,
    donor: Sample | None = None,
    patch: tuple[int, int] | None = None,
) -> Example:
    """Flip, turn, scale, shift, sometimes zoom; gamma, contrast, blur and noise.

    patch: (height, width) of the piece of the canvas that is wanted in place of all of it: around
    a lesion more often than not, its class by the lesions that it shows.
    donor: an image whose grey curve this one may take on; given, all else that differs between
    scanners is drawn as well.
    """
    view = sample.views[rng.integers(len(sample.views))]
    if patch is None:
        matrix = _matrix(sample, view.shape, input_size, rng)
    else:
        matrix, input_size = _patch_matrix(sample, view, patch, rng), patch
    size = (input_size[1], input_size[0])
    level = normalise(view.astype(np.float32), percentiles)
    image = np.asarray(cv2.warpAffine(level, matrix, size), np.float32)
    if donor is not None:
        place = _marked_box(sample, matrix, image.shape, rng)
        image = _scanner(image, sample.modality, place, donor, percentiles, rng)
    image = _intensity(image, rng)
    boxes, masks, labels, exact = [], [], [], []
    complete, gone, cut = True, True, False
    for lesion in sample.lesions:
        mask = cv2.warpAffine(lesion.mask, matrix, size, flags=cv2.INTER_NEAREST)
        expected = lesion.mask.sum() * abs(np.linalg.det(matrix[:, :2]))
        share = mask.sum() / max(expected, 1.0)
        # A lesion lost before (under a pixel, or outside the crop) may still show: not "gone".
        lost = bool(lesion.mask.any()) and share < 0.02
        gone &= lost
        cut |= not lost and share < _KEEP_SHARE
        if share < _KEEP_SHARE or mask.sum() < 9:
            complete = False
            continue
        x, y, w, h = cv2.boundingRect(mask)
        boxes.append((x, y, x + w, y + h))
        masks.append(mask)
        labels.append(_LABELS[lesion.label])
        exact.append(lesion.exact)
    return Example(
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(masks, np.uint8).reshape(-1, *input_size),
        np.array(labels, np.int64),
        np.array(exact, np.bool_),
        _patch_class(sample, labels, cut) if patch else _image_class(sample, complete, gone),
    )


def plain(
    sample: Sample, input_size: tuple[int, int], percentiles: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The sample's last view as the device would place it, and its lesions' union: both [H, W]."""
    view = normalise(sample.views[-1].astype(np.float32), percentiles)
    shift = (sample.enlarge - 1) / 2  # pixel centres, as resizing has it
    matrix = np.array([[sample.enlarge, 0, shift], [0, sample.enlarge, shift]])
    size = (input_size[1], input_size[0])
    union = np.zeros(input_size, np.bool_)
    for lesion in sample.lesions:
        union |= cv2.warpAffine(lesion.mask, matrix, size, flags=cv2.INTER_NEAREST) > 0
    return np.asarray(cv2.warpAffine(view, matrix, size), np.float32), union


def _image_class(sample: Sample, complete: bool, gone: bool) -> int:
    if sample.label == "unknown" or (sample.label != "normal" and not sample.lesions):
        return IGNORE
    if complete:
        return ("normal", "benign", "malignant").index(sample.label)
    return 0 if gone else IGNORE


def _patch_class(sample: Sample, labels: Sequence[int], cut: bool) -> int:
    """By the lesions in view: malignant if one is, normal if there is none and none is cut."""
    if sample.label == "unknown" or (sample.label != "normal" and not sample.lesions):
        return IGNORE
    known = [label for label in labels if label in (1, 2)]
    if 2 in known or not (cut or len(known) < len(labels)):
        return max(known, default=0)
    return IGNORE


def _patch_matrix(
    sample: Sample, view: NDArray[np.uint8], patch: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """2x3 map from working px to the px of a patch, at about the canvas' own scale.

    Its middle lies in or by a lesion in _ON_LESION of the draws, else anywhere in the breast.
    """
    linear = sample.enlarge * rng.uniform(0.75, 1.25) * _turned(sample, rng)
    lesions = [lesion.mask for lesion in sample.lesions if lesion.mask.any()]
    side = np.array([patch[1], patch[0]])
    if lesions and rng.random() < _ON_LESION:
        x, y, w, h = cv2.boundingRect(lesions[int(rng.integers(len(lesions)))])
        focus = np.array([x + w / 2, y + h / 2])
    else:
        rows, columns = np.nonzero(view[::8, ::8] > 0.1 * view.max())
        k = int(rng.integers(len(rows))) if len(rows) else 0
        focus = 8.0 * np.array([columns[k], rows[k]]) if len(rows) else side / 2
    target = side / 2 + rng.uniform(-0.2, 0.2, 2) * side
    return np.concatenate([linear, (target - linear @ focus)[:, None]], axis=1)


def _turned(sample: Sample, rng: np.random.Generator) -> NDArray[np.float64]:
    """2x2: a turn, a stretch and a mirror image."""
    angle = np.deg2rad(rng.uniform(-1, 1) * (20 if sample.modality is Modality.MG else 8))
    stretch = np.exp(rng.uniform(-1, 1) * 0.08)
    flip_x = rng.choice((-1.0, 1.0))
    flip_y = rng.choice((-1.0, 1.0)) if sample.modality is Modality.MG else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    mirror = np.diag([flip_x * stretch, flip_y / stretch])
    return np.asarray(np.array([[cos, -sin], [sin, cos]]) @ mirror)


def _matrix(
    sample: Sample, shape: tuple[int, ...], input_size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """2x3 map from working px to canvas px."""
    height, width = shape[:2]
    zoom = rng.random() < 0.25
    scale = sample.enlarge * (rng.uniform(1.1, 1.7) if zoom else rng.uniform(0.75, 1.1))
    linear = scale * _turned(sample, rng)
    focus = np.array([width / 2, height / 2])
    if zoom and sample.lesions and rng.random() < 0.7:
        x, y, w, h = cv2.boundingRect(sample.lesions[rng.integers(len(sample.lesions))].mask)
        focus = np.array([x + w / 2, y + h / 2])
    elif zoom:
        focus = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height])
    # The view's middle lands around where an unturned image at this scale would have it.
    middle = np.array([width, height]) * scale / 2
    if zoom:
        middle = np.minimum(middle, np.array([input_size[1], input_size[0]]) / 2)
    target = middle + rng.uniform(-0.06, 0.06, 2) * np.array([input_size[1], input_size[0]])
    return np.concatenate([linear, (target - linear @ focus)[:, None]], axis=1)


def _intensity(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    content = image > 0
    image = np.power(image, np.float32(np.exp(rng.uniform(-0.4, 0.4))))
    image = image * np.float32(rng.uniform(0.8, 1.15))
    image = image + np.float32(rng.uniform(-0.06, 0.06)) * content
    chance = rng.random()
    if chance < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    elif chance < 0.35:
        strength = np.float32(rng.uniform(0.01, 0.06))
        noise = rng.standard_normal(image.shape, dtype=np.float32) * strength
        image = image + noise * np.sqrt(np.maximum(image, 0))
    return np.clip(image, 0, 1).astype(np.float32)


def _scanner(
    image: NDArray[np.float32],
    modality: Modality,
    place: tuple[float, float, float, float],
    donor: Sample,
    percentiles: tuple[float, float],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """What another scanner or archive would have done to the picture, each now and then."""

    def now(chance: float) -> bool:
        return bool(rng.random() < chance)

    if MODALITIES[modality].physics is Physics.ECHO:
        if now(0.25):
            image = perturb.without_marks(image)
        if now(0.4):
            image = perturb.depth_gain(image, rng.uniform(-7, 7, int(rng.integers(2, 5))).tolist())
        if now(0.4):
            image = perturb.dynamic_range(image, rng.uniform(42, 85))
        if now(0.25):
            image = perturb.speckle(image, rng.uniform(0.02, 0.09), rng.uniform(0, 1.6), rng)
        if now(0.15):
            image = perturb.calipers(image, place, rng)
    elif now(0.3):
        image = perturb.contrast(image, rng.uniform(0.7, 1.5))
    if now(0.25):
        other = normalise(donor.views[0][::4, ::4].astype(np.float32), percentiles)
        image = perturb.match_greys(image, perturb.grey_curve(other))
    if now(0.3):
        image = perturb.resample(image, rng.uniform(0.4, 0.95))
    if now(0.2):
        image = perturb.jpeg(image, int(rng.integers(30, 95)))
    if now(0.12):
        image = perturb.label_text(image, rng)
    return image


def _marked_box(
    sample: Sample,
    matrix: NDArray[np.float64],
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[float, float, float, float]:
    """Where calipers would stand, in canvas px: around a lesion, or around nothing, so that marks
    alone tell no kind and no lesion."""
    lesions = [lesion.mask for lesion in sample.lesions if lesion.mask.any()]
    if lesions and rng.random() < 0.6:
        x, y, w, h = cv2.boundingRect(lesions[int(rng.integers(len(lesions)))])
        corners = np.array([[x, y, 1], [x + w, y + h, 1]]) @ matrix.T
        (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    else:
        (x0, x1), (y0, y1) = (np.sort(rng.uniform(0, side, 2)) for side in (shape[1], shape[0]))
    return float(x0), float(y0), float(x1), float(y1)
