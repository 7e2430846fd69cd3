"""Augmentation for the kind network: how scanners, hospitals and ways of sending differ."""

from __future__ import annotations

import string

import cv2
import numpy as np
from numpy.random import Generator

from mammosono.appliance.pipeline.kind import CLASSES
from mammosono.tools.kind.family import Grey

MG, US, OTHER = (CLASSES.index(name) for name in ("MG", "US", "other"))


def augment(grey: Grey, kind: int, rng: Generator) -> Grey:
    """Another picture of the same kind. kind: index in CLASSES.

    Other things are at times changed as a breast image would be, so that no trace of it tells.
    """
    grey = _turned(_cropped(grey, kind, rng), kind, rng)
    way = kind if kind != OTHER else int(rng.choice(3, p=(0.3, 0.2, 0.5)))
    if way == US:
        grey = _scanner(grey, rng)
    elif way == MG:
        grey = _film(grey, rng)
    grey = _levels(grey, kind, rng)
    grey = _resolution(grey, rng)
    return _sent(grey, kind, rng)


def _cropped(grey: Grey, kind: int, rng: Generator) -> Grey:
    if rng.random() < 0.3:
        return grey
    least = 0.45 if kind == OTHER else 0.72
    height, width = (max(int(n * rng.uniform(least, 1)), 8) for n in grey.shape)
    y, x = (
        int(rng.integers(0, n - m + 1)) for n, m in zip(grey.shape, (height, width), strict=True)
    )
    return grey[y : y + height, x : x + width]


def _turned(grey: Grey, kind: int, rng: Generator) -> Grey:
    if rng.random() < 0.5:
        grey = grey[:, ::-1]
    if kind != US and rng.random() < (0.1 if kind == MG else 0.25):
        grey = grey[::-1]
    if kind == OTHER and rng.random() < 0.15:
        grey = grey.T
    grey = np.ascontiguousarray(grey)
    if rng.random() < 0.35:
        height, width = grey.shape
        turn = rng.normal(0, 4 if kind != OTHER else 8)
        about = cv2.getRotationMatrix2D((width / 2, height / 2), turn, rng.uniform(0.92, 1.12))
        border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
        grey = np.asarray(cv2.warpAffine(grey, about, (width, height), borderMode=border), np.uint8)
    return grey


def _scanner(grey: Grey, rng: Generator) -> Grey:
    """Depth gain, a spread image, side-by-side pictures, a machine's screen around."""
    height, width = grey.shape
    if rng.random() < 0.4:
        knots = np.exp(rng.normal(0, 0.35, 5))
        gain = np.interp(np.linspace(0, 4, height), np.arange(5), knots)[:, None]
        grey = np.asarray(np.clip(grey * gain, 0, 255), np.uint8)
    if rng.random() < 0.2:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        apex = rng.uniform(1.2, 3.0) * height  # a linear probe that steers its beams apart
        angle = np.arctan2(np.abs(x - width / 2), y + apex)
        radius = np.hypot(x - width / 2, y + apex)
        outside = (angle > np.arctan2(width / 2, apex + rng.uniform(0.1, 0.7) * height)) | (
            radius < apex * rng.uniform(1.0, 1.02)
        )
        grey = np.where(outside, 0, grey).astype(np.uint8)
    if rng.random() < 0.06:
        second = cv2.resize(grey[:, ::-1], (width, height))
        grey = np.hstack([grey, np.zeros((height, 6), np.uint8), np.asarray(second, np.uint8)])
    if rng.random() < 0.12:
        top, bottom, left, right = (rng.uniform(0, 0.35, 4) * max(height, width)).astype(int)
        grey = np.pad(grey, ((top, bottom), (left, right)))
        for _ in range(rng.integers(1, 6)):
            _mark(grey, rng)
    return grey


