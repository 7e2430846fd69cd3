"""Drawn pictures that are neither mammogram nor breast ultrasound, each from a seed.

text and graphics: pages, screens, charts, codes. textures and noise: fields, noise, ramps, blank
pictures, shapes. films and slices: chest, hand, skull and slices. other ultrasound: hearts and
bellies. Crude as they are, together with pictures that were taken they say what a kind is not.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mammosono.appliance.phantoms.noise import loupas
from mammosono.appliance.phantoms.texture import power_law
from mammosono.tools.kind.family import Family, Grey

Draw = Callable[[Generator], Grey]


def _size(rng: Generator) -> tuple[int, int]:
    """Height and width: portrait, square or landscape."""
    area, shape = 380.0**2, float(np.exp(rng.uniform(-0.6, 0.6)))
    return int(np.sqrt(area * shape)), int(np.sqrt(area / shape))


def _grey(values: NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _field(size: tuple[int, int], exponent: float, rng: Generator) -> NDArray[np.float32]:
    return power_law(*size, exponent, rng)


# Text and graphics


def page(rng: Generator) -> Grey:
    height, width = _size(rng)
    paper, ink = (250, 20) if rng.random() < 0.7 else (15, 230)
    sheet = np.full((height, width), paper, np.uint8)
    scale, y = rng.uniform(0.25, 0.9), 12
    margin = int(rng.uniform(4, width / 6))
    font = int(rng.choice([0, 1, 2, 3, 4, 5, 6, 7]))
    while y < height - 5:
        y += int(scale * rng.uniform(22, 34))
        if rng.random() < 0.12:
            continue
        words = " ".join(_word(rng) for _ in range(14))
        cv2.putText(sheet, words, (margin, y), font, scale, ink, 1, cv2.LINE_AA)
        sheet[:, width - margin :] = paper
    if rng.random() < 0.3:
        sheet = _grey(sheet + 8 * rng.standard_normal(sheet.shape))
    return sheet


def _word(rng: Generator) -> str:
    return "".join(rng.choice(list(string.ascii_letters + "   ")) for _ in range(6))


def screen(rng: Generator) -> Grey:
    """Windows with bars, buttons and lines of text."""
    height, width = _size(rng)
    sheet = np.full((height, width), int(rng.integers(0, 256)), np.uint8)
    for _ in range(rng.integers(2, 9)):
        x, y = int(rng.integers(0, width - 30)), int(rng.integers(0, height - 30))
        w, h = int(rng.integers(30, width)), int(rng.integers(20, height))
        shade = int(rng.integers(0, 256))
        cv2.rectangle(sheet, (x, y), (x + w, y + h), shade, -1)
        cv2.rectangle(sheet, (x, y), (x + w, y + 14), int(rng.integers(0, 256)), -1)
        for line in range(rng.integers(0, 9)):
            place = (x + 6, y + 28 + 14 * line)
            ink = 255 if shade < 128 else 0
            cv2.putText(sheet, _word(rng), place, 0, 0.35, ink, 1, cv2.LINE_AA)
        if rng.random() < 0.4:
            centre = (x + w // 2, y + h // 2)
            cv2.circle(sheet, centre, int(rng.integers(4, 40)), int(rng.integers(0, 256)), -1)
    return sheet


def chart(rng: Generator) -> Grey:
    height, width = _size(rng)
    dark = rng.random() < 0.3
    sheet = np.full((height, width), 10 if dark else 255, np.uint8)
    ink = 255 if dark else 0
    cv2.line(sheet, (30, 10), (30, height - 20), ink)
    cv2.line(sheet, (30, height - 20), (width - 5, height - 20), ink)
    count = int(rng.integers(4, 20))
    values = rng.uniform(20, height - 40, count)
    xs = np.linspace(40, width - 20, count)
    sort = rng.integers(0, 3)
    for k, (x, value) in enumerate(zip(xs.astype(int), values.astype(int), strict=True)):
        place = (int(x), height - 20 - int(value))
        if sort == 0:
            corner = (int(x + 0.7 * width / count), height - 20)
            cv2.rectangle(sheet, place, corner, int(rng.integers(40, 220)), -1)
        elif sort == 1 and k:
            before = (int(xs[k - 1]), height - 20 - int(values[k - 1]))
            cv2.line(sheet, before, place, ink, int(rng.integers(1, 4)), cv2.LINE_AA)
        else:
            cv2.circle(sheet, place, 4, int(rng.integers(40, 220)), -1)
    cv2.putText(sheet, _word(rng), (60, 20), 0, 0.5, ink, 1, cv2.LINE_AA)
    return sheet


def code(rng: Generator) -> Grey:
    """Two-dimensional or bar code."""
    if rng.random() < 0.6:
        side = int(rng.integers(21, 45))
        cells = rng.integers(0, 2, (side, side)).astype(np.uint8) * 255
        for y, x in ((0, 0), (0, side - 7), (side - 7, 0)):
            cells[y : y + 7, x : x + 7] = 0
            cells[y + 1 : y + 6, x + 1 : x + 6] = 255
            cells[y + 2 : y + 5, x + 2 : x + 5] = 0
        picture = np.kron(cells, np.ones((8, 8), np.uint8))
    else:
        bars = np.repeat(rng.integers(0, 2, 90) * 255, rng.integers(1, 5, 90)).astype(np.uint8)
        picture = np.repeat(bars[None], int(rng.integers(60, 200)), axis=0)
    return np.pad(picture, int(rng.integers(5, 60)), constant_values=255)


# Textures and noise


def noise(rng: Generator) -> Grey:
    """White, coarse, of salt and pepper, or of lines."""
    size = _size(rng)
    sort = rng.integers(0, 5)
    if sort == 0:
        return rng.integers(0, 256, size).astype(np.uint8)
    if sort == 1:
        return _grey(rng.uniform(20, 200) + rng.uniform(5, 60) * rng.standard_normal(size))
    if sort == 2:
        salt = rng.random(size)
        return np.asarray(np.where(salt < 0.1, 0, np.where(salt > 0.9, 255, 128)), np.uint8)
    if sort == 3:
        lines = rng.uniform(0, 255, (size[0], 1)) * np.ones(size)
        return _grey(lines if rng.random() < 0.5 else lines + 30 * rng.standard_normal(size))
    coarse = rng.integers(0, 256, (size[0] // 8, size[1] // 8)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1]), np.uint8)


def speckle(rng: Generator) -> Grey:
    """Speckle without tissue, all over."""
    size = _size(rng)
    level = np.full(size, rng.uniform(20, 160), np.float32)
    grain = float(rng.uniform(0.6, 4))
    return _grey(loupas(level, rng.uniform(1, 5), rng, correlation_px=(grain, grain * 1.5)))


def clouds(rng: Generator) -> Grey:
    """A random field, smooth or rough, over the whole picture."""
    field = _field(_size(rng), rng.uniform(1.0, 4.0), rng)
    return _grey(rng.uniform(60, 190) + rng.uniform(15, 80) * field)


def pattern(rng: Generator) -> Grey:
    """Stripes, checks, rings or weave, more or less warped."""
    height, width = size = _size(rng)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    warp = rng.uniform(0, 25) * _field(size, 3.5, rng)
    turn, period = rng.uniform(0, np.pi), rng.uniform(4, 90)
    u = (np.cos(turn) * x + np.sin(turn) * y + warp) * (2 * np.pi / period)
    v = (-np.sin(turn) * x + np.cos(turn) * y + warp) * (2 * np.pi / period)
    sort = rng.integers(0, 4)
    if sort == 0:
        wave = np.sin(u)
    elif sort == 1:
        wave = np.sign(np.sin(u) * np.sin(v))
    elif sort == 2:
        wave = np.sin(np.hypot(x - width / 2, y - height / 2) * (2 * np.pi / period))
    else:
        wave = np.maximum(np.sin(u), np.sin(v))
    return _grey(128 + rng.uniform(20, 127) * wave)


def ramp(rng: Generator) -> Grey:
    """From dark to bright, straight or round, in steps or smoothly."""
    height, width = _size(rng)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.3:
        turn = float(rng.choice([0, np.pi / 2, np.pi, 1.5 * np.pi]))
    slope = np.cos(turn) * x + np.sin(turn) * y
    if rng.random() < 0.35:
        slope = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height))
        slope = slope if rng.random() < 0.5 else -slope
    share = (slope - slope.min()) / max(float(np.ptp(slope)), 1e-6)
    if rng.random() < 0.3:
        steps = int(rng.integers(2, 17))
        share = np.floor(share * steps) / steps
    low, high = np.sort(rng.uniform(0, 255, 2)) if rng.random() < 0.5 else (0.0, 255.0)
    return _grey(low + (high - low) * share ** rng.uniform(0.4, 2.5))


def blank(rng: Generator) -> Grey:
    """One grey, perhaps with a little noise, a border or a single mark."""
    height, width = _size(rng)
    level = float(rng.choice([0, 255, rng.uniform(0, 255)]))
    picture = np.full((height, width), level, np.float32)
    if rng.random() < 0.5:
        picture += rng.uniform(0, 4) * rng.standard_normal(picture.shape)
    grey = _grey(picture)
    if rng.random() < 0.3:
        rim = int(rng.integers(2, 30))
        grey[:rim] = grey[-rim:] = int(rng.integers(0, 256))
    if rng.random() < 0.4:
        place = (int(rng.integers(0, width)), int(rng.integers(10, height)))
        cv2.putText(grey, _word(rng), place, 0, 0.6, int(rng.integers(0, 256)), 1)
    return grey


def shapes(rng: Generator) -> Grey:
    """Discs, boxes and triangles: coins, tools, blots."""
    height, width = size = _size(rng)
    picture = np.full(size, int(rng.integers(0, 256)), np.uint8)
    for _ in range(rng.integers(1, 25)):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        reach = int(np.exp(rng.uniform(np.log(5), np.log(min(size) / 1.6))))
        shade, sort = int(rng.integers(0, 256)), rng.integers(0, 3)
        if sort == 0:
            cv2.circle(picture, centre, reach, shade, -1, cv2.LINE_AA)
        elif sort == 1:
            turned = cv2.boxPoints(
                (centre, (reach, reach * rng.uniform(0.3, 3)), rng.uniform(0, 90))
            )
            cv2.fillPoly(picture, [turned.astype(np.int32)], shade, cv2.LINE_AA)
        else:
            corners = np.array(centre) + rng.uniform(-reach, reach, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], shade, cv2.LINE_AA)
    if rng.random() < 0.6:
        grain = _field(size, rng.uniform(1, 3), rng)
        picture = _grey(picture + rng.uniform(0, 30) * grain)
    return picture


# Films and slices


def _tissue(size: tuple[int, int], rng: Generator) -> NDArray[np.float32]:
    return np.asarray(_field(size, 2.8, rng) * rng.uniform(2, 10), np.float32)


def _soft(mask: Grey, sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), sigma), np.float32)


def chest(rng: Generator) -> Grey:
    """Chest film: two dark lungs, ribs, spine, heart, between bright shoulders and belly."""
    height, width = size = (int(rng.integers(320, 420)), int(rng.integers(320, 420)))
    film = np.full(size, rng.uniform(150, 210), np.float32)
    body = np.zeros(size, np.uint8)
    middle = (width // 2, int(0.62 * height))
    cv2.ellipse(body, middle, (int(0.47 * width), int(0.66 * height)), 0, 0, 360, 255, -1)
    neck = (int(0.4 * width), 0), (int(0.6 * width), height // 3)
    cv2.rectangle(body, *neck, 255, -1)
    lungs = np.zeros(size, np.uint8)
    for side in (-1, 1):
        centre = (
            int(width * (0.5 + side * rng.uniform(0.19, 0.23))),
            int(rng.uniform(0.42, 0.5) * height),
        )
        reach = (int(rng.uniform(0.13, 0.17) * width), int(rng.uniform(0.3, 0.36) * height))
        cv2.ellipse(lungs, centre, reach, side * rng.uniform(3, 12), 0, 360, 255, -1)
    film -= rng.uniform(80, 130) * _soft(lungs, 6)
    ribs = np.zeros(size, np.uint8)
    for k in range(9):
        for side in (-1, 1):
            start = (width // 2, int(height * (0.1 + 0.075 * k)))
            reach = (int(0.4 * width), int(0.13 * height))
            first, last = (0, 100) if side > 0 else (80, 180)
            cv2.ellipse(ribs, start, reach, side * 12, first, last, 255, int(rng.integers(3, 8)))
    film += rng.uniform(15, 35) * _soft(ribs, 1.5)
    spine = np.zeros(size, np.uint8)
    cv2.line(spine, (width // 2, 0), (width // 2, height), 255, int(0.08 * width))
    heart = np.zeros(size, np.uint8)
    cv2.ellipse(
        heart,
        (int(0.55 * width), int(0.6 * height)),
        (int(0.15 * width), int(0.15 * height)),
        35,
        0,
        360,
        255,
        -1,
    )
    film += rng.uniform(20, 50) * _soft(spine, 4) + rng.uniform(50, 90) * _soft(heart, 6)
    film = film * _soft(body, 4) + rng.uniform(0, 20)
    return _grey(film + _tissue(size, rng))


def _bar(mask: Grey, start: NDArray[np.floating], end: NDArray[np.floating], thick: float) -> None:
    ends = ((int(start[0]), int(start[1])), (int(end[0]), int(end[1])))
    cv2.line(mask, *ends, 255, max(int(thick), 1))


def hand(rng: Generator) -> Grey:
    """Long bones with bright rims in grey flesh: a hand or a limb."""
    height, width = size = (int(rng.integers(300, 420)), int(rng.integers(220, 420)))
    flesh, bone, marrow = (np.zeros(size, np.uint8) for _ in range(3))
    if rng.random() < 0.6:
        base = np.array([width / 2, 0.75 * height])
        cv2.circle(flesh, (int(base[0]), int(base[1])), int(0.25 * width), 255, -1)
        for turn in np.linspace(-0.75, 0.75, 5) + rng.uniform(-0.2, 0.2):
            way = np.array([np.sin(turn), -np.cos(turn)])
            tip = base + way * height * rng.uniform(0.5, 0.65)
            _bar(flesh, base, tip, 0.11 * width)
            for first, last in ((0.15, 0.42), (0.46, 0.68), (0.72, 0.85), (0.88, 0.97)):
                start, end = (base + way * height * 0.6 * share for share in (first, last))
                _bar(bone, start, end, 0.05 * width)
                _bar(marrow, start, end, 0.02 * width)
    else:
        lean = int(rng.uniform(-0.1, 0.1) * width)
        for x, thick in ((0.42, 0.1), (0.6, 0.06)):
            start = np.array([x * width - lean, -20])
            end = np.array([x * width + lean, height + 20])
            _bar(flesh, start, end, 0.35 * width)
            _bar(bone, start, end, thick * width)
            _bar(marrow, start, end, thick * width * 0.5)
    film = rng.uniform(40, 90) * _soft(flesh, 4) + rng.uniform(90, 140) * _soft(bone, 1.5)
    film -= rng.uniform(30, 60) * _soft(marrow, 1.5)
    return _grey(film + rng.uniform(0, 25) + 0.5 * _tissue(size, rng))


def skull(rng: Generator) -> Grey:
    """Skull from the side or the front: a bright shell, dark cavities."""
    height, width = size = (int(rng.integers(320, 420)), int(rng.integers(300, 420)))
    film = np.full(size, rng.uniform(0, 30), np.float32)
    centre = (width // 2, int(0.43 * height))
    reach = (int(rng.uniform(0.33, 0.42) * width), int(rng.uniform(0.33, 0.4) * height))
    vault, shell, face, holes = (np.zeros(size, np.uint8) for _ in range(4))
    cv2.ellipse(vault, centre, reach, 0, 0, 360, 255, -1)
    cv2.ellipse(shell, centre, reach, 0, 0, 360, 255, int(rng.integers(5, 14)))
    cv2.rectangle(
        face, (int(0.3 * width), centre[1]), (int(0.7 * width), int(0.95 * height)), 255, -1
    )
    for side in (-1, 1):
        eye = (int(width * (0.5 + side * 0.13)), int(0.55 * height))
        cv2.ellipse(holes, eye, (int(0.08 * width), int(0.07 * height)), 0, 0, 360, 255, -1)
    cv2.ellipse(
        holes,
        (width // 2, int(0.7 * height)),
        (int(0.05 * width), int(0.08 * height)),
        0,
        0,
        360,
        255,
        -1,
    )
    film += rng.uniform(70, 120) * _soft(vault, 5) + rng.uniform(50, 110) * _soft(shell, 2)
    film += rng.uniform(40, 90) * _soft(face, 8) - rng.uniform(40, 90) * _soft(holes, 4)
    return _grey(film + _tissue(size, rng))


def slice_of_body(rng: Generator) -> Grey:
    """Slice of head or trunk, as CT (bright shell) or MR (bright rim, folded inside)."""
    side = int(rng.integers(260, 400))
    size, centre = (side, side), (side // 2, side // 2)
    reach = np.array([rng.uniform(0.33, 0.46), rng.uniform(0.3, 0.46)]) * side
    body, rim, inside = (np.zeros(size, np.uint8) for _ in range(3))
    cv2.ellipse(body, centre, reach.astype(int).tolist(), 0, 0, 360, 255, -1)
    cv2.ellipse(
        rim, centre, (0.96 * reach).astype(int).tolist(), 0, 0, 360, 255, int(rng.integers(3, 16))
    )
    cv2.ellipse(inside, centre, (0.85 * reach).astype(int).tolist(), 0, 0, 360, 255, -1)
    picture = rng.uniform(50, 130) * _soft(body, 1.5) + rng.uniform(-60, 140) * _soft(rim, 1.2)
    for _ in range(rng.integers(2, 12)):
        organ = np.zeros(size, np.uint8)
        place = np.array(centre) + rng.uniform(-0.6, 0.6, 2) * reach
        extent = (rng.uniform(0.06, 0.4, 2) * reach).astype(int)
        cv2.ellipse(
            organ, place.astype(int).tolist(), extent.tolist(), rng.uniform(0, 180), 0, 360, 255, -1
        )
        picture += rng.uniform(-90, 90) * _soft(organ, 1.5) * _soft(inside, 1)
    folds = np.abs(_field(size, 2.5, rng)) * rng.uniform(0, 30)
    return _grey(
        (picture + folds * _soft(inside, 2)) + rng.uniform(0, 6) * np.abs(rng.standard_normal(size))
    )


# Other ultrasound


def _fan(size: tuple[int, int], apex: float, half_angle: float) -> tuple[Grey, NDArray[np.float32]]:
    """Mask of a sector from the top middle and each pixel's depth from 0 to 1; apex: the radius
    that the probe cuts off, as a share of the depth (0 is a pointed sector)."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    top = -apex * height
    radius = np.hypot(x - width / 2, y - top)
    angle = np.abs(np.arctan2(x - width / 2, y - top))
    near, far = apex * height * 1.02 + 2, (apex + 0.97) * height
    mask = (radius > near) & (radius < far) & (angle < half_angle)
    return np.asarray(mask * 255, np.uint8), (radius - near) / (far - near)


