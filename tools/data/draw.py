"""Phantoms on disk, as an index like that of real data."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label
from mammosono.tools.data.index import COLUMNS

_SPLITS = ("train", "train", "val", "test")


def draw_index(out: Path, count: int, seed: int) -> Path:
    """Write `count` pictures of each modality, their masks and index.csv; return its path.

    Labels and splits go round: benign, malignant, normal; half train, a quarter val and test.
    Raises OSError if the folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for modality, record in MODALITIES.items():
        height, width = record.phantom_size
        for k in range(count):
            label = (Label.BENIGN, Label.MALIGNANT, None)[k % 3]
            drawn = phantom(modality, seed + k, label, height=height, width=width)
            name = f"{record.part}_{seed + k:05d}"
            _write(out / f"{name}.png", drawn.pixels)
            masks, marks = [], []
            for n, lesion in enumerate(drawn.lesions):
                masks.append(f"{name}_mask_{n}.png")
                _write(out / masks[-1], lesion.mask.astype(np.uint8) * 255)
                x0, y0, x1, y1 = lesion.box
                marks.append(f"box:{x0:g},{y0:g},{x1 - x0:g},{y1 - y0:g}:{lesion.label.value}")
            word = label.value if label else "normal"
            split = _SPLITS[k // 3 % len(_SPLITS)]
            rows.append(
                (record.part, word, f"{name}.png", ";".join(masks), ";".join(marks),
                 name, "phantom", split)
            )  # fmt: skip
    path = out / "index.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


def _write(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(0, "cannot be written", path.name)
