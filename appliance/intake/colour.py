"""Colour: which of the two ways three samples are to be read, and what there is of it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.values import Caution, Modality

COLOURED = Caution(
    "coloured",
    "Part of the ultrasound is in colour, as in Doppler or elastography; only its brightness was "
    "read. A plain B-mode image is read more reliably.",
)
COLOUR_MARKS = Caution(
    "colour_marks",
    "Coloured marks are drawn into the mammogram, as by a program that outlines findings; send the "
    "picture without them.",
)

# A tinted grey map (sepia, blue) stays below this chroma; Doppler and elastography lie above.
_STRONG_CHROMA = 64
_COLOURED_SHARE = 0.01
_GREY_CHROMA, _CLEARLY_MORE = 16, 0.2  # of JPEG's noise; of all pixels
_STEP_PX = 4
_MARKED_PX = 16  # a thin circle in a film of 12 million pixels has some hundreds
_STRIPE_ROWS = 256


def as_rgb(samples: NDArray[np.uint8], ybr: bool) -> NDArray[np.uint8]:
    """RGB, [height, width, 3], of three samples a pixel, which the file says are YCbCr or not.

    Files lie about that, header and markers alike. Medical pictures are mostly grey, and read the
    wrong way they are not: where the other reading makes clearly more of them grey, it is meant.
    """
    sample = np.ascontiguousarray(samples[::_STEP_PX, ::_STEP_PX])
    as_stated = _grey_share(_from_ybr(sample) if ybr else sample)
    otherwise = _grey_share(sample if ybr else _from_ybr(sample))
    if otherwise > as_stated + _CLEARLY_MORE:
        ybr = not ybr
    return _from_ybr(samples) if ybr else samples


def _from_ybr(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """PS3.3 C.7.6.3.1.2, YBR_FULL."""
    return np.asarray(cv2.cvtColor(samples[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB), np.uint8)


def _grey_share(rgb: NDArray[np.uint8]) -> float:
    return float(np.mean(_chroma(rgb) <= _GREY_CHROMA))


def _chroma(rgb: NDArray[Any]) -> NDArray[Any]:
    red, green, blue = (rgb[..., k] for k in range(3))
    return np.asarray(
        np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    )


def colour_warnings(rgb: NDArray[Any], modality: Modality) -> tuple[Caution, ...]:
    """What is to be said of the colour in [height, width, 3], uint8 or uint16, in any order.

    Of an ultrasound from 1 % of vivid pixels on; of a mammogram, which has no colour of its own,
    from a few on.
    """
    strong = _STRONG_CHROMA * (1 if rgb.dtype == np.uint8 else 257)
    if MODALITIES[modality].physics is Physics.ECHO:
        vivid = _chroma(rgb[::_STEP_PX, ::_STEP_PX]) > strong
        return (COLOURED,) if float(np.mean(vivid)) >= _COLOURED_SHARE else ()
    count = sum(
        int(np.count_nonzero(_chroma(rgb[top : top + _STRIPE_ROWS]) > strong))
        for top in range(0, len(rgb), _STRIPE_ROWS)
    )
    return (COLOUR_MARKS,) if count >= _MARKED_PX else ()
