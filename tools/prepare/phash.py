"""A 64-bit perceptual hash: pictures that look alike differ in few bits.

Which of 64 low frequencies of the discrete cosine transform lie above their median, as in Zauner,
"Implementation and benchmarking of perceptual image hash functions" (2010): 32 x 32 by area, rows
and columns 1 to 8 of the transform, so that brightness plays no part.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE, _FREQUENCIES = 32, slice(1, 9)


def phash(pixels: NDArray[Any]) -> int:
    """pixels: grey [height, width], any depth. An even picture hashes to 0."""
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    spectrum = cv2.dct(small)[_FREQUENCIES, _FREQUENCIES].ravel()
    # What rounding leaves of an even picture must not become a random hash.
    spectrum[np.abs(spectrum) <= 1e-5 * max(float(small.max()), 1e-30) * _SIDE] = 0
    bits = spectrum > np.median(spectrum)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
