"""Grey pixels from a checked DICOM header and its pixel data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from libjpeg.utils import decode_pixel_data as decode_jpeg
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, JPEGLossless, JPEGLosslessSV1, RLELossless
from rle.utils import decode_pixel_data as decode_rle

from mammosono.appliance.errors import CorruptDicom, UnsupportedDicom
from mammosono.appliance.intake.colour import as_rgb, colour_warnings
from mammosono.appliance.intake.dicom_codestream import END, LENGTH, checked, decode_whole
from mammosono.appliance.intake.dicom_grey import GreyScale
from mammosono.appliance.intake.dicom_header import PALETTE, DicomHeader
from mammosono.appliance.intake.dicom_parse import Buffer, MeteredFile
from mammosono.appliance.intake.histogram import cumulative_histogram, is_ordinary
from mammosono.appliance.intake.jpeg2000 import decode_half
from mammosono.appliance.intake.palette import PALETTE_KEYWORDS, apply_palette
from mammosono.appliance.intake.transfer_syntax import JPEG2000_SYNTAXES
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

_LOSSLESS_JPEG = (JPEGLossless, JPEGLosslessSV1)
_STRIP_ROWS = 64

_MOST_OVER = 0.05  # of all pixels: the ringing of JPEG at the rims of saturated fields


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """pixels: uint8 or uint16, bright = dense, of one in `coarseness` rows and columns.

    warnings: what is to be said of the colours.
    """

    pixels: NDArray[Any]
    warnings: tuple[Caution, ...] = ()
    coarseness: int = 1


def decode_grey(
    data: Buffer,
    ds: FileDataset,
    header: DicomHeader,
    scale: GreyScale,
    modality: Modality,
    coarse: bool = False,
) -> Decoded:
    """`data` is the whole file, `ds` has the PIXEL_KEYWORDS of it.

    coarse: half the resolution will do, where `_half` finds that nothing hangs on the rest.
    Raises CorruptDicom or UnsupportedDicom, or what a codec raises.
    """
    if "PixelData" not in ds:
        raise UnsupportedDicom("The DICOM object holds no integer pixels; send the image itself.")
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    if not syntax.is_compressed:
        samples = _of_one_frame(_pixel_bytes(ds, data), header)
        if not header.display_ready and syntax.is_little_endian:
            return Decoded(_monochrome(_aligned(_words(samples, header), header), header, scale))
        ds.PixelData = bytes(samples)
        stored, photometric = _decoded(ds, syntax)
    else:
        codestream = get_frame(MeteredFile(_pixel_bytes(ds, data)), 0, number_of_frames=1)
        codestream = checked(codestream, header.rows, header.columns, syntax)
        if not header.display_ready:
            del ds.PixelData
            if isinstance(data, bytearray):
                data.clear()
            half = _half(codestream, header, scale, syntax) if coarse else None
            if half is not None:
                return Decoded(half, (), 2)
        stored, photometric = _decompressed(codestream, ds, header, syntax)
    if stored.shape[:2] != (header.rows, header.columns) or stored.dtype.itemsize > 2:
        raise CorruptDicom(LENGTH)
    if not header.display_ready:
        laid_out = not syntax.is_compressed or syntax == RLELossless
        aligned = _aligned(stored, header) if laid_out else _within_depth(stored, header)
        return Decoded(_monochrome(aligned, header, scale))
    if header.photometric == PALETTE:
        rgb = apply_palette(stored, ds)
    else:
        rgb = as_rgb(stored, ybr=photometric.startswith("YBR"))
    return Decoded(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), colour_warnings(rgb, modality))


def _half(
    codestream: bytes, header: DicomHeader, scale: GreyScale, syntax: UID
) -> NDArray[Any] | None:
    """Pixels of half the resolution, if the codec can leave the rest out and nothing is asked of
    single pixels: no table that bends, no padding, no mark far from the content, many levels."""
    if syntax not in JPEG2000_SYNTAXES or scale.table is not None or header.padding is not None:
        return None
    if not codestream.endswith(END):
        return None
    stored = decode_half(codestream)
    if stored is None:
        return None
    pixels = _monochrome(_within_depth(stored, header), header, scale)
    return pixels if is_ordinary(cumulative_histogram(pixels)) else None


def _decoded(ds: FileDataset, syntax: UID) -> tuple[NDArray[Any], str]:
    """Samples as they are coded, and the colour model that the decoder left them in."""
    plugin = _PLUGIN if syntax.is_compressed else ""
    options: Any = {"correct_unused_bits": False}  # of which pydicom's types say something else
    samples, properties = get_decoder(syntax).as_array(
        ds, index=0, raw=True, decoding_plugin=plugin, **options
    )
    return samples, str(properties["photometric_interpretation"])


def _decompressed(
    codestream: bytes, ds: FileDataset, header: DicomHeader, syntax: UID
) -> tuple[NDArray[Any], str]:
    photometric = header.photometric
    if syntax == RLELossless:
        if header.display_ready:
            return _decoded(ds, syntax)
        words: Any = decode_rle(
            codestream,
            version=2,
            rows=header.rows,
            columns=header.columns,
            bits_allocated=header.bits_allocated,
        )
        return _words(words, header), photometric

    def decode(whole: bytes) -> NDArray[Any]:
        nonlocal photometric
        if syntax in _LOSSLESS_JPEG and not header.display_ready:
            decoded: Any = decode_jpeg(whole, version=2)
            return _words(decoded, header)
        ds.PixelData = encapsulate([whole])
        samples, photometric = _decoded(ds, syntax)
        return samples

    return decode_whole(codestream, decode), photometric


def _pixel_bytes(ds: FileDataset, data: Buffer) -> memoryview:
    raw: Any = ds.get_item("PixelData", keep_deferred=True)
    if isinstance(raw, RawDataElement) and raw.value is None:  # left in the file
        return memoryview(data)[raw.value_tell :][: raw.length]
    return memoryview(ds.PixelData)


def _words(samples: Buffer, header: DicomHeader) -> NDArray[Any]:
    """A view on one sample a pixel, little endian, uint8 or uint16 [rows, columns]. Raises
    CorruptDicom if there are too few or too many."""
    count = header.rows * header.columns
    width = len(samples) // count
    if width not in (1, 2) or len(samples) - count * width > 1:
        raise CorruptDicom(LENGTH)
    return np.frombuffer(samples, f"<u{width}", count).reshape(header.rows, header.columns)


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
    """Unused high bits dropped, signed shifted up, shown as `scale` has it, padding made dark.

    All of it hangs on a pixel's value alone, so it is done as a table of them, in `stored` itself
    where that may be written to.
    """
    dtype = np.dtype(np.uint8 if header.bits_stored <= 8 else np.uint16)
    if stored.itemsize < dtype.itemsize:
        stored = stored.astype(dtype)
    words = stored.view(f"u{stored.itemsize}")
    all_words = np.arange(1 << 8 * words.itemsize, dtype=words.dtype)
    values = all_words.astype(dtype) & dtype.type(header.greatest)
    values ^= dtype.type(header.shifted(0))
    levels = scale.of(values)
    if header.padding is not None:
        low, high = sorted(map(header.shifted, header.padding))
        padding = (values >= low) & (values <= high)
        there = np.diff(cumulative_histogram(words), prepend=0.0) > 0
        if (there & padding).any() and not padding[there].all():
            levels[padding] = levels[there & ~padding].min()
    return _shown(words, levels)


def _shown(words: NDArray[Any], levels: NDArray[Any]) -> NDArray[Any]:
    """The level of each word, in strips."""
    used = int(words.max()) + 1
    if levels.dtype == words.dtype and np.array_equal(levels[:used], np.arange(used)):
        return words
    in_place = words.flags.writeable and levels.dtype == words.dtype
    pixels = words if in_place else np.empty(words.shape, levels.dtype)
    for top in range(0, len(words), _STRIP_ROWS):
        pixels[top : top + _STRIP_ROWS] = levels[words[top : top + _STRIP_ROWS]]
    return pixels


def _of_one_frame(data: Buffer, header: DicomHeader) -> memoryview:
    """The frame's own bytes; what follows is padding (PS3.5, 8.1.1), if it is less than a row, or
    nothing but zeros and less than another frame."""
    samples = 2 if header.photometric == "YBR_FULL_422" else header.samples
    row = header.columns * samples * header.bits_allocated // 8
    expected = header.rows * row
    over = memoryview(data)[expected : 2 * expected]
    if not expected <= len(data) < 2 * expected or (len(over) >= row and bytes(over).strip(b"\0")):
        raise CorruptDicom(LENGTH)
    return memoryview(data)[: expected + expected % 2]
