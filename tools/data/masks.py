"""A record's lesion masks as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.tools.data.index import Record


def union_mask(
    record: Record,
    shape: tuple[int, int],
    read_bytes: Callable[[Path], bytes] = Path.read_bytes,
) -> NDArray[np.bool_] | None:
    """The union of the lesion masks, bool [height, width]; None if the record has none.

    Raises ValueError if a mask is missing, damaged or not of the image's shape.
    """
    if not record.masks:
        return None
    union = np.zeros(shape, np.bool_)
    for path in record.masks:
        try:
            mask = cv2.imdecode(np.frombuffer(read_bytes(path), np.uint8), cv2.IMREAD_GRAYSCALE)
        except FileNotFoundError:
            raise ValueError(f"a mask of {record.name} is missing") from None
        if mask is None or mask.shape != shape:
            raise ValueError(f"a mask of {record.name} is damaged or not of the image's size")
        union |= mask > 0
    return union