def _scanned(tissue: NDArray[np.float32], mask: Grey, rng: Generator) -> Grey:
    grain = float(rng.uniform(0.8, 3))
    noisy = loupas(
        np.clip(tissue, 1, 255), rng.uniform(1, 4.5), rng, correlation_px=(grain, 1.8 * grain)
    )
    picture = _grey(noisy * (mask > 0))
    if rng.random() < 0.7:  # the machine's words, scale and trace
        for _ in range(rng.integers(1, 8)):
            place = (
                int(rng.integers(0, picture.shape[1])),
                int(rng.integers(10, picture.shape[0])),
            )
            if not mask[min(place[1], mask.shape[0] - 1), place[0]]:
                cv2.putText(picture, _word(rng), place, 0, 0.35, 200, 1, cv2.LINE_AA)
    if rng.random() < 0.3:
        x = np.arange(picture.shape[1])
        y = picture.shape[0] - 12 - 8 * np.sin(x / rng.uniform(3, 15)) ** 9
        cv2.polylines(picture, [np.stack([x, y], 1).astype(np.int32)], False, 220)
    return picture


def heart(rng: Generator) -> Grey:
    """Pointed sector with dark chambers between bright walls and valves."""
    size = (int(rng.integers(260, 400)), int(rng.integers(300, 500)))
    height, width = size
    mask, depth = _fan(size, float(rng.uniform(0, 0.08)), float(rng.uniform(0.5, 0.85)))
    tissue = np.full(size, rng.uniform(30, 80), np.float32) + 18 * _field(size, 2.0, rng)
    for _ in range(rng.integers(2, 5)):
        chamber = np.zeros(size, np.uint8)
        place = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.3, 0.8)))
        extent = (int(width * rng.uniform(0.05, 0.13)), int(height * rng.uniform(0.09, 0.22)))
        turn = rng.uniform(-40, 40)
        cv2.ellipse(chamber, place, extent, turn, 0, 360, 255, -1)
        wall = np.zeros(size, np.uint8)
        cv2.ellipse(wall, place, extent, turn, 0, 360, 255, int(rng.integers(4, 10)))
        tissue += rng.uniform(60, 130) * _soft(wall, 2.5)
        tissue *= 1 - 0.95 * _soft(chamber, 2)
    tissue *= np.exp(-rng.uniform(0, 1.2) * np.clip(depth, 0, 1))
    return _scanned(tissue, mask, rng)


