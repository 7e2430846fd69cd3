"""Good and bad image files, made in memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    generate_uid,
)

PATIENT = "Doe^Jane"


def picture(height: int = 96, width: int = 128, levels: int = 256) -> NDArray[Any]:
    """A smooth scene without symmetry: uint8 for up to 256 grey levels, uint16 beyond."""
    y, x = np.mgrid[0:height, 0:width]
    scene = 0.6 * x / width + 0.3 * y / height + 0.05 * np.sin(x / 7) * np.cos(y / 5) + 0.05
    return np.rint(scene * (levels - 1)).astype(np.uint8 if levels <= 256 else np.uint16)


def coloured(grey: NDArray[Any]) -> NDArray[Any]:
    """RGB, [height, width, 3]: `grey` with a box of strong colour, as colour Doppler draws it."""
    rgb = np.repeat(grey[..., np.newaxis], 3, axis=2)
    rgb[20:60, 30:90] = np.iinfo(grey.dtype).max // 255 * np.array([230, 30, 10])
    return rgb


def png(pixels: NDArray[Any]) -> bytes:
    """Grey, RGB or RGBA, 8 or 16 bits."""
    return _encode(".png", pixels)


def jpeg(pixels: NDArray[Any], quality: int = 95, orientation: int | None = None) -> bytes:
    data = _encode(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, quality)
    if orientation is None:
        return data
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 274, 3, 1, orientation, 0, 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def _encode(suffix: str, pixels: NDArray[Any], *options: int) -> bytes:
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    assert done
    return encoded.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """`data` with one more chunk right behind the header."""
    return data[:33] + png_chunk(kind, body) + data[33:]


def png_header(width: int, height: int) -> bytes:
    """A PNG of nothing but a header and an end."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IEND", b"")


def tiff(
    *pages: NDArray[Any],
    photometric: int | None = None,
    orientation: int = 1,
    order: str = "<",
    subfile_types: Sequence[int] = (),
    bits: int | None = None,
    data: bytes | None = None,
) -> bytes:
    """Uncompressed, one strip a page. `bits` and `data` replace what `pages` would give."""
    kinds = {"u": 1, "i": 2, "f": 3}
    body = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    for number, page in enumerate(pages):
        height, width, *rest = page.shape
        samples = rest[0] if rest else 1
        depth = bits or page.dtype.itemsize * 8
        strip = data or page.astype(page.dtype.newbyteorder(order)).tobytes()
        kind = (subfile_types or (0,) * len(pages))[number]
        # Values longer than four bytes, then pixels, follow the 13 entries of the directory.
        behind = len(body) + 2 + 12 * 13 + 4
        depths = struct.pack(f"{order}{samples}H", *(depth,) * samples)
        colour = photometric if photometric is not None else 1 if samples == 1 else 2
        entries = [
            (254, 4, 1, kind),
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, samples, behind if samples > 2 else depth),
            (259, 3, 1, 1),
            (262, 3, 1, colour),
            (273, 4, 1, behind + len(depths)),
            (274, 3, 1, orientation),
            (277, 3, 1, samples),
            (278, 4, 1, height),
            (279, 4, 1, len(strip)),
            (284, 3, 1, 1),
            (339, 3, 1, kinds[page.dtype.kind]),
        ]
        end = behind + len(depths) + len(strip)
        body += struct.pack(order + "H", len(entries))
        for tag, type_, count, value in entries:
            short = type_ == 3 and count == 1
            body += struct.pack(order + ("HHIHxx" if short else "HHII"), tag, type_, count, value)
        body += struct.pack(order + "I", end if number < len(pages) - 1 else 0) + depths + strip
    return body


def dicom(
    pixels: NDArray[Any],
    edit: Callable[[FileDataset], object] = lambda ds: None,
    modality: str = "US",
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> bytes:
    """A single-frame file with a patient's name in it.

    elements: by keyword; None leaves the element out. `edit` has the last word. A compressed
    `syntax` is encoded by pydicom's plugins, JPEG baseline by OpenCV.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128), is_little_endian=order == "<")
    ds.SOPClassUID, ds.SOPInstanceUID = UltrasoundImageStorage, meta.MediaStorageSOPInstanceUID
    ds.PatientName, ds.PatientID = PATIENT, PATIENT
    ds.Modality = modality
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = pixels.dtype.itemsize * 8
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    ds.PixelData = raw + bytes(len(raw) % 2)
    ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
        if value is None:
            delattr(ds, keyword)
    if syntax == JPEGBaseline8Bit:
        ds.PixelData = encapsulate([jpeg(pixels)])
        ds["PixelData"].is_undefined_length = True
        ds["PixelData"].VR = "OB"
        meta.TransferSyntaxUID = syntax
    elif not UID(syntax).is_compressed:
        meta.TransferSyntaxUID = syntax
    else:
        ds.compress(syntax)
    edit(ds)
    return dicom_bytes(ds)


def dicom_bytes(ds: FileDataset) -> bytes:
    out = BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def ultrasound_region(
    data_type: int = 1,
    delta_cm: float = 0.02,
    units: int = 3,
    box: tuple[int, int, int, int] = (0, 0, 128, 96),
) -> Dataset:
    """box: x0, y0, x1, y1, half-open."""
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[:2]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2] - 1, box[3] - 1
    region.RegionSpatialFormat, region.RegionDataType = 1, data_type
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = units
    region.PhysicalDeltaX, region.PhysicalDeltaY = delta_cm, -delta_cm
    return region


def with_transfer_syntax(data: bytes, uid: str) -> bytes:
    """`data` relabelled: its meta group names `uid`, its data set stays."""
    at = data.index(b"\x02\0\x10\0UI")
    (old,), (group,) = struct.unpack_from("<H", data, at + 6), struct.unpack_from("<I", data, 140)
    value = uid.encode() + bytes(len(uid) % 2)
    group_length = struct.pack("<I", group - old + len(value))
    head = data[:140] + group_length + data[144 : at + 6]
    return head + struct.pack("<H", len(value)) + value + data[at + 8 + old :]


def with_nested_sequences(data: bytes, depth: int, tag: tuple[int, int]) -> bytes:
    """`data` with a sequence `depth` deep at the head of its data set."""
    undefined = b"\xff\xff\xff\xff"
    opening = struct.pack("<HH2sH", *tag, b"SQ", 0) + undefined + b"\xfe\xff\0\xe0" + undefined
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    (meta_length,) = struct.unpack_from("<I", data, 140)
    at = 144 + meta_length
    return data[:at] + opening * depth + closing * depth + data[at:]


def said(**texts: str) -> Callable[[FileDataset], None]:
    """An edit that writes elements by keyword as that text, whatever it is."""

    def edit(ds: FileDataset) -> None:
        for keyword, text in texts.items():
            tag = Tag(keyword)
            value = text.encode() + b" " * (len(text) % 2)
            raw = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
            ds._dict[tag] = raw

    return edit


def lut(
    values: Sequence[int] | NDArray[Any], first: int = 0, bits: int = 16, order: str = "<"
) -> Dataset:
    """An item of a Modality, VOI or Presentation LUT Sequence, of levels `first` and on."""
    item = Dataset()
    entries = len(values) % 65536
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, bits])
    item.add_new("LUTData", "OW", np.asarray(values).astype(order + "u2").tobytes())
    return item


def group(**elements: Any) -> list[Dataset]:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return [item]
