"""Single-frame DICOM mammograms and ultrasounds (PS3.3, PS3.5, PS3.10)."""

from __future__ import annotations

import logging

import numpy as np

from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.intake.dicom_header import HEADER_KEYWORDS, read_header
from mammosono.appliance.intake.dicom_identity import IDENTITY_KEYWORDS, identity
from mammosono.appliance.intake.dicom_parse import parse
from mammosono.appliance.intake.dicom_pixels import LONG_KEYWORDS, PIXEL_KEYWORDS, decode_grey
from mammosono.appliance.intake.dicom_spacing import SPACING_KEYWORDS, spacing_mm
from mammosono.appliance.intake.dicom_values import Description
from mammosono.appliance.intake.dicom_view import (
    VIEW_KEYWORDS,
    contradicts_itself,
    laterality_and_view,
)
from mammosono.appliance.intake.dicom_window import WINDOW_KEYWORDS, display_window
from mammosono.appliance.intake.histogram import (
    COLOURED,
    FEW_LEVELS,
    cumulative_histogram,
    has_few_levels,
    percentiles,
    require_content,
    robust_window,
)
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.posted import CONTRADICTED
from mammosono.appliance.intake.scope import SCOPE_KEYWORDS, cautions
from mammosono.appliance.intake.transfer_syntax import require_readable_transfer_syntax
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.values import Caution, Modality, SourceImage

# pydicom logs the values it stumbles over, and one of them may be the patient's name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

WINDOW_IGNORED = Caution(
    "window_ignored", "The file's display window lies beside its grey levels and was not used."
)

_PICTURE = (*HEADER_KEYWORDS, *SPACING_KEYWORDS, *WINDOW_KEYWORDS)
_DESCRIPTION = (*IDENTITY_KEYWORDS, *VIEW_KEYWORDS, *SCOPE_KEYWORDS)


def read_dicom(data: bytes, modality: Modality, limits: Limits, sha256: str) -> SourceImage:
    """Grey in the stored depth; bright = dense; signed values shifted up to unsigned.

    Rescaling is linear, so it is applied to the window and not to the pixels. The window is the
    file's first; without one, 0 to 255 for 8-bit pixels and robust percentiles for deeper ones.
    Raises an IntakeError, or whatever pydicom and its codecs raise on a damaged file.
    """
    require_readable_transfer_syntax(data)
    image, _ = capture_stderr(lambda: _read(data, modality, limits, sha256))
    return image


def _read(data: bytes, modality: Modality, limits: Limits, sha256: str) -> SourceImage:
    ds = parse(data, _PICTURE)
    header = read_header(ds, modality)
    limits.admit_picture(header.columns, header.rows)
    window = display_window(ds, header)
    spacing = spacing_mm(ds, modality)
    description = Description(data, _DESCRIPTION)
    laterality, view = laterality_and_view(description)
    pixels, coloured = decode_grey(parse(data, PIXEL_KEYWORDS, LONG_KEYWORDS), header)

    histogram = cumulative_histogram(pixels)
    require_content(histogram)
    low, high = percentiles(histogram, (0.5, 99.5))
    beside = window is not None and (window[1] <= low or window[0] >= high)
    if window is None or beside:
        window = (0.0, 255.0) if pixels.dtype == np.uint8 else robust_window(histogram)
    notes = {
        COLOURED: coloured and MODALITIES[modality].physics is Physics.ECHO,
        FEW_LEVELS: has_few_levels(histogram),
        WINDOW_IGNORED: beside,
    }
    return SourceImage(
        modality=modality,
        pixels=pixels,
        bits=8 if pixels.dtype == np.uint8 else header.bits_stored,
        window=window,
        spacing_mm=spacing,
        sha256=sha256,
        warnings=(
            *header.warnings,
            *((CONTRADICTED,) if contradicts_itself(description) else ()),
            *cautions(description, modality),
            *(note for note, holds in notes.items() if holds),
        ),
        laterality=laterality,
        view=view,
        identity=identity(description),
    )