def belly(rng: Generator) -> Grey:
    """Curved sector with an organ of even grain, vessels, a bladder or a child's head."""
    size = (int(rng.integers(280, 400)), int(rng.integers(340, 500)))
    height, width = size
    mask, depth = _fan(size, float(rng.uniform(0.2, 0.5)), float(rng.uniform(0.45, 0.65)))
    tissue = np.full(size, rng.uniform(60, 120), np.float32) + rng.uniform(3, 12) * _field(
        size, 1.5, rng
    )
    sort = rng.integers(0, 3)
    for _ in range(1 if sort else int(rng.integers(4, 12))):
        hollow = np.zeros(size, np.uint8)
        place = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.7)))
        largest = 0.25 if sort else 0.05
        extent = (
            int(width * rng.uniform(0.02, largest)) + 6,
            int(height * rng.uniform(0.02, largest)) + 6,
        )
        cv2.ellipse(hollow, place, extent, rng.uniform(0, 180), 0, 360, 255, -1)
        tissue *= 1 - rng.uniform(0.7, 0.97) * _soft(hollow, 1.5)
        rim = np.zeros(size, np.uint8)
        cv2.ellipse(rim, place, extent, 0, 0, 360, 255, 5)
        tissue += (110 if sort == 2 else 25) * _soft(rim, 2)
    arc = np.exp(-np.square((depth - rng.uniform(0.5, 0.85)) / 0.015))
    tissue += rng.uniform(0, 120) * np.asarray(arc, np.float32)
    tissue *= np.exp(-rng.uniform(0, 1) * np.clip(depth, 0, 1))
    return _scanned(tissue, mask, rng)


