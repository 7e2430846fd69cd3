"""Contact sheets of an evaluation: of each hospital the best, the worst, the missed and the false.

For documentation: a sheet is one small picture without names, numbers of patients or files. Truth
is white, findings are coloured as on the page; below each stands its label and what was said of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from mammosono.tools.data.index import Record
from mammosono.tools.report.evaluation_folder import ImageRow, StoredEvaluation
from mammosono.tools.report.pictures import (
    Canvas,
    Choice,
    best,
    false_alarms,
    missed_lesions,
    misses,
    outlined,
    worst,
)

COLUMNS, ROWS = 4, 3
TILE_PX, CAPTION_PX, GAP_PX = 220, 20, 4
LARGEST_BYTES = 300_000
QUALITIES = (80, 70, 60, 50, 40, 30)
"""Of WebP, tried in turn until a sheet is small enough."""
KINDS: Mapping[str, Callable[[Sequence[ImageRow], int], Choice]] = {
    "best": best,
    "worst": worst,
    "missed": misses,
    "missed-lesions": missed_lesions,
    "false-alarms": false_alarms,
}
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


def write_sheets(
    evaluation: StoredEvaluation, records: Mapping[str, Record], out: Path
) -> dict[Path, Choice]:
    """A WebP file for each source and kind that there is an image for; by file what it shows.

    records: of the index, by name. Raises IntakeError and OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    written: dict[Path, Choice] = {}
    for source in sorted({image.source for image in evaluation.images}):
        images = [image for image in evaluation.images if image.source == source]
        for kind, choose in KINDS.items():
            choice = choose(images, COLUMNS * ROWS)
            if choice.images:
                file = out / f"{_safe(source)}-{kind}.webp"
                file.write_bytes(_small(sheet([(records[i.name], i) for i in choice.images])))
                written[file] = choice
    return written


def sheet(images: Sequence[tuple[Record, ImageRow]]) -> Canvas:
    """RGB; up to COLUMNS * ROWS images, row by row."""
    lines = -(-len(images) // COLUMNS)
    across, down = TILE_PX + GAP_PX, TILE_PX + CAPTION_PX + GAP_PX
    canvas = np.full((lines * down + GAP_PX, COLUMNS * across + GAP_PX, 3), 255, np.uint8)
    for k, (record, image) in enumerate(images):
        x, y = GAP_PX + k % COLUMNS * across, GAP_PX + k // COLUMNS * down
        tile = _fitted(outlined(record, image))
        canvas[y : y + TILE_PX, x : x + TILE_PX] = tile
        at = (x, y + TILE_PX + CAPTION_PX - 6)
        cv2.putText(canvas, _caption(image), at, _FONT, _SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def _caption(image: ImageRow) -> str:
    score = "not read" if math.isnan(image.score) else f"score {image.score:.2f}"
    dice = "" if math.isnan(image.dice) else f", Dice {image.dice:.2f}"
    if not image.by_class:
        return f"lesion{dice}" if image.lesions else f"no lesion{dice}"
    return f"{image.label}: {score}{dice}"


def _fitted(picture: Canvas) -> Canvas:
    """In a black square of TILE_PX, in the middle."""
    factor = TILE_PX / max(picture.shape[:2])
    height, width = (min(max(round(side * factor), 1), TILE_PX) for side in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    square = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
    top, left = (TILE_PX - height) // 2, (TILE_PX - width) // 2
    square[top : top + height, left : left + width] = small
    return square


def _small(canvas: Canvas) -> bytes:
    """WebP of the best quality that is small enough, or of the least there is."""
    data = b""
    for quality in QUALITIES:
        done, encoded = cv2.imencode(
            ".webp", canvas[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality]
        )
        if not done:
            raise RuntimeError("OpenCV could not write a WebP")
        data = encoded.tobytes()
        if len(data) < LARGEST_BYTES:
            break
    return data


def _safe(source: str) -> str:
    """A source's name as part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-") or "source"
