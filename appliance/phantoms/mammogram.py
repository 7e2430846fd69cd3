"""Mammogram phantom: a breast at the film's edge, its glandular tissue, strands and masses."""

from __future__ import annotations

import cv2
import numpy as np

from mammosono.appliance.phantoms.lesion import (
    PhantomLesion,
    distance,
    irregular,
    lesion,
    lesion_count,
    oval,
    place,
)
from mammosono.appliance.phantoms.texture import (
    blur,
    power_law,
    profile,
    ridges,
    smoothstep,
    strand,
)
from mammosono.appliance.values import BoolMask, FloatImage, Label


def mammogram(
    height: int, width: int, label: Label | None, rng: np.random.Generator
) -> tuple[FloatImage, tuple[PhantomLesion, ...]]:
    """Clean picture, float32 [height, width] in 0..255, and its masses.

    Drawn with the chest wall at the left and mirrored in half of the cases.
    """
    oblique = bool(rng.random() < 0.5)
    breast, nipple = _breast(height, width, oblique, rng)
    depth = distance(breast)
    tissue = _tissue(breast, depth, nipple, rng)
    # The compressed breast thins towards the skin over about a tenth of the picture.
    thickness = 1 - np.exp(-depth / (0.05 * width))
    picture = np.asarray(tissue * (0.25 + 0.75 * thickness), np.float32)
    free = breast & ~_pectoral(picture, rng) if oblique else breast

    lesions: list[PhantomLesion] = []
    for _ in range(lesion_count(label, rng)):
        assert label is not None
        size = float(np.exp(rng.uniform(np.log(0.022), np.log(0.075)))) * max(height, width)
        centre = place(distance(free), 1.6 * size, rng, insist=not lesions)
        if centre is not None:
            draw = _benign if label is Label.BENIGN else _malignant
            mask = draw(picture, centre, size, rng) & breast
            mask &= ~np.any([x.mask for x in lesions], axis=0)
            lesions.append(lesion(label, mask))
            free = free & ~mask

    black = rng.uniform(2, 10)
    picture = np.where(breast, picture + black, black).astype(np.float32)
    picture = np.clip(blur(picture, 0.7), 0, 255)
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
        lesions = [lesion(x.label, np.ascontiguousarray(x.mask[:, ::-1])) for x in lesions]
    return picture, tuple(lesions)


def _breast(
    height: int, width: int, oblique: bool, rng: np.random.Generator
) -> tuple[BoolMask, tuple[float, float]]:
    """Region of the breast and the nipple (x, y), px."""
    reach = rng.uniform(0.55, 0.9) * width
    middle = rng.uniform(0.55, 0.66) * height if oblique else rng.uniform(0.45, 0.55) * height
    half = rng.uniform(0.36, 0.48) * height
    y = (np.arange(height) - middle) / half
    power = rng.uniform(1.9, 2.4)
    edge = reach * np.clip(1 - np.abs(y) ** power, 0, 1) ** (1 / power)
    if oblique:
        # Towards the armpit the skin line runs up and out instead of closing.
        axilla = np.linspace(rng.uniform(0.35, 0.6), rng.uniform(0.1, 0.3), height) * width
        edge = np.where(y < 0, np.logaddexp(edge / 12, axilla / 12) * 12, edge)
    edge = edge + 0.006 * width * profile(height, 9, rng) * (edge > 0)
    breast = np.arange(width)[None] < np.minimum(edge, 0.97 * width)[:, None]
    return breast, (float(min(reach, 0.97 * width)), float(middle))


def _tissue(
    breast: BoolMask, depth: FloatImage, nipple: tuple[float, float], rng: np.random.Generator
) -> FloatImage:
    """Fat, glandular cone behind the nipple, strands, ducts and vessels; grey values."""
    height, width = breast.shape
    x = np.arange(width, dtype=np.float32)[None] / width
    y = (np.arange(height, dtype=np.float32)[:, None] - nipple[1]) / height
    cone = 1 - np.hypot((x - rng.uniform(0.45, 0.6) * nipple[0] / width) / 0.5, y / 0.3)
    lumps = power_law(height, width, 3.6, rng, stretch=rng.uniform(1.0, 1.6), coarse=2)
    amount = rng.uniform(-0.7, 0.7)
    gland = smoothstep(1.3 * cone + 0.5 * lumps + amount - 0.3, -0.4, 1.5)
    gland *= smoothstep(depth, 0.01 * width, 0.12 * width)
    grain = power_law(height, width, rng.uniform(2.6, 3.1), rng)
    net = ridges(power_law(height, width, 3.2, rng, stretch=1.8), 0.08)

    fat, dense = rng.uniform(55, 95), rng.uniform(60, 110)
    lines = blur(_strands(breast, nipple, rng), 0.9)
    picture = fat + dense * gland + (4 + 7 * gland) * grain + 16 * net * (0.25 + gland)
    picture += lines * (0.35 + 0.65 * gland)
    picture += 14 * np.exp(-np.square((depth - 2) / 1.5))
    return np.asarray(np.clip(picture, 20, 235), np.float32)


