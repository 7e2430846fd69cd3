"""Whole files of every format and coding that is read: what the fuzzers damage."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import tifffile
from files import (
    PATIENT,
    coloured,
    dicom,
    dicom_bytes,
    group,
    jpeg,
    lut,
    picture,
    png,
    said,
    tiff,
    ultrasound_region,
    with_png_chunk,
    with_transfer_syntax,
)
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from fuzz.lossless import lossless_jpeg
from mammosono.appliance.values import Modality

SMALL = picture(64, 72)
DEEP = picture(64, 72, levels=65536)


def _described(ds: FileDataset) -> None:
    """What a real file has beside its pixels, as far as it is looked at."""
    ds.PixelSpacing = ds.ImagerPixelSpacing = [0.07, 0.07]
    ds.WindowCenter, ds.WindowWidth = [30000, 20000], [40000, 50000]
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelPaddingValue = 0
    ds.SequenceOfUltrasoundRegions = [ultrasound_region(), ultrasound_region()]


def _bent(ds: FileDataset) -> None:
    """Grey levels by tables, and what an enhanced object says in its functional groups."""
    ds.VOILUTSequence = [lut(range(0, 65536, 8), bits=16), lut(range(256), bits=8)]
    ds.ModalityLUTSequence = [lut(range(8191, -1, -1), bits=13)]
    ds.PresentationLUTShape = "IDENTITY"
    ds.PerFrameFunctionalGroupsSequence = group(
        FrameVOILUTSequence=group(WindowCenter=2000, WindowWidth=900, VOILUTFunction="SIGMOID"),
        PixelMeasuresSequence=group(PixelSpacing=[0.1, 0.1]),
    )


def _turned(ds: FileDataset) -> None:
    ds.RescaleSlope, ds.RescaleIntercept = -1, 65535
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 30000, 40000, "SIGMOID"
    ds.ImagerPixelSpacing, ds.EstimatedRadiographicMagnificationFactor = [0.1, 0.1], 1.8


def _of_a_side(ds: FileDataset) -> None:
    """Whose it is, which side and view, and how it lies, in every way that is looked at."""
    ds.PatientBirthDate, ds.PatientSex, ds.IssuerOfPatientID = "19610203", "F", "NORTH"
    ds.OtherPatientIDsSequence = group(PatientID="4712", IssuerOfPatientID="SOUTH")
    ds.AccessionNumber, ds.StudyDate, ds.AcquisitionDate = "A-4711", "20260102", "20260102"
    ds.ImageLaterality, ds.ViewPosition, ds.PatientOrientation = "R", "MLOID", ["P", "L"]
    ds.ViewCodeSequence = group(
        CodeValue="399368009", CodeMeaning="medio-lateral oblique",
        ViewModifierCodeSequence=group(CodeValue="399209000", CodeMeaning="Implant Displaced"),
    )  # fmt: skip
    ds.AnatomicRegionSequence = group(
        CodeValue="76752008", AnatomicRegionModifierSequence=group(CodeValue="24028007")
    )
    ds.BodyPartExamined, ds.BurnedInAnnotation, ds.BreastImplantPresent = "BREAST", "YES", "NO"
    ds.FieldOfViewHorizontalFlip, ds.FieldOfViewRotation = "NO", 0
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = 650, 600
    ds.ImageType, ds.PartialView = ["DERIVED", "PRIMARY", "", ""], "NO"


def _presented(ds: FileDataset) -> None:
    """Signed values behind decimal commas, and a presentation table."""
    said(
        RescaleSlope="1,0", RescaleIntercept="0,0", WindowCenter="0,5\\10,0",
        WindowWidth="4000,0\\900,0", ImagerPixelSpacing="0,07\\0,07",
    )(ds)  # fmt: skip
    ds.PresentationLUTSequence = [lut(range(0, 4096, 16), bits=12)]
    ds.SharedFunctionalGroupsSequence = group(
        FrameVOILUTSequence=group(VOILUTFunction="LINEAR_EXACT"),
        FrameAnatomySequence=group(FrameLaterality="R"),
    )


def _palette(ds: FileDataset) -> None:
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for channel in ("Red", "Green", "Blue"):
        setattr(ds, f"{channel}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(ds, f"{channel}PaletteColorLookupTableData", bytes(range(256)))


def _lossless() -> bytes:
    def edit(ds: FileDataset) -> None:
        ds.PixelData = encapsulate([lossless_jpeg(SMALL)])

    return with_transfer_syntax(dicom(SMALL, edit, syntax=JPEGBaseline8Bit), JPEGLosslessSV1)


def _pydicoms(name: str) -> bytes:
    """One of the files that come with pydicom, in codings that nothing here can write."""
    ds = pydicom.dcmread(Path(pydicom.__file__).parent / "data" / "test_files" / name)
    ds.Modality, ds.PatientName, ds.PatientID = "US", PATIENT, PATIENT
    return dicom_bytes(ds)


def _cv(suffix: str, pixels: NDArray[Any], *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def _tiled(
    pixels: NDArray[Any], orientation: int, tile: tuple[int, int] = (32, 32), **layout: Any
) -> bytes:
    out = BytesIO()
    colour = "rgb" if pixels.ndim == 3 else "minisblack"
    extra = ["unassalpha"] if pixels.ndim == 3 else None
    turned = [(274, 3, 1, orientation, True)]
    tifffile.imwrite(
        out, pixels, tile=tile, photometric=colour, extrasamples=extra, extratags=turned, **layout
    )
    return out.getvalue()


def _profile(orientation: int) -> bytes:
    """Exif as older ImageMagick writes it into a text chunk, packed."""
    entry = struct.pack("<HHIHHI", 274, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry
    return zlib.compress(b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode()))


_XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'


RASTER = [
    png(SMALL),
    png(coloured(DEEP)),
    with_png_chunk(png(SMALL), b"tEXt", b"Comment\0" + PATIENT.encode()),
    jpeg(SMALL),
    jpeg(coloured(SMALL), orientation=8),
    _cv(".jpg", SMALL, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    with_png_chunk(png(DEEP), b"zTXt", b"Raw profile type exif\0\0" + _profile(6)),
    with_png_chunk(png(DEEP // 16), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _XMP),
    png(np.where(DEEP > 64000, 65535, DEEP // 16).astype(np.uint16)),
    _tiled(SMALL, orientation=6),
    _tiled(np.dstack([DEEP] * 4), orientation=3),
    _tiled(SMALL, orientation=8, tile=(16, 48)),
    _tiled(SMALL, orientation=1, tile=(80, 80), byteorder=">"),
    _tiled(DEEP, orientation=5, tile=(16, 48), compression="zlib", predictor=True),
    tiff(DEEP),
    tiff(SMALL.astype(np.float32)),
    _cv(".tif", DEEP, cv2.IMWRITE_TIFF_COMPRESSION, 5),
    _cv(".tif", SMALL, cv2.IMWRITE_TIFF_COMPRESSION, 8),
    _cv(".tif", SMALL, cv2.IMWRITE_TIFF_COMPRESSION, 7, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 64),
]
DICOM = [
    dicom(DEEP, _described),
    dicom(DEEP, _bent),
    dicom(DEEP, _turned),
    dicom(DEEP // 16 << 2, BitsStored=12, HighBit=13),
    dicom(SMALL, _palette),
    dicom(coloured(SMALL)),
    dicom(DEEP, syntax=ImplicitVRLittleEndian),
    dicom(DEEP, syntax=ExplicitVRBigEndian),
    dicom(SMALL, syntax=RLELossless),
    dicom(SMALL, syntax=JPEGBaseline8Bit),
    dicom(DEEP, syntax=JPEG2000Lossless),
    _lossless(),
    *(
        _pydicoms(f"{name}.dcm")
        for name in (
            "MR_small_jpeg_ls_lossless",
            "SC_rgb_jls_lossy_line",
            "JPGExtended",
            "GDCMJ2K_TextGBR",
        )
    ),
]
DESCRIBED = [
    dicom(DEEP, _of_a_side, modality="MG"),
    dicom(
        DEEP // 16,
        _of_a_side,
        modality="MG",
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=12,
        HighBit=11,
        syntax=JPEG2000Lossless,
    ),
    dicom((DEEP.astype(np.int32) - 32768).astype(np.int16), _presented, modality="MG"),
    dicom((DEEP.astype(np.int32) - 32768).astype(np.int16), _presented),
    dicom(coloured(SMALL), modality="MG"),
    _pydicoms("JPEG-lossy.dcm"),
    _pydicoms("SC_ybr_full_422_uncompressed.dcm"),
]
WHOLE = [*RASTER, *DICOM, *DESCRIBED]


def modality_of(data: bytes) -> Modality:
    """As what it is to be sent: as what it says, if anything."""
    return Modality.MG if b"\x08\0\x60\0CS\x02\0MG" in data[:2048] else Modality.US