def lung(rng: Generator) -> Grey:
    """Bright pleura with its echoes below, one under the other, and bright streaks."""
    size = (int(rng.integers(280, 400)), int(rng.integers(280, 460)))
    mask, depth = _fan(size, float(rng.uniform(0.2, 2.0)), float(rng.uniform(0.25, 0.6)))
    tissue = np.full(size, rng.uniform(20, 60), np.float32) + 8 * _field(size, 1.5, rng)
    first = rng.uniform(0.15, 0.3)
    for k in range(1, 5):
        line = np.exp(-np.square((depth - k * first) / 0.012))
        tissue += np.asarray(rng.uniform(100, 200) / k * line, np.float32)
    x = np.arange(size[1], dtype=np.float32)[None] / size[1]
    for _ in range(rng.integers(0, 5)):
        streak = np.exp(-np.square((x - rng.uniform(0.3, 0.7)) / rng.uniform(0.005, 0.03)))
        tissue += np.asarray(rng.uniform(20, 90) * streak * (depth > first), np.float32)
    return _scanned(tissue, mask, rng)


DRAWN: Mapping[Family, Draw] = {
    Family("pages", "text and graphics"): page,
    Family("screens", "text and graphics"): screen,
    Family("charts", "text and graphics"): chart,
    Family("codes", "text and graphics"): code,
    Family("noise", "textures and noise"): noise,
    Family("speckle", "textures and noise"): speckle,
    Family("clouds", "textures and noise"): clouds,
    Family("patterns", "textures and noise"): pattern,
    Family("ramps", "textures and noise"): ramp,
    Family("blank", "textures and noise"): blank,
    Family("shapes", "textures and noise"): shapes,
    Family("chest films", "films and slices"): chest,
    Family("hands", "films and slices"): hand,
    Family("skulls", "films and slices"): skull,
    Family("slices", "films and slices"): slice_of_body,
    Family("hearts", "other ultrasound"): heart,
    Family("bellies", "other ultrasound"): belly,
    Family("lungs", "other ultrasound"): lung,
}
