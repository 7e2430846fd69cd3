"""One file by us and by each of the others, in 255ths of the range that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from decoders.independent import DECODERS
from mammosono.appliance.errors import IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Modality, SourceImage

ANY_SIZE = Limits(min_side_px=1, max_aspect=1e9)
AGREE = 4.0
"""255ths: two decoders of a lossy picture differ by a level or two, which is then stretched."""
KNOWN = {
    "J2K_pixelrep_mismatch": "the header says signed, the codestream unsigned; GDCM and Pillow "
    "follow the codestream, pydicom and this appliance the header, as its window does",
    "SC_jpeg_no_color_transform": "RGB without a marker that says so; Pillow takes it for YCbCr",
}
"""Files on which the others are apart from us, and why that is right."""


@dataclass(frozen=True, slots=True)
class Row:
    """coding: the transfer syntax. ours: bits, or the code of the refusal. differences: by decoder,
    the greatest; None where it has no picture, or we have none."""

    name: str
    coding: str
    ours: str
    differences: dict[str, float | None]

    @property
    def agrees(self) -> bool:
        return all(each is None or each <= AGREE for each in self.differences.values())

    @property
    def explained(self) -> bool:
        return self.agrees or self.name in KNOWN


def compare(name: str, data: bytes) -> Row:
    ds = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)
    coding = pydicom.uid.UID(ds.file_meta.TransferSyntaxUID).name.split(",")[0].split(" (")[0]
    try:
        image = read_image(data, Modality.US, ANY_SIZE)
    except IntakeError as refusal:
        return Row(name, coding, refusal.code, dict.fromkeys(DECODERS))
    windowed = "WindowCenter" in ds or "VOILUTSequence" in ds
    differences: dict[str, float | None] = {}
    for decoder, decode in DECODERS.items():
        other = decode(data)
        shown = windowed and decoder == "DCMTK"
        differences[decoder] = None if other is None else _difference(image, other, shown)
    return Row(name, coding, f"{image.bits} bits", differences)


def _difference(image: SourceImage, other: NDArray[Any], shown: bool) -> float:
    """Both as they are shown, or both from least to most."""
    if other.shape != image.pixels.shape:
        return float("inf")
    if shown or (other.dtype == np.uint8 and image.pixels.dtype == np.uint8):
        ours, theirs = to_grey(image.pixels, image.window).astype(float), other.astype(float)
        if np.abs(ours - theirs).max() <= AGREE or shown:
            return float(np.abs(ours - theirs).max())
    return float(np.abs(_stretched(image.pixels) - _stretched(other)).max())


def _stretched(pixels: NDArray[Any]) -> NDArray[np.float64]:
    values = pixels.astype(float)
    low, high = values.min(), values.max()
    return 255 * (values - low) / max(high - low, 1e-9)


def table(rows: list[Row]) -> str:
    """Markdown."""
    heads = ("File", "Coding", "Here", *DECODERS)
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for row in rows:
        cells = [row.name, row.coding, row.ours]
        cells += ["" if each is None else f"{each:.3g}" for each in row.differences.values()]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)
