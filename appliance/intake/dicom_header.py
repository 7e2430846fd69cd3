"""Picture attributes of a DICOM data set, checked before any pixel is decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

from mammosono.appliance.errors import CorruptDicom, ModalityMismatch, MultiFrame, UnsupportedDicom
from mammosono.appliance.intake.dicom_numbers import stated
from mammosono.appliance.intake.dicom_values import texts
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.values import Caution, Effect, Modality

HEADER_KEYWORDS = (
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "BurnedInAnnotation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)

INVERTED, MONOCHROME, PALETTE = "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"
_COLOUR = frozenset(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"))

UNNAMED_MODALITY = Caution(
    "modality_unnamed", "The DICOM file does not name its modality; it was taken as posted."
)
FOR_PROCESSING = Caution(
    "for_processing",
    "The mammogram holds raw detector values (FOR PROCESSING); send the one FOR PRESENTATION.",
    Effect.NO_NEGATIVE,
)
BURNED_IN = Caution("burned_in_text", "The device has drawn text into the picture.")

# PS3.4 B.5: mammography, its projections, CR and DX stored "For Processing".
_RAW_CLASSES = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("1.2.1", "13.1.5", "1.1.1")
)

# Only these are repeated in an answer: anything else in that field may be a name.
_KNOWN_MODALITIES = frozenset(
    ("MG", "US", "CT", "MR", "CR", "DX", "PT", "NM", "XA", "RF", "IO", "OT", "SC", "SR", "DOC")
)


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """Geometry and grey scale of one frame, as PS3.3 C.7.6.3 names them.

    high_bit: the pixel's highest, of those allocated; bits above and below it are no part of it.
    padding: two stored values; pixels between them show nothing.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None
    warnings: tuple[Caution, ...]

    @property
    def display_ready(self) -> bool:
        """Colour and palette pictures are made for a screen: no window, no padding."""
        return self.photometric not in (INVERTED, MONOCHROME)

    def shifted(self, stored: int) -> int:
        """A stored value, sign or not, as the unsigned pixel value that stands for it."""
        sign = 1 << self.bits_stored - 1 if self.signed else 0
        return (stored & self.greatest) ^ sign

    @property
    def greatest(self) -> int:
        return int((1 << self.bits_stored) - 1)


def read_header(ds: Dataset, modality: Modality) -> DicomHeader:
    """`ds` has the HEADER_KEYWORDS. Raises CorruptDicom, UnsupportedDicom, MultiFrame or
    ModalityMismatch."""
    if "Rows" not in ds and "Columns" not in ds:
        raise UnsupportedDicom("The DICOM object holds no picture; send the image itself.")
    warnings = _modality_warnings(ds, modality)
    _require_one_frame(ds)
    header = DicomHeader(
        rows=_number(ds, "Rows"),
        columns=_number(ds, "Columns"),
        samples=_number(ds, "SamplesPerPixel"),
        photometric=str(ds.get("PhotometricInterpretation", "")),
        bits_allocated=_number(ds, "BitsAllocated"),
        bits_stored=_number(ds, "BitsStored"),
        high_bit=_number(ds, "HighBit" if "HighBit" in ds else "BitsStored")
        - ("HighBit" not in ds),
        signed=_number(ds, "PixelRepresentation") == 1,
        padding=_padding(ds),
        warnings=warnings,
    )
    _require_readable(header)
    return header


def _modality_warnings(ds: Dataset, modality: Modality) -> tuple[Caution, ...]:
    """Raises ModalityMismatch."""
    warnings: tuple[Caution, ...] = ()
    named = ds.get("Modality") or ""
    if not named:
        warnings += (UNNAMED_MODALITY,)
    elif named != modality.value:
        named = named if named in _KNOWN_MODALITIES else "another one"
        raise ModalityMismatch(
            f"The file's modality is {named}, not {modality.value}; post it where it belongs."
        )
    if _is_raw(ds) and MODALITIES[modality].physics is Physics.PROJECTION:
        warnings += (FOR_PROCESSING,)
    if {text.upper() for text in texts(ds, "BurnedInAnnotation")} & {"YES", "Y"}:
        warnings += (BURNED_IN,)
    return warnings


def _is_raw(ds: Dataset) -> bool:
    """By its intent, in whatever letters, or by its SOP class."""
    intents = [re.sub(r"[\W_]+", "", text.upper()) for text in texts(ds, "PresentationIntentType")]
    return "FORPROCESSING" in intents or bool(_RAW_CLASSES & {*texts(ds, "SOPClassUID")})


def _require_one_frame(ds: Dataset) -> None:
    frames = stated(ds, "NumberOfFrames")
    if any(each > 1 for each in frames):
        raise MultiFrame("The DICOM file is a clip or stack; send one frame of it.")
    if any(each != 1 for each in frames):
        raise CorruptDicom("The DICOM file states no frame; send it again from its source.")


def _number(ds: Dataset, keyword: str) -> int:
    """The one value of a US element. Another VR is refused: it would be read at another width."""
    element = ds.get_item(keyword) and ds[keyword]
    if element is None or element.VR != "US" or not isinstance(element.value, int):
        raise CorruptDicom(f"The DICOM file's {keyword} is missing or damaged; send it again.")
    return element.value


def _padding(ds: Dataset) -> tuple[int, int] | None:
    value = ds.get("PixelPaddingValue")
    limit = ds.get("PixelPaddingRangeLimit", value)
    return (value, limit) if isinstance(value, int) and isinstance(limit, int) else None


def _require_readable(header: DicomHeader) -> None:
    if not (header.rows and header.columns):
        raise CorruptDicom("The DICOM file states no rows or columns; send it again.")
    if header.display_ready and header.photometric not in (PALETTE, *_COLOUR):
        raise UnsupportedDicom("The DICOM file's colour model is not read; send it as grey.")
    if header.samples != (3 if header.photometric in _COLOUR else 1):
        raise CorruptDicom("The DICOM file's samples do not fit its colour model; send it again.")
    if header.bits_allocated not in (8, 16) or (header.samples == 3 and header.bits_allocated > 8):
        raise UnsupportedDicom("The DICOM pixels are not of 8 or 16 bits; send them as such.")
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise CorruptDicom("The DICOM file's bit depths contradict each other; send it again.")
    if not header.bits_stored <= header.high_bit + 1 <= header.bits_allocated:
        raise CorruptDicom("The DICOM file's bit depths contradict each other; send it again.")
    if header.display_ready and header.high_bit + 1 != header.bits_stored:
        raise UnsupportedDicom("The DICOM colours do not begin at bit 0; send them right-aligned.")
