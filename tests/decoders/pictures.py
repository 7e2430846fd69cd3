"""The files that are compared: all that come with pydicom, and drawn ones of each kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from files import coloured, dicom, dicom_bytes, lut, picture, said
from fuzz.seeds import DICOM as CODED
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

PYDICOMS = Path(pydicom.__file__).parent / "data" / "test_files"
GREY, GREY12 = picture(), picture(levels=4096)
LEVELS = np.arange(4096)


def pydicoms(names: str = "*.dcm") -> Iterator[tuple[str, bytes]]:
    """Every file with a picture in it, said to be an ultrasound so that it is taken."""
    for path in sorted(PYDICOMS.glob(names)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ds = pydicom.dcmread(path, force=True)
                if "PixelData" not in ds or "Rows" not in ds:
                    continue
                ds.Modality = "US"
                if (
                    "PixelPaddingValue" in ds
                ):  # shown as background here, and by the others as it is
                    del ds.PixelPaddingValue
                yield path.stem, dicom_bytes(ds)
            except Exception:  # a file that pydicom itself cannot read or write
                continue


def _twelve(*edit: Any, **elements: Any) -> bytes:
    return dicom(GREY12, *edit, BitsStored=12, HighBit=11, **elements)


def _jpeg_said(photometric: str) -> bytes:
    def edit(ds: FileDataset) -> None:
        codestream = get_frame(ds.PixelData, 0, number_of_frames=1)
        ds.PhotometricInterpretation = photometric
        ds.PixelData = encapsulate([codestream])

    return dicom(np.repeat(GREY[..., np.newaxis], 3, axis=2), edit, syntax=JPEGBaseline8Bit)


def drawn() -> Iterator[tuple[str, bytes]]:
    backwards = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    curve = np.rint(4095 / (1 + np.exp(-12 * (LEVELS / 4095 - 0.45))))
    window = {"WindowCenter": 1500, "WindowWidth": 900}
    yield "negative slope", _twelve(**backwards)
    yield "negative slope, window", _twelve(**backwards, WindowCenter=2500, WindowWidth=2000)
    yield "MONOCHROME1", _twelve(PhotometricInterpretation="MONOCHROME1")
    yield "modality table that falls", _twelve(ModalityLUTSequence=_typed(lut(4095 - LEVELS)))
    yield "VOI table", _twelve(VOILUTSequence=[lut(curve, bits=12)])
    yield "VOI table that falls", _twelve(VOILUTSequence=[lut(4095 - LEVELS, bits=12)])
    yield "window", _twelve(**window)
    yield "window, LINEAR_EXACT", _twelve(**window, VOILUTFunction="LINEAR_EXACT")
    yield "window, SIGMOID", _twelve(**window, VOILUTFunction="SIGMOID")
    yield (
        "window of a signed picture",
        dicom(
            GREY12.astype(np.int16) - 2048,
            BitsStored=12,
            HighBit=11,
            WindowCenter=0,
            WindowWidth=2000,
        ),
    )
    yield "spacing 0,07", _twelve(said(PixelSpacing="0,07\\0,07"))
    yield "7 bits stored", dicom(picture(levels=128), BitsStored=7, HighBit=6)
    yield "high bit 15 of 12", dicom(GREY12 << 4, BitsStored=12, HighBit=15)
    yield "overlay in the high bits", dicom(GREY12 | 0x8000, BitsStored=12, HighBit=11)
    yield "padded", dicom(GREY, lambda ds: setattr(ds, "PixelData", GREY.tobytes() + bytes(32)))
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless):
        yield f"12 bits, {pydicom.uid.UID(syntax).name}", _twelve(syntax=syntax)
    for photometric in ("RGB", "YBR_FULL_422"):
        yield f"JPEG of YCbCr said to be {photometric}", _jpeg_said(photometric)
    yield "RGB", dicom(coloured(GREY))
    for number, data in enumerate(CODED):
        yield f"seed {number}", data


def _typed(item: pydicom.Dataset) -> list[pydicom.Dataset]:
    item.ModalityLUTType = "US"
    return [item]
