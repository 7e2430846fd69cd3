"""DCMTK, GDCM and Pillow: what each of them makes of a file, as a grey picture [height, width]."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit

TOOLS = ("dcmj2pnm", "gdcmconv")
_LIMIT_S = 60


def missing() -> list[str]:
    """The tools that this machine lacks."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def versions() -> str:
    def first_line(*command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
        return found[0] if found else "?"

    dcmtk_version, gdcm_version = first_line("dcmj2pnm", "--version"), first_line("gdcmconv", "-v")
    return f"DCMTK {dcmtk_version}, GDCM {gdcm_version}, Pillow {PIL.__version__}"


def dcmtk(data: bytes) -> NDArray[Any] | None:
    """As DCMTK displays it: 8 bits, by the file's table or window, else from least to most. None if
    it cannot."""
    ds = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    way = ["+Wl", "1"] if "VOILUTSequence" in ds else ["+Wi", "1"] if "WindowCenter" in ds else []
    if not way and ds.SamplesPerPixel == 1 and ds.PhotometricInterpretation != "PALETTE COLOR":
        way = ["+Wm"]
    shown = _run(data, lambda file, out: ["dcmj2pnm", "-O", *way, "+op", file, out], "pnm")
    if shown is None:
        return None
    picture = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim == 2:
        return picture
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))


def gdcm(data: bytes) -> NDArray[Any] | None:
    """The stored values, turned where MONOCHROME1 or a negative slope say so; or luma. None where
    the file has a table or a sigmoid, which GDCM leaves aside."""
    raw = _run(data, lambda file, out: ["gdcmconv", "--raw", file, out], "dcm")
    if raw is None:
        return None
    ds = pydicom.dcmread(BytesIO(raw))
    size = ds.Rows, ds.Columns
    if ds.PhotometricInterpretation == "PALETTE COLOR" or ds.get("VOILUTFunction") == "SIGMOID":
        return None
    if "ModalityLUTSequence" in ds or "VOILUTSequence" in ds:
        return None
    kind = "i" if ds.PixelRepresentation else "u"
    samples = np.frombuffer(ds.PixelData, f"<{kind}{ds.BitsAllocated // 8}")
    if samples.size < size[0] * size[1] * ds.SamplesPerPixel:  # YBR_FULL_422 left as it is
        return None
    if ds.SamplesPerPixel == 3:
        planar = ds.get("PlanarConfiguration") == 1
        rgb = samples[: 3 * size[0] * size[1]].reshape((3, *size) if planar else (*size, 3))
        rgb = np.ascontiguousarray(rgb.transpose(1, 2, 0) if planar else rgb).astype(np.uint8)
        if ds.PhotometricInterpretation.startswith("YBR_FULL"):
            rgb = convert_color_space(rgb, "YBR_FULL", "RGB")
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    grey = samples[: size[0] * size[1]].reshape(size).astype(float)
    turned = (ds.PhotometricInterpretation == "MONOCHROME1") != (ds.get("RescaleSlope", 1) < 0)
    return -grey if turned else grey


def pillow(data: bytes) -> NDArray[Any] | None:
    """Of baseline JPEG and JPEG 2000 alone, as its markers have it."""
    ds = pydicom.dcmread(BytesIO(data))
    if ds.file_meta.TransferSyntaxUID not in (JPEGBaseline8Bit, JPEG2000, JPEG2000Lossless):
        return None
    try:
        with Image.open(BytesIO(get_frame(ds.PixelData, 0, number_of_frames=1))) as picture:
            grey = picture.convert("L") if picture.mode in ("RGB", "YCbCr") else picture
            values = np.asarray(grey).astype(float)
    except (OSError, ValueError):
        return None
    return -values if ds.PhotometricInterpretation == "MONOCHROME1" else values


DECODERS: dict[str, Callable[[bytes], NDArray[Any] | None]] = {
    "DCMTK": dcmtk,
    "GDCM": gdcm,
    "Pillow": pillow,
}


def _run(data: bytes, command: Callable[[str, str], list[str]], suffix: str) -> bytes | None:
    """What the tool writes; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "in.dcm"), Path(folder, f"out.{suffix}")
        file.write_bytes(data)
        try:
            done = subprocess.run(
                command(str(file), str(out)), capture_output=True, timeout=_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        return out.read_bytes() if done.returncode == 0 and out.exists() else None
