"""Pictures of a report: which images are shown, and their tiles.

Images are chosen by rank, never by hand. Of the worst cases at most one image a patient or group
of near-duplicates is shown. Tiles: as it is, with the truth, with what the device reports. Lines
differ by more than colour: the truth is white and solid, malignant findings are thick, benign ones
thin, and each finding carries M or B and its score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.render import COLOURS
from mammosono.appliance.output.rle import decode
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Label
from mammosono.tools.data.index import Record
from mammosono.tools.report.evaluation_folder import ImageRow, rle_of

WIDTH_PX = 300
"""Of a tile: all are shown equally wide, so that tags are equally large."""
QUALITY = 88
_FONT, _SCALE, _STROKE = cv2.FONT_HERSHEY_SIMPLEX, 0.8, 2
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
Canvas = NDArray[np.uint8]
"""RGB [height, width, 3]."""


@dataclass(frozen=True, slots=True)
class Choice:
    """images: those to show; of: how many they were chosen from."""

    images: tuple[ImageRow, ...]
    of: int


def spread(images: Sequence[ImageRow], count: int) -> Choice:
    """Images with a lesion mask at equal steps of rank by Dice, worst and best included."""
    ranked = sorted((i for i in images if not math.isnan(i.dice)), key=lambda i: (i.dice, i.name))
    if len(ranked) <= count:
        return Choice(tuple(ranked), len(ranked))
    picked = {round(k * (len(ranked) - 1) / (count - 1)) for k in range(count)}
    return Choice(tuple(ranked[k] for k in sorted(picked)), len(ranked))


def best(images: Sequence[ImageRow], count: int) -> Choice:
    """Images with a lesion mask, the highest Dice first."""
    known = [i for i in images if not math.isnan(i.dice)]
    return _first(sorted(known, key=lambda i: (-i.dice, i.name)), count)


def worst(images: Sequence[ImageRow], count: int) -> Choice:
    """Images with a lesion mask of which something was outlined, the lowest Dice first; those where
    nothing was are in `missed_lesions`."""
    known = [i for i in images if i.dice > 0]
    return _first(sorted(known, key=lambda i: (i.dice, i.name)), count)


def false_alarms(images: Sequence[ImageRow], count: int) -> Choice:
    """Positive images without a malignant lesion, the highest score first."""
    wrong = [i for i in images if i.by_class and not i.malignant and i.verdict == "positive"]
    ranked = sorted(wrong, key=lambda i: (-i.score, i.name))
    return _first(ranked, count)


def misses(images: Sequence[ImageRow], count: int) -> Choice:
    """Malignant images that are not positive: unread ones first, then the lowest score."""
    wrong = [i for i in images if i.by_class and i.malignant and i.verdict != "positive"]
    ranked = sorted(wrong, key=lambda i: (-1.0 if math.isnan(i.score) else i.score, i.name))
    return _first(ranked, count)


def missed_lesions(images: Sequence[ImageRow], count: int) -> Choice:
    """Images with lesions of which no outline covers any part, the largest lesions first."""
    blind = [i for i in images if i.dice == 0 and i.lesions]
    ranked = sorted(blind, key=lambda i: (-max(x["area"] for x in i.lesions), i.name))
    return _first(ranked, count)


def _first(ranked: Sequence[ImageRow], count: int) -> Choice:
    cases: dict[str, ImageRow] = {}
    for image in ranked:
        cases.setdefault(image.case, image)
    return Choice(tuple(cases.values())[:count], len(ranked))


def outlined(record: Record, image: ImageRow) -> Canvas:
    """The picture with the truth and the findings on it, no tags. Raises IntakeError, OSError."""
    plain, factor = _picture(record)
    for lesion in image.lesions:
        _draw_truth(plain, lesion, factor)
    for finding in image.findings:
        _draw_outline(plain, finding, factor, *_look(finding))
    return plain


def tiles(record: Record, image: ImageRow) -> tuple[bytes, bytes, bytes]:
    """JPEGs of the picture, the truth and the findings. Raises IntakeError and OSError."""
    plain, factor = _picture(record)
    truth = plain.copy()
    for lesion in image.lesions:
        _draw_truth(truth, lesion, factor)
    detection = plain.copy()
    for finding in image.findings:
        _draw_outline(detection, finding, factor, *_look(finding))
    _draw_tags(detection, image.findings, factor)
    return _jpeg(plain), _jpeg(truth), _jpeg(detection)


def _picture(record: Record) -> tuple[Canvas, float]:
    """The picture WIDTH_PX wide, and by what factor it was scaled."""
    source = read_image(record.image.read_bytes(), record.modality)
    grey = to_grey(source.pixels, source.window)
    factor = WIDTH_PX / grey.shape[1]
    size = max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(grey, size, interpolation=way)
    return np.repeat(np.asarray(small, np.uint8)[..., None], 3, axis=2), factor


def _draw_truth(canvas: Canvas, lesion: Mapping[str, Any], factor: float) -> None:
    if "segmentation" in lesion:
        _draw_outline(canvas, lesion, factor, _WHITE, 3)
        return
    x, y, width, height = (v * factor for v in lesion["bbox"])
    for colour, thickness in ((_BLACK, 5), (_WHITE, 3)):
        if lesion["circle"]:
            centre = round(x + width / 2), round(y + height / 2)
            cv2.circle(canvas, centre, round(width / 2), colour, thickness, cv2.LINE_AA)
        else:
            low, high = (round(x), round(y)), (round(x + width), round(y + height))
            cv2.rectangle(canvas, low, high, colour, thickness)


def _draw_outline(
    canvas: Canvas,
    region: Mapping[str, Any],
    factor: float,
    colour: tuple[int, int, int],
    width: int,
) -> None:
    mask = decode(rle_of(region["segmentation"])).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = [np.round(outline * factor).astype(np.int32) for outline in outlines]
    cv2.polylines(canvas, points, True, _BLACK, width + 2, cv2.LINE_AA)
    cv2.polylines(canvas, points, True, colour, width, cv2.LINE_AA)


def _draw_tags(canvas: Canvas, findings: Sequence[Mapping[str, Any]], factor: float) -> None:
    """A tag at each finding's upper edge, moved down where one stands already."""
    taken: list[tuple[int, int, int, int]] = []
    for finding in reversed(findings):
        text = f"{finding['label'][0].upper()} {finding['malignancy']:.2f}"
        (width, height), _ = cv2.getTextSize(text, _FONT, _SCALE, _STROKE)
        width, height = width + 8, height + 9
        x = int(np.clip(round(finding["bbox"][0] * factor), 0, max(canvas.shape[1] - width, 0)))
        y = int(np.clip(round(finding["bbox"][1] * factor) - height, 0, canvas.shape[0] - height))
        while any(abs(x - a) < max(width, c) and abs(y - b) < height for a, b, c, _ in taken):
            y += height
            if y > canvas.shape[0] - height:
                break
        taken.append((x, y, width, height))
        cv2.rectangle(canvas, (x, y), (x + width, y + height), _BLACK, -1)
        at = (x + 4, y + height - 5)
        cv2.putText(canvas, text, at, _FONT, _SCALE, _look(finding)[0], _STROKE, cv2.LINE_AA)


def _look(finding: Mapping[str, Any]) -> tuple[tuple[int, int, int], int]:
    """Colour and width of a finding's line."""
    label = Label(finding["label"])
    return COLOURS[label], 4 if label is Label.MALIGNANT else 2


def _jpeg(canvas: Canvas) -> bytes:
    done, data = cv2.imencode(".jpg", canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not write a JPEG")
    return data.tobytes()