def _film(grey: Grey, rng: Generator) -> Grey:
    """The breast alone or small on a large detector, a muscle painted out, a detector's contrast,
    background that is not black, bright rims, labels."""
    digital = rng.random() < 0.4
    if digital or rng.random() < 0.15:
        grey = _cut_out(grey, rng)
    if digital or rng.random() < 0.2:
        grey = _processed(grey, rng)
    if rng.random() < 0.12:  # some archives keep the breast alone
        reach = rng.uniform(0.15, 0.5, 2) * grey.shape
        left = rng.random() < 0.5
        x = 0 if left else grey.shape[1]
        corner = [[x, 0], [x + (1 if left else -1) * int(reach[1]), 0], [x, int(reach[0])]]
        cv2.fillPoly(grey, [np.array(corner, np.int32)], 0)
    if rng.random() < (0.15 if digital else 0.35):
        wide, high = (
            rng.uniform(0, most, 2) * n
            for most, n in zip((0.9, 0.3), grey.shape[::-1], strict=True)
        )
        if rng.random() < 0.7:  # the breast lies at one side
            wide[int(rng.integers(2))] = 0
        (left_px, right_px), (top, bottom) = wide.astype(int), high.astype(int)
        grey = np.pad(grey, ((top, bottom), (left_px, right_px)))
    height, width = grey.shape
    if rng.random() < 0.25:
        grey = np.maximum(grey, np.uint8(rng.integers(0, 45)))
    if rng.random() < 0.1:  # only the breast is left, as some viewers send it
        level = float(np.percentile(grey, 20)) + 8
        grey = np.where(cv2.medianBlur(grey, 5) > level, grey, 0).astype(np.uint8)
    if rng.random() < 0.2:
        rim = int(rng.integers(1, max(min(height, width) // 25, 2)))
        bright = np.uint8(rng.integers(120, 256))
        for edge in rng.permutation(4)[: rng.integers(1, 5)]:
            view = (grey[:rim], grey[-rim:], grey[:, :rim], grey[:, -rim:])[edge]
            view[:] = bright
    if rng.random() < 0.3:
        _box(grey, int(rng.integers(150, 256)), rng)
    return grey


def _cut_out(grey: Grey, rng: Generator) -> Grey:
    """As a detector's picture is stored: film borders and labels are gone, all round the breast is
    black, and the picture ends near its skin."""
    soft = cv2.blur(grey, (5, 5))
    level = cv2.threshold(soft, 0, 255, cv2.THRESH_OTSU)[0]
    inside = np.asarray(soft > rng.uniform(0.35, 0.8) * level, np.uint8)
    rim = 1 + min(grey.shape) // 50
    for edge in (inside[:rim], inside[-rim:], inside[:, :rim], inside[:, -rim:]):
        edge[:] = 0
    found = cv2.connectedComponentsWithStats(inside)
    x, y, wide, high, area = found[2][1:][found[2][1:, 4].argmax()] if found[0] > 1 else [0] * 5
    if area < 0.05 * grey.size:
        return grey
    breast = np.asarray(found[1] == 1 + found[2][1:, 4].argmax(), np.uint8)
    alone = grey * cv2.morphologyEx(breast, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    before = (rng.uniform(0, 0.08, 2) * (high, wide)).astype(int)
    after = (rng.uniform(0, 0.08, 2) * (high, wide)).astype(int)
    rows = slice(max(y - before[0], 0), y + high + after[0])
    columns = slice(max(x - before[1], 0), x + wide + after[1])
    return np.ascontiguousarray(alone[rows, columns])


def _processed(grey: Grey, rng: Generator) -> Grey:
    """A detector's processing: large differences evened out, small ones raised, a steep curve, or
    a dark one."""
    values = grey.astype(np.float32)
    tissue = np.asarray(grey > 12, np.float32)
    if not tissue.any():
        return grey
    for least, most in ((0.008, 0.03), (0.03, 0.3)):
        side = round(np.exp(rng.uniform(np.log(least), np.log(most))) * max(grey.shape)) | 1
        side = max(side, 3)
        whole, weight = (cv2.blur(plane, (side, side)) for plane in (values * tissue, tissue))
        local = whole / np.maximum(weight, 0.05)
        level = float(local[grey > 12].mean())
        evened = rng.uniform(0, 0.5) * (level - local) + local if least > 0.01 else local
        values = np.asarray(evened + rng.uniform(1, 2.5) * (values - local), np.float32)
    share = np.clip(values / 255, 0, 1) ** np.exp(rng.uniform(-0.2, 0.8))
    if rng.random() < 0.4:
        steep, middle = rng.uniform(4, 12), rng.uniform(0.25, 0.6)
        low, high = (1 / (1 + np.exp(-steep * (end - middle))) for end in (0, 1))
        share = (1 / (1 + np.exp(-steep * (share - middle))) - low) / (high - low)
    return np.asarray(255 * share * tissue, np.uint8)


def _box(grey: Grey, shade: int, rng: Generator) -> None:
    height, width = grey.shape
    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
    corner = (x + int(rng.uniform(0.03, 0.15) * width), y + int(rng.uniform(0.02, 0.1) * height))
    cv2.rectangle(grey, (x, y), corner, shade, -1)


def _levels(grey: Grey, kind: int, rng: Generator) -> Grey:
    if rng.random() < 0.08:
        contrast = cv2.createCLAHE(rng.uniform(1, 4), (8, 8))
        grey = np.asarray(contrast.apply(grey), np.uint8)
    share = np.linspace(0, 1, 256)
    if rng.random() < 0.7:
        share = share ** np.exp(rng.uniform(-0.6, 0.6))
    if rng.random() < 0.5:
        low = rng.uniform(-0.12, 0.25) if kind != MG else rng.uniform(-0.1, 0.15)
        high = rng.uniform(0.65, 1.15) if rng.random() < 0.8 else rng.uniform(0.35, 0.65)
        share = (share - low) / (high - low)
    if rng.random() < 0.3:
        share = share * rng.uniform(0.4, 1)
    return np.asarray(cv2.LUT(grey, np.asarray(np.clip(255 * share, 0, 255), np.uint8)), np.uint8)


def _resolution(grey: Grey, rng: Generator) -> Grey:
    height, width = grey.shape
    if rng.random() < 0.3:
        shrink = rng.uniform(0.3, 1)
        size = (max(int(width * shrink), 24), max(int(height * shrink), 24))
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        grey = np.asarray(
            small if rng.random() < 0.5 else cv2.resize(small, (width, height)), np.uint8
        )
    if rng.random() < 0.2:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 2)), np.uint8)
    if rng.random() < 0.25:
        grain = rng.standard_normal(grey.shape, np.float32) * rng.uniform(1, 12)
        if rng.random() < 0.5:
            grain *= np.sqrt(grey / 128)
        grey = np.asarray(np.clip(grey + grain, 0, 255), np.uint8)
    return grey


def _sent(grey: Grey, kind: int, rng: Generator) -> Grey:
    """Padding, a machine's screen around, marks, compression."""
    height, width = grey.shape
    if rng.random() < 0.3:
        pad = [int(rng.uniform(0, 0.22) * n) for n in (height, height, width, width)]
        pad = [n * int(rng.random() < 0.6) for n in pad]
        shade = 0 if rng.random() < 0.7 else int(rng.integers(0, 256))
        grey = np.pad(grey, ((pad[0], pad[1]), (pad[2], pad[3])), constant_values=shade)
    if rng.random() < 0.35:
        grey = np.ascontiguousarray(grey)
        for _ in range(rng.integers(1, 6)):
            _mark(grey, rng)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        coded = cv2.imencode(".jpg", np.ascontiguousarray(grey), quality)[1]
        grey = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return grey


def _mark(grey: Grey, rng: Generator) -> None:
    """Calipers, words, a scale, a body mark."""
    height, width = grey.shape
    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
    ink, sort = int(rng.integers(0, 256) if rng.random() < 0.3 else 240), rng.integers(0, 4)
    if sort == 0:
        cv2.drawMarker(grey, (x, y), ink, int(rng.integers(0, 3)), int(rng.integers(5, 15)))
    elif sort == 1:
        words = "".join(
            rng.choice(list(string.ascii_letters + string.digits + " ")) for _ in range(8)
        )
        cv2.putText(grey, words, (x - 20, y), 0, rng.uniform(0.25, 0.7), ink, 1, cv2.LINE_AA)
    elif sort == 2:
        step = int(rng.integers(5, 30))
        column = int(rng.choice([2, max(width - 8, 0)]))
        for row in range(0, height, step):
            cv2.line(grey, (column, row), (column + 4, row), ink)
    else:
        cv2.ellipse(grey, (x, y), (int(rng.integers(8, 30)),) * 2, 0, 0, 360, ink, 1, cv2.LINE_AA)
        cv2.line(grey, (x, y), (x + 8, y + 6), ink, 2)
