"""Grey pixels from a checked DICOM header and its pixel data."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, RLELossless

from mammosono.appliance.errors import CorruptDicom, UnsupportedDicom
from mammosono.appliance.intake.colour import as_rgb, colour_warnings
from mammosono.appliance.intake.dicom_codestream import LENGTH, checked, decode_whole
from mammosono.appliance.intake.dicom_grey import GreyScale
from mammosono.appliance.intake.dicom_header import PALETTE, DicomHeader
from mammosono.appliance.intake.palette import PALETTE_KEYWORDS, apply_palette
from mammosono.appliance.values import Caution, Modality

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

_PLUGIN = "pylibjpeg"
"""The same on every machine: with Pillow installed pydicom would take that, which reads colour and
damage otherwise."""

_MOST_OVER = 0.05  # of all pixels: the ringing of JPEG at the rims of saturated fields


def decode_grey(
    ds: FileDataset, header: DicomHeader, scale: GreyScale, modality: Modality
) -> tuple[NDArray[Any], tuple[Caution, ...]]:
    """uint8 or uint16 [rows, columns], bright = dense; and what is to be said of its colours.

    `ds` has the PIXEL_KEYWORDS. Raises CorruptDicom or UnsupportedDicom, or what a codec raises.
    """
    if "PixelData" not in ds:
        raise UnsupportedDicom("The DICOM object holds no integer pixels; send the image itself.")
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    lossless_layout = not syntax.is_compressed or syntax == RLELossless
    if syntax.is_compressed:
        stored, photometric = _decompressed(ds, header, syntax)
    else:
        ds.PixelData = _of_one_frame(ds.PixelData, header)
        stored, photometric = _decoded(ds, syntax)
    if stored.shape[:2] != (header.rows, header.columns) or stored.dtype.itemsize > 2:
        raise CorruptDicom(LENGTH)
    if not header.display_ready:
        aligned = _aligned(stored, header) if lossless_layout else _within_depth(stored, header)
        return _monochrome(aligned, header, scale), ()
    if header.photometric == PALETTE:
        rgb = apply_palette(stored, ds)
    else:
        rgb = as_rgb(stored, ybr=photometric.startswith("YBR"))
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), colour_warnings(rgb, modality)


def _decoded(ds: FileDataset, syntax: UID) -> tuple[NDArray[Any], str]:
    """Samples as they are coded, and the colour model that the decoder left them in."""
    plugin = _PLUGIN if syntax.is_compressed else ""
    options: Any = {"correct_unused_bits": False}  # of which pydicom's types say something else
    samples, properties = get_decoder(syntax).as_array(
        ds, index=0, raw=True, decoding_plugin=plugin, **options
    )
    return samples, str(properties["photometric_interpretation"])


def _decompressed(ds: FileDataset, header: DicomHeader, syntax: UID) -> tuple[NDArray[Any], str]:
    codestream = get_frame(ds.PixelData, 0, number_of_frames=1)
    codestream = checked(codestream, header.rows, header.columns, syntax)
    if syntax == RLELossless:
        return _decoded(ds, syntax)
    photometric = header.photometric

    def decode(whole: bytes) -> NDArray[Any]:
        nonlocal photometric
        ds.PixelData = encapsulate([whole])
        samples, photometric = _decoded(ds, syntax)
        return samples

    return decode_whole(codestream, decode), photometric


def _aligned(stored: NDArray[Any], header: DicomHeader) -> NDArray[Any]:
    """Unsigned, the pixel's lowest bit the lowest of the word."""
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    words = native.view(f"u{native.dtype.itemsize}")
    below = header.high_bit + 1 - header.bits_stored
    # Some writers say a wrong High Bit: what lies where the pixel should not is the pixel then.
    if below and (words & ((1 << below) - 1)).any() and not (words >> header.bits_stored).any():
        below = 0
    return np.asarray(words >> below) if below else words


def _within_depth(stored: NDArray[Any], header: DicomHeader) -> NDArray[Any]:
    """Raises CorruptDicom if the codestream is deeper than stated: bright pixels would wrap. What
    lossy coding lets shoot over the end is cut."""
    least, greatest = 0, header.greatest
    if header.signed and stored.dtype.kind == "i":
        least, greatest = -(greatest // 2) - 1, greatest // 2
    over = max(int(stored.max()) - greatest, least - int(stored.min()))
    if over <= 0:
        return stored
    within = stored.clip(least, greatest)
    if over > header.greatest / 2 or np.mean(within != stored) > _MOST_OVER:
        raise CorruptDicom("The DICOM file's bit depths contradict each other; send it again.")
    return within


def _monochrome(stored: NDArray[Any], header: DicomHeader, scale: GreyScale) -> NDArray[Any]:
    """Unused high bits dropped, signed shifted up, shown as `scale` has it, padding made dark."""
    dtype = np.dtype(np.uint8 if header.bits_stored <= 8 else np.uint16)
    values: NDArray[Any] = stored.astype(dtype, copy=False) & dtype.type(header.greatest)
    values ^= dtype.type(header.shifted(0))
    padding = None
    if header.padding is not None:
        low, high = sorted(map(header.shifted, header.padding))
        padding = (values >= low) & (values <= high)
    pixels = scale.of(values)
    if padding is not None and padding.any() and not padding.all():
        pixels[padding] = pixels[~padding].min()
    return pixels


def _of_one_frame(data: bytes, header: DicomHeader) -> bytes:
    """The frame's own bytes; what follows is padding (PS3.5, 8.1.1), if it is less than a row, or
    nothing but zeros and less than another frame."""
    samples = 2 if header.photometric == "YBR_FULL_422" else header.samples
    row = header.columns * samples * header.bits_allocated // 8
    expected = header.rows * row
    over = data[expected : 2 * expected]
    if not expected <= len(data) < 2 * expected or (len(over) >= row and over.strip(b"\0")):
        raise CorruptDicom(LENGTH)
    return data[: expected + expected % 2]
