"""Pictures of phantoms before and after, and of what was removed: docs/images/denoise-*.png."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import Phantom
from mammosono.appliance.pipeline.model import open_model
from mammosono.appliance.pipeline.runtime import Runtime
from mammosono.appliance.values import Box, Modality
from mammosono.tools.benchmarks.denoise.measures import edge_correlation
from mammosono.tools.benchmarks.denoise.methods import THREADS, Method, our_methods
from mammosono.tools.benchmarks.denoise.run import cnn_of, drawn

Image = NDArray[np.float32]
Picture = NDArray[np.uint8]

SIDE_PX = 512
CROP_PX = 160
ENLARGED = 2
"""Without smoothing: grain is to be seen as it is."""
AMPLIFIED = {Modality.MG: 6, Modality.US: 3}
"""What was removed is shown this many times as strong, around mid-grey."""
SHOWN = {Modality.MG: (3, 8), Modality.US: (8, 3)}
"""Seeds of the bench's phantoms: one with a malignant lesion, one with a benign one."""

_PAPER, _INK, _GAP, _LINE = 255, 40, 8, 26
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Crops of one method on one phantom; `correlation` of the whole picture."""

    method: str
    noisy: Image
    result: Image
    truth: Image
    correlation: float


def draw_pictures(folder: Path, bundle: Path | None) -> None:
    """Write denoise-mg.png and denoise-us.png. Raises ModelUnavailable, EngineError, OSError."""
    engine, model = open_model(bundle, Runtime(threads=THREADS))
    with closing(engine):
        methods = {
            Modality.MG: our_methods(Modality.MG, cnn_of(engine, model))[:1],
            Modality.US: our_methods(Modality.US, None),
        }
        folder.mkdir(parents=True, exist_ok=True)
        for modality, seeds in SHOWN.items():
            phantoms = [drawn(modality, seed, SIDE_PX, 1.0) for seed in seeds]
            if modality is Modality.US:
                # One with what scanners draw, by the service's method; then both on the other.
                shown = with_calipers(phantoms[0].pixels, phantoms[0].lesions[0].box)
                marked = phantoms[0], shown, methods[modality][0]
                plain = [(phantoms[1], phantoms[1].pixels, m) for m in methods[modality]]
                rows = [_row(*case) for case in (marked, *plain)]
            else:
                rows = [_row(p, p.pixels, m) for p in phantoms for m in methods[modality]]
            sheet = compose(rows, AMPLIFIED[modality])
            (folder / f"denoise-{modality.value.lower()}.png").write_bytes(grey_png(sheet))


def with_calipers(picture: Picture, box: Box) -> Picture:
    """A copy with a cross at either side of the box and dots between, as scanners draw them."""
    shown = np.array(picture)
    x0, y0, x1, y1 = box
    ends = np.array([(x0, (y0 + 2 * y1) / 3), (x1, (2 * y0 + y1) / 3)])
    for x, y in ends.astype(int).tolist():
        cv2.line(shown, (x - 6, y), (x + 6, y), 255, 1)
        cv2.line(shown, (x, y - 6), (x, y + 6), 255, 1)
    for x, y in np.linspace(ends[0], ends[1], 14)[1:-1].astype(int).tolist():
        shown[y : y + 2, x : x + 2] = 255
    return shown


def _row(phantom: Phantom, shown: Picture, method: Method) -> Row:
    noisy = shown.astype(np.float32)
    result = method.remove(noisy)
    x0, y0, x1, y1 = phantom.lesions[0].box
    top, left = (
        int(np.clip((low + high - CROP_PX) / 2, 0, SIDE_PX - CROP_PX))
        for low, high in ((y0, y1), (x0, x1))
    )
    cut = np.s_[top : top + CROP_PX, left : left + CROP_PX]
    correlation = edge_correlation(noisy, result, phantom.clean)
    return Row(method.name, noisy[cut], result[cut], phantom.clean[cut], correlation)


def compose(rows: Sequence[Row], amplified: int) -> Picture:
    """A sheet, uint8 [height, width]: before, after, removed and truth side by side, captioned."""
    side = CROP_PX * ENLARGED
    heads = ("before", "after", f"removed, {amplified} times as strong", "truth")
    head = [_caption(words, side) for words in heads]
    lines = [_beside(head)]
    for row in rows:
        removed = 127.5 + amplified * (row.noisy - row.result)
        tiles = [_enlarged(t) for t in (row.noisy, row.result, removed, row.truth)]
        words = f"{row.method}: correlation of the removed with edges {row.correlation:.2f}"
        lines += [_beside(tiles), _caption(words, 4 * side + 3 * _GAP)]
    return np.pad(np.vstack(lines), _GAP, constant_values=_PAPER)


def _enlarged(tile: Image) -> Picture:
    """Grey values 0..255, each as a small square."""
    levels = np.clip(np.rint(tile), 0, 255).astype(np.uint8)
    return np.kron(levels, np.ones((ENLARGED, ENLARGED), np.uint8))


def _beside(tiles: Sequence[Picture]) -> Picture:
    gap = np.full((tiles[0].shape[0], _GAP), _PAPER, np.uint8)
    return np.hstack([part for tile in tiles for part in (gap, tile)][1:])


def _caption(words: str, width: int) -> Picture:
    strip = np.full((_LINE, width), _PAPER, np.uint8)
    cv2.putText(strip, words, (2, _LINE - 9), _FONT, 0.5, _INK, 1, cv2.LINE_AA)
    return strip
