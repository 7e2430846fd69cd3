"""Exam of four mammograms and eight ultrasound stills, drawn at the size of real ones, as DICOM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    generate_uid,
)

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.noise import poisson_gauss
from mammosono.appliance.values import Label, Modality
from mammosono.tools.benchmarks.exam.lossless_jpeg import lossless_jpeg

Size = tuple[int, int]
"""(height, width) in px."""

FILM_SIZE: Size = (4096, 3328)
STILL_SIZE: Size = (768, 1024)
STILLS = 8
_VIEWS = (("R", "CC"), ("R", "MLO"), ("L", "CC"), ("L", "MLO"))
_FILM_BITS, _FILM_SCALE = 12, 14.0
_GAIN, _READ_OUT = 0.5, 3.0
"""Noise of a film, in grey levels of 12 bits: 32 at half of the range, 3 in the dark."""
_CLASSES = {Modality.MG: "1.2.840.10008.5.1.4.1.1.1.2", Modality.US: "1.2.840.10008.5.1.4.1.1.6.1"}


class Encoding(Enum):
    UNCOMPRESSED = ("uncompressed", ExplicitVRLittleEndian)
    JPEG_2000 = ("JPEG 2000 lossless", JPEG2000Lossless)
    JPEG_LOSSLESS = ("JPEG lossless", JPEGLosslessSV1)
    RLE = ("RLE", RLELossless)

    def __init__(self, title: str, syntax: UID) -> None:
        self.title, self.syntax = title, syntax


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """pixels: uint8 or uint16 [height, width], of so many bits."""

    modality: Modality
    pixels: NDArray[Any]
    bits: int
    side: str
    view: str


@dataclass(frozen=True, slots=True)
class ExamFile:
    """pixel_bytes: of the picture as it is stored without compression."""

    modality: Modality
    path: Path
    pixel_bytes: int


def draw_exam(reduction: int = 1) -> Iterator[Drawn]:
    """A malignant mass in the right breast, a benign one in the left, stills of either kind.

    The sides are a `reduction`th of the real ones.
    """
    labels = (Label.MALIGNANT, None, Label.BENIGN, None)
    height, width = (side // reduction for side in FILM_SIZE)
    for seed, (label, (side, view)) in enumerate(zip(labels, _VIEWS, strict=True)):
        clean = phantom(Modality.MG, seed, label, height=height, width=width, noise=0).clean
        rng = np.random.default_rng(seed)
        noisy = poisson_gauss(clean * np.float32(_FILM_SCALE), _GAIN, _READ_OUT, rng)
        white = 2**_FILM_BITS - 1
        film = np.clip(np.rint(noisy), 0, white).astype(np.uint16)
        film[clean <= clean.min() + 0.5] = 0  # as detectors send it to be looked at
        yield Drawn(Modality.MG, film, _FILM_BITS, side, view)
    height, width = (side // reduction for side in STILL_SIZE)
    for seed in range(STILLS):
        label = Label.BENIGN if seed % 2 else Label.MALIGNANT
        still = phantom(Modality.US, seed, label, height=height, width=width)
        yield Drawn(Modality.US, still.pixels, 8, "R" if seed < STILLS // 2 else "L", "")


def write_exam(folder: Path, drawn: tuple[Drawn, ...], encoding: Encoding) -> tuple[ExamFile, ...]:
    """One file each, in the order of the exam. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, each in enumerate(drawn):
        path = folder / f"{number:02}.dcm"
        _dicom(each, encoding).save_as(path, enforce_file_format=True)
        files.append(ExamFile(each.modality, path, each.pixels.nbytes))
    return tuple(files)


def _dicom(drawn: Drawn, encoding: Encoding) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(_CLASSES[drawn.modality])
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    ds.Modality, ds.PatientID, ds.PatientName = drawn.modality.value, "phantom", "Phantom"
    if drawn.modality is Modality.MG:
        ds.PresentationIntentType = "FOR PRESENTATION"
        ds.ImageLaterality, ds.ViewPosition = drawn.side, drawn.view
        ds.ImagerPixelSpacing = [0.07 * FILM_SIZE[0] / len(drawn.pixels)] * 2
        ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = drawn.pixels.shape
    ds.BitsAllocated = 8 * drawn.pixels.itemsize
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = drawn.bits, drawn.bits - 1, 0
    ds.PixelData = drawn.pixels.tobytes()
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    if encoding is Encoding.JPEG_LOSSLESS:
        ds.PixelData = encapsulate([lossless_jpeg(drawn.pixels, drawn.bits)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        meta.TransferSyntaxUID = encoding.syntax
    elif encoding is not Encoding.UNCOMPRESSED:
        ds.compress(encoding.syntax, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    return ds
