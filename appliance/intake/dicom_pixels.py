"""Grey pixels from a checked DICOM header and its pixel data."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless

from mammosono.appliance.errors import CorruptDicom, CorruptImage, UnsupportedDicom
from mammosono.appliance.intake import jpeg
from mammosono.appliance.intake.dicom_header import INVERTED, PALETTE, DicomHeader
from mammosono.appliance.intake.histogram import is_coloured
from mammosono.appliance.intake.palette import PALETTE_KEYWORDS, apply_palette
from mammosono.appliance.intake.transfer_syntax import JPEG2000_SYNTAXES

PIXEL_KEYWORDS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    *PALETTE_KEYWORDS,
)
LONG_KEYWORDS = ("PixelData", *PALETTE_KEYWORDS)

_J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ (ITU-T T.800 annex A)
_JP2_START = b"\0\0\0\x0cjP  "  # of the file format (annex I); a signature of 4 bytes follows
_BOX_HEAD_BYTES, _MAX_BOXES = 8, 1000
_END_OF_CODESTREAM = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
_TRAILING_BYTES = 8  # a pad byte, and some writers' zeros

_LENGTH = "The DICOM pixel data do not fit the stated size; send the file again."
_CODESTREAM = "The compressed DICOM pixels are damaged or cut off; send the file again."


def decode_grey(ds: FileDataset, header: DicomHeader) -> tuple[NDArray[Any], bool]:
    """uint8 or uint16 [rows, columns], bright = dense; and whether it was a coloured picture.

    `ds` has the PIXEL_KEYWORDS. Raises CorruptDicom or UnsupportedDicom, or what a codec raises.
    """
    if "PixelData" not in ds:
        raise UnsupportedDicom("The DICOM object holds no integer pixels; send the image itself.")
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    if syntax.is_compressed:
        _require_matching_codestream(ds, header, syntax)
    else:
        _require_native_length(len(ds.PixelData), header)
    stored, _ = get_decoder(syntax).as_array(ds, index=0)
    if stored.shape[:2] != (header.rows, header.columns) or stored.dtype.itemsize > 2:
        raise CorruptDicom(_LENGTH)
    if not header.display_ready:
        return _monochrome(stored, header), False
    rgb = apply_palette(stored, ds) if header.photometric == PALETTE else stored
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), is_coloured(rgb)


def _monochrome(stored: NDArray[Any], header: DicomHeader) -> NDArray[Any]:
    """Unused high bits dropped, signed shifted up, MONOCHROME1 inverted, padding made dark."""
    dtype = np.dtype(np.uint8 if header.bits_stored <= 8 else np.uint16)
    pixels: NDArray[Any] = stored.astype(dtype, copy=False) & dtype.type(header.greatest)
    pixels ^= dtype.type(header.shifted(0))
    padding = None
    if header.padding is not None:
        low, high = sorted(map(header.shifted, header.padding))
        padding = (pixels >= low) & (pixels <= high)
    if header.photometric == INVERTED:
        pixels = dtype.type(header.greatest) - pixels
    if padding is not None and padding.any() and not padding.all():
        pixels[padding] = pixels[~padding].min()
    return pixels


def _require_native_length(length: int, header: DicomHeader) -> None:
    """PS3.5 8.1.1: no gaps, padded to an even number of bytes."""
    samples = 2 if header.photometric == "YBR_FULL_422" else header.samples
    expected = header.rows * header.columns * samples * header.bits_allocated // 8
    if length not in (expected, expected + expected % 2):
        raise CorruptDicom(_LENGTH)


def _require_matching_codestream(ds: FileDataset, header: DicomHeader, syntax: UID) -> None:
    """A codestream has a size of its own: a bomb if the decoder were to believe it."""
    codestream = get_frame(ds.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:  # no size of its own
        return
    read_size = _j2k_size if syntax in JPEG2000_SYNTAXES else _jpeg_size
    if read_size(codestream) != (header.rows, header.columns):
        raise CorruptDicom(_LENGTH)
    if _END_OF_CODESTREAM not in codestream[-_TRAILING_BYTES:]:
        raise CorruptDicom(_CODESTREAM)


def _jpeg_size(codestream: bytes) -> tuple[int, int]:
    """Rows, columns."""
    try:
        frame = jpeg.read_frame(codestream)
    except CorruptImage:
        raise CorruptDicom(_CODESTREAM) from None
    return frame.height, frame.width


def _j2k_size(codestream: bytes) -> tuple[int, int]:
    """Rows, columns of the reference grid's image area."""
    at = codestream.find(_J2K_START)
    if at < 0 or not _boxes_end(codestream):
        raise CorruptDicom(_CODESTREAM)
    # Behind the markers: segment length and capabilities, two bytes each.
    right, bottom, left, top = struct.unpack_from(">4I", codestream, at + len(_J2K_START) + 4)
    return bottom - top, right - left


def _boxes_end(codestream: bytes) -> bool:
    """Whether JP2 boxes, which do not belong into DICOM, lead to the codestream if there are any.

    pydicom 3.0.2 follows them without a look at their lengths, and for ever at one of zero.
    """
    if not codestream.startswith(_JP2_START):
        return True
    at = len(_JP2_START) + 4
    for _ in range(_MAX_BOXES):
        length, kind = struct.unpack_from(">I4s", codestream, at)
        if kind == b"jp2c":
            return True
        if length < _BOX_HEAD_BYTES:
            return False
        at += length
    return False
