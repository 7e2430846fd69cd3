"""Ultrasound phantom: layered tissue under the probe, fading with depth, and its masses."""

from __future__ import annotations

import numpy as np

from mammosono.appliance.phantoms.lesion import (
    Outline,
    PhantomLesion,
    distance,
    irregular,
    lesion,
    lesion_count,
    oval,
    place,
)
from mammosono.appliance.phantoms.texture import blur, power_law, profile, ridges, smoothstep
from mammosono.appliance.values import BoolMask, FloatImage, Label


def ultrasound(
    height: int, width: int, label: Label | None, rng: np.random.Generator
) -> tuple[FloatImage, tuple[PhantomLesion, ...]]:
    """Clean picture, float32 [height, width] in 0..255, and its masses. The probe is on top.

    In every fourth picture the field of view is a sector and all around it is exactly 0.
    """
    picture = _layers(height, width, rng)
    field = _sector(height, width, rng) if rng.random() < 0.25 else np.ones((height, width), bool)
    # Masses lie below the skin, off the sides, and not so deep that nothing is seen of them.
    free = field.copy()
    free[: height // 20] = free[4 * height // 5 :] = free[:, 0] = free[:, -1] = False
    lesions: list[PhantomLesion] = []
    for _ in range(lesion_count(label, rng)):
        assert label is not None
        size = float(np.exp(rng.uniform(np.log(0.05), np.log(0.17)))) * min(height, width)
        centre = place(distance(free), 1.1 * size, rng, insist=not lesions)
        if centre is not None:
            mask = _mass(picture, label, centre, size, rng) & field
            mask &= ~np.any([x.mask for x in lesions], axis=0)
            lesions.append(lesion(label, mask))
            free &= ~mask
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    # Time-gain compensation holds the level for a while; beyond it the echoes fade.
    fade = np.exp(-rng.uniform(0.6, 1.6) * np.clip(depth - rng.uniform(0.2, 0.45), 0, 1))
    fade = fade * (1 - rng.uniform(0.3, 0.8) * smoothstep(depth, rng.uniform(0.6, 0.8), 1.1))
    gain = 1 + 0.08 * profile(width, 6, rng)[None]
    picture = np.clip(blur(picture * np.asarray(fade * gain, np.float32), 0.6), 3, 250)
    return np.where(field, picture, 0).astype(np.float32), tuple(lesions)


def _layers(height: int, width: int, rng: np.random.Generator) -> FloatImage:
    """Skin, fat, gland, fat and muscle with wavy borders; grey values before attenuation."""
    y = np.arange(height, dtype=np.float32)[:, None] / height
    cuts = np.cumsum([rng.uniform(0.012, 0.03), rng.uniform(0.08, 0.22), rng.uniform(0.3, 0.45)])
    cuts = np.append(cuts, cuts[-1] + rng.uniform(0.03, 0.1))
    waviness = (0.004, 0.02, 0.03, 0.015)
    borders = [c + w * profile(width, 6, rng)[None] for c, w in zip(cuts, waviness, strict=True)]
    skin, fat = rng.uniform(110, 160), rng.uniform(55, 80)
    levels = (skin, fat, rng.uniform(105, 140), fat, rng.uniform(50, 80))
    picture = np.full((height, width), levels[0], np.float32)
    for border, above, below in zip(borders, levels, levels[1:], strict=False):
        picture += (below - above) * smoothstep(y - border, -0.012, 0.012)
    lobules = power_law(height, width, 3.0, rng, stretch=2.2, coarse=2)
    streaks = power_law(height, width, 2.8, rng, stretch=5.0)
    septa = ridges(power_law(height, width, 3.2, rng, stretch=3.5), 0.1)
    picture *= np.exp(rng.uniform(0.2, 0.4) * lobules + rng.uniform(0.2, 0.35) * streaks)
    picture += rng.uniform(40, 80) * septa * smoothstep(lobules, -0.5, 1.2)
    for border, strength in zip(borders, (30, 25, 25, 60), strict=True):
        fascia = np.exp(-np.square((y - border) / 0.007))
        picture += strength * fascia * (1 + 0.5 * streaks)
    # The gel and the skin's surface.
    picture += 60 * np.exp(-np.square(y / 0.006))
    return np.asarray(np.clip(picture, 8, 245), np.float32)


def _sector(height: int, width: int, rng: np.random.Generator) -> BoolMask:
    """Field of view of a curved probe: a ring sector whose apex lies above the picture."""
    apex = rng.uniform(0.5, 1.2) * height
    x = np.arange(width)[None] - (width - 1) / 2
    y = np.arange(height)[:, None] + apex
    distance = np.hypot(x, y)
    spread = np.arctan2(0.5 * width, apex + rng.uniform(0.3, 0.7) * height)
    inside = (distance > apex) & (distance < apex + height) & (np.abs(np.arctan2(x, y)) < spread)
    return np.asarray(inside)


def _mass(
    picture: FloatImage,
    label: Label,
    centre: tuple[float, float],
    size: float,
    rng: np.random.Generator,
) -> BoolMask:
    """Draw a mass in place, with what it does to the echoes behind it; return its region."""
    height, width = picture.shape
    shape = _benign_shape if label is Label.BENIGN else _malignant_shape
    radius = shape(centre, size, rng).radius(height, width)
    mask = np.asarray(radius < 1)
    benign = label is Label.BENIGN
    edge_px = rng.uniform(0.8, 1.5) if benign else rng.uniform(1.5, max(1.6, 0.1 * size))
    inside = blur(mask.astype(np.float32), edge_px)
    _behind(picture, mask, rng.uniform(0.15, 0.5) if benign else -rng.uniform(0.3, 0.75), size)
    grey = float(picture[mask].mean())
    echo = rng.uniform(0.12, 0.55) if benign else rng.uniform(0.15, 0.45)
    grain = power_law(height, width, 2.4, rng, stretch=1.5, coarse=2)
    body = grey * echo * np.exp((0.12 if benign else 0.25) * grain)
    if benign:
        rim = np.exp(-np.square((radius - 1.04) * size / 1.6)) * rng.uniform(0, 0.35)
    else:
        rim = np.exp(-np.square((radius - 1.15) / 0.15)) * rng.uniform(0, 0.3)
    picture *= 1 + np.asarray(rim, np.float32)
    picture += inside * (body - picture)
    return mask


def _benign_shape(centre: tuple[float, float], size: float, rng: np.random.Generator) -> Outline:
    """Wider than tall, nearly level."""
    return oval(centre, (size, size * rng.uniform(0.45, 0.8)), rng.normal(0, 0.12), rng)


def _malignant_shape(centre: tuple[float, float], size: float, rng: np.random.Generator) -> Outline:
    """Often taller than wide, angular or with cusps."""
    axes = (size * rng.uniform(0.65, 1.0), size * rng.uniform(0.75, 1.1))
    spike_height = float(rng.choice([0.0, rng.uniform(0.1, 0.35)]))
    return irregular(centre, axes, rng.normal(0, 0.3), rng, spike_height=spike_height)


def _behind(picture: FloatImage, mask: BoolMask, change: float, size: float) -> None:
    """Brighten (change > 0) or shade the echoes from behind the mass in place."""
    height = picture.shape[0]
    last = np.where(mask.any(axis=0), height - 1 - np.argmax(mask[::-1], axis=0), height)
    beyond = np.arange(height, dtype=np.float32)[:, None] - last[None].astype(np.float32)
    reach = 6 * size if change < 0 else 3 * size
    column = np.where(beyond > 0, np.exp(-np.clip(beyond, 0, None) / reach), 0)
    picture *= 1 + change * blur(column.astype(np.float32), 0.12 * size + 1)
