"""Single-frame DICOM mammograms and ultrasounds (PS3.3, PS3.5, PS3.10)."""

from __future__ import annotations

import logging

import numpy as np

from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.intake.dicom_frame import GROUP_KEYWORDS, of_the_frame
from mammosono.appliance.intake.dicom_grey import (
    GREY_KEYWORDS,
    LUT_KEYWORDS,
    POLARITY_KEYWORDS,
    WINDOW_IGNORED,
    grey_scale,
)
from mammosono.appliance.intake.dicom_header import HEADER_KEYWORDS, read_header
from mammosono.appliance.intake.dicom_identity import IDENTITY_KEYWORDS, identity
from mammosono.appliance.intake.dicom_numbers import has_comma
from mammosono.appliance.intake.dicom_parse import Buffer, parse
from mammosono.appliance.intake.dicom_pixels import LONG_KEYWORDS, PIXEL_KEYWORDS, decode_grey
from mammosono.appliance.intake.dicom_spacing import SPACING_KEYWORDS, scale
from mammosono.appliance.intake.dicom_values import Description
from mammosono.appliance.intake.dicom_view import (
    VIEW_KEYWORDS,
    contradicts_itself,
    laterality_and_view,
    lies_unusually,
    view_modifiers,
)
from mammosono.appliance.intake.histogram import (
    FEW_LEVELS,
    cumulative_histogram,
    has_few_levels,
    percentiles,
    require_content,
    robust_window,
    without_marks,
)
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.posted import CONTRADICTED
from mammosono.appliance.intake.scope import SCOPE_KEYWORDS, cautions
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.values import Caution, Modality, SourceImage

# pydicom logs the values it stumbles over, and one of them may be the patient's name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

DECIMAL_COMMA = Caution(
    "decimal_comma", "The file writes numbers with a comma; it was read as a decimal point."
)

LIES_UNUSUALLY = Caution(
    "orientation_unusual",
    "By its stated orientation the picture lies upside down or mirrored, or is of the other "
    "breast; check its side.",
)

_COARSE_FROM_PX = 3000
"""Longer side of a picture that is at least three times as large as any network's canvas."""

_OF_THE_FRAME = (*SPACING_KEYWORDS, *GREY_KEYWORDS)
_PICTURE = (*HEADER_KEYWORDS, *_OF_THE_FRAME, *GROUP_KEYWORDS)
_DESCRIPTION = (*IDENTITY_KEYWORDS, *VIEW_KEYWORDS, *SCOPE_KEYWORDS)


def read_dicom(
    data: Buffer, modality: Modality, limits: Limits, sha256: str, coarse: bool = False
) -> SourceImage:
    """Grey as the file says it is shown; bright = dense; signed values shifted up to unsigned.

    What is linear is applied to the window and not to the pixels. The window is the file's first;
    without one, all levels for pixels of up to 8 bits and robust percentiles for deeper ones.
    Raises an IntakeError, or whatever pydicom and its codecs raise on a damaged file.
    """
    image, _ = capture_stderr(lambda: _read(data, modality, limits, sha256, coarse))
    return image


def _read(
    data: Buffer, modality: Modality, limits: Limits, sha256: str, coarse: bool
) -> SourceImage:
    ds = parse(data, _PICTURE, (*LUT_KEYWORDS, *GROUP_KEYWORDS))
    header = read_header(ds, modality)
    limits.admit_picture(header.columns, header.rows)
    said = of_the_frame(ds, _OF_THE_FRAME, alike=POLARITY_KEYWORDS)
    greys = grey_scale(said, header)
    description = Description(data, _DESCRIPTION)
    millimetres = scale(said, modality, "magnified" in view_modifiers(description))
    laterality, view = laterality_and_view(description)
    film = MODALITIES[modality].physics is Physics.PROJECTION
    stored = parse(data, PIXEL_KEYWORDS, LONG_KEYWORDS)
    coarse = coarse and max(header.rows, header.columns) >= _COARSE_FROM_PX
    decoded = decode_grey(data, stored, header, greys, modality, coarse)
    pixels = decoded.pixels
    histogram = cumulative_histogram(pixels)
    require_content(histogram)
    pixels, histogram = without_marks(pixels, histogram)
    low, high = percentiles(histogram, (0.5, 99.5))
    window = greys.window
    beside = window is not None and (window[1] <= low or window[0] >= high)
    deep = pixels.dtype == np.uint16
    if window is None or beside:
        window = robust_window(histogram) if deep else (0.0, float(2 ** min(greys.bits, 8) - 1))
    notes = {
        FEW_LEVELS: has_few_levels(histogram),
        WINDOW_IGNORED: beside,
        DECIMAL_COMMA: has_comma(said, _OF_THE_FRAME),
    }
    return SourceImage(
        modality=modality,
        pixels=pixels,
        bits=greys.bits if deep else 8,
        window=window,
        spacing_mm=millimetres.spacing_mm,
        sha256=sha256,
        warnings=(
            *header.warnings,
            *((CONTRADICTED,) if contradicts_itself(description) else ()),
            *((LIES_UNUSUALLY,) if film and lies_unusually(description) else ()),
            *cautions(description, modality),
            *greys.warnings,
            *millimetres.warnings,
            *decoded.warnings,
            *(note for note, holds in notes.items() if holds),
        ),
        laterality=laterality,
        view=view,
        identity=identity(description.top),
        regions=millimetres.regions,
        coarseness=decoded.coarseness,
        posted_size=None if decoded.coarseness == 1 else (header.rows, header.columns),
    )