def _strands(breast: BoolMask, nipple: tuple[float, float], rng: np.random.Generator) -> FloatImage:
    """Ducts and ligaments fanning from the nipple, and sometimes vessels; grey values to add."""
    height, width = breast.shape
    canvas = np.zeros((height, width), np.uint8)
    tip = np.array(nipple)
    for _ in range(int(rng.integers(40, 110))):
        angle = rng.uniform(-1.2, 1.2)
        away = np.array([-np.cos(angle), np.sin(angle)]) * nipple[0]
        near = rng.uniform(0.02, 0.8)
        far = near + rng.uniform(0.1, 0.4)
        layer = np.zeros_like(canvas)
        strand(layer, tip + near * away, tip + far * away, rng.normal(0, 0.15), 255, 1)
        # Crossing strands add up, as they do in projection.
        cv2.addWeighted(canvas, 1, layer, rng.uniform(0.06, 0.2), 0, canvas)
    for _ in range(int(rng.integers(0, 4))):
        start = np.array([0.0, rng.uniform(0.2, 0.8) * height])
        end = tip + rng.normal(0, 0.12, 2) * (width, height)
        layer = np.zeros_like(canvas)
        strand(layer, start, end, rng.normal(0, 0.15), 255, max(2, width // 150))
        cv2.addWeighted(canvas, 1, layer, rng.uniform(0.08, 0.16), 0, canvas)
    return canvas.astype(np.float32)


def _pectoral(picture: FloatImage, rng: np.random.Generator) -> BoolMask:
    """Brighten the muscle's triangle in the upper corner in place; return its region."""
    height, width = picture.shape
    foot, top = rng.uniform(0.4, 0.75) * height, rng.uniform(0.25, 0.5) * width
    edge = top * np.clip(1 - np.arange(height) / foot, 0, 1) ** rng.uniform(0.8, 1.2)
    edge = edge * (1 + 0.03 * profile(height, 6, rng)) - 6 * (edge == 0)
    inside = smoothstep(edge[:, None] - np.arange(width, dtype=np.float32)[None], -4, 4)
    grain = power_law(height, width, 3.0, rng, coarse=2)
    # Thickest at the chest wall; breast tissue in front shines through.
    thick = 0.7 + 0.3 * smoothstep(edge[:, None] - np.arange(width)[None], 0, 0.3 * width)
    picture += inside * (thick * rng.uniform(120, 175) + 7 * grain - 0.65 * picture)
    return np.asarray(inside > 0.5)


def _benign(
    picture: FloatImage, centre: tuple[float, float], size: float, rng: np.random.Generator
) -> BoolMask:
    """Add an oval, circumscribed mass of mild contrast in place; return its region."""
    axes = (size, size * rng.uniform(0.65, 1.0))
    radius = oval(centre, axes, rng.uniform(0, np.pi), rng).radius(*picture.shape)
    # A lens: thick in the middle, with a sharp rim.
    body = np.sqrt(np.clip(1 - 0.7 * np.square(radius), 0, 1)) * (radius < 1)
    picture += rng.uniform(18, 42) * blur(np.asarray(body, np.float32), 0.8)
    return np.asarray(radius < 1)


def _malignant(
    picture: FloatImage, centre: tuple[float, float], size: float, rng: np.random.Generator
) -> BoolMask:
    """Add a dense, irregular, spiculated mass in place; return its core, without the spicules."""
    axes = (size, size * rng.uniform(0.7, 1.0))
    radius = irregular(centre, axes, rng.uniform(0, np.pi), rng).radius(*picture.shape)
    core = np.asarray((radius < 1) * np.clip(1.15 - 0.5 * radius, 0, 1), np.float32)
    contrast = rng.uniform(35, 70)
    spicules = np.zeros(picture.shape, np.uint8)
    turn = np.arange(n := int(rng.integers(14, 34))) * 2 * np.pi / n + rng.normal(0, 0.12, n)
    for angle in turn:
        out = np.array([np.cos(angle), np.sin(angle)]) * size
        foot, bend = np.array(centre) + 0.5 * out, float(rng.normal(0, 0.06))
        for reach, value in ((1.2, 160), (rng.uniform(1.5, 2.3), 110)):
            strand(spicules, foot, np.array(centre) + reach * out, bend, value, 1)
    picture += contrast * blur(core, max(0.8, 0.1 * size))
    picture += contrast * 0.9 / 255 * blur(spicules.astype(np.float32), 0.8)
    for x, y in np.array(centre) + rng.normal(0, 0.4 * size, (int(rng.integers(0, 9)), 2)):
        row, column = round(y), round(x)
        if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
            picture[row, column] += rng.uniform(60, 140)  # a microcalcification
    return np.asarray(radius < 1)
