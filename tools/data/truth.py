"""Ground truth of a record: its image as the device decodes it, and the masks of its lesions.

Training, evaluation, calibration and preparing read masks here, so that a pixel means the same in
each of them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.errors import IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.values import BoolMask, Label, SourceImage
from mammosono.tools.data.index import Record

logger = logging.getLogger(__name__)
# Decoders go on after these and fill what is missing.
_DAMAGE = re.compile("Corrupt JPEG|Premature end|TIFF_Error|libpng error")


class BadTruth(ValueError):
    """An image or mask of the index cannot be read or does not fit; the message names it."""


def read_record(record: Record) -> SourceImage:
    """The record's image, decoded by the device's own intake. Raises BadTruth."""
    try:
        return read_image(record.image.read_bytes(), record.modality)
    except (IntakeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadTruth(f"{record.name}: not a readable image: {reason}") from None


def read_masks(
    record: Record,
    shape: tuple[int, ...],
    read_bytes: Callable[[Path], bytes] = Path.read_bytes,
) -> tuple[BoolMask, ...]:
    """The record's lesion masks, bool [height, width] each; () if it has none.

    A mask in which no pixel is set is returned as it is, and logged as a warning.
    Raises BadTruth if a mask is missing, damaged or not of the image's shape, or as mask_labels
    does: a mask too many is no truth to train on, and none to judge by.
    """
    if record.masks:
        mask_labels(record)
    masks = []
    for number, path in enumerate(record.masks, 1):
        mask = read_mask(path, shape, f"{record.name}: mask {number}", read_bytes)
        if not mask.any():
            logger.warning("%r: mask %d is empty: it shows no lesion", record.name, number)
        masks.append(mask)
    return tuple(masks)


def union_mask(
    record: Record,
    shape: tuple[int, int],
    read_bytes: Callable[[Path], bytes] = Path.read_bytes,
) -> BoolMask | None:
    """The union of the lesion masks, bool [height, width]; None if the record has none.

    Raises BadTruth as read_masks does.
    """
    masks = read_masks(record, shape, read_bytes)
    return np.any(masks, axis=0) if masks else None


def mask_labels(record: Record) -> tuple[Label, ...]:
    """The label of each mask: its annotation's, or the image's where there is no annotation.

    Raises BadTruth if there are annotations, but not one for each mask.
    """
    if not record.lesions:
        return tuple(Label(record.label) for _ in record.masks)
    if len(record.lesions) != len(record.masks):
        raise BadTruth(
            f"{record.name}: {len(record.masks)} masks and {len(record.lesions)} annotations: "
            "give one annotation for each mask, in the same order, or none"
        )
    return tuple(mark.label for mark in record.lesions)


def read_mask(
    path: Path,
    shape: tuple[int, ...],
    name: str = "the mask",
    read_bytes: Callable[[Path], bytes] = Path.read_bytes,
) -> BoolMask:
    """One mask picture, bool [height, width]; see set_pixels().

    Raises BadTruth, which calls the mask `name`, if it is missing, damaged or not of `shape`.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise BadTruth(f"{name} is missing") from None
    stored, messages = capture_stderr(lambda: decode_grey(data))
    if stored is None or _DAMAGE.search(messages):
        raise BadTruth(f"{name} is damaged")
    if stored.shape != shape:
        raise BadTruth(f"{name} is of another size than the picture")
    return set_pixels(stored)


def set_pixels(stored: NDArray[Any]) -> BoolMask:
    """Above half of the mask's greatest value: 0 and 1, 0 and 255, or smooth edges between."""
    return np.asarray(stored > stored.max() / 2)


def decode_grey(data: bytes) -> NDArray[Any] | None:
    """uint8 or uint16 [height, width] of what OpenCV reads, PGM among it; None if it does not."""
    if not data:
        return None
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
