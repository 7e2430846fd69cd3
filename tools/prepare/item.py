"""Item: a picture with its lesions, as a reader offers it and as it is stored.

Of an offered picture nothing is decoded before it is asked for. Of a stored one (Entry) all is
known that index, VIA, COCO and split are made of.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from mammosono.appliance.values import BoolMask, Label, Modality

Region = Mapping[str, Any]
"""A region as VIA writes it: {"shape_attributes": {...}, "region_attributes": {...}}."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something left out or changed. `reason` is one of few, to be counted; `what` names it."""

    reason: str
    what: str


class Unreadable(Exception):
    """A picture or its truth cannot be read: the whole picture is left out."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(reason)
        self.remark = Remark(reason, what)


@dataclass(frozen=True, slots=True, eq=False)
class SourceLesion:
    """mask: bool [height, width], or None where only `mark` (text of the index) says where it is.

    regions: as a VIA file gave them; empty means that they follow from the mask or the mark.
    """

    label: Label
    mask: BoolMask | None = None
    mark: str | None = None
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPicture:
    """pixels: uint8 or uint16 [height, width], bright = dense; bits: significant bits, 8 to 16.

    sha256: of the bytes the source holds for this picture.
    encoded: a PNG or JPEG file's bytes, to be kept as they are; None asks for a PNG of `pixels`.
    suffix: of the stored file, with its dot.
    """

    pixels: NDArray[Any]
    bits: int
    sha256: str
    encoded: bytes | None = None
    suffix: str = ".png"


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    picture: DecodedPicture
    lesions: tuple[SourceLesion, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """name: path below images/ without suffix, the picture's identity.

    label: normal, benign or malignant. case: patient, or the picture itself where the source knows
    none. split: what the source itself used it for: train, val, test or None.
    stamp: changes when the source's files do.
    load: decodes picture and masks. Raises Unreadable, IntakeError or OSError.
    """

    name: str
    modality: Modality
    label: str
    case: str
    source: str
    licence: str
    split: str | None
    stamp: str
    load: Callable[[], Loaded]
    denoised: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """What a reader found. total: how many pictures, for the progress bar; may be a guess."""

    total: int
    items: Iterator[Item | Remark]


def worst(labels: list[str]) -> str:
    """The label of a picture with lesions of these labels; normal without any."""
    order = ("malignant", "benign", "normal")
    return min(labels, key=order.index, default="normal")


@dataclass(frozen=True, slots=True)
class StoredLesion:
    """mask: path below the output folder, or None with a `mark` alone; mark: text of the index.

    rle: the mask as COCO counts. box: x, y, width, height in px. area: px.
    regions: as VIA writes them, given by the source or made from mask or mark.
    """

    label: str
    mark: str
    box: tuple[float, float, float, float]
    area: float
    mask: str | None
    rle: str | None
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored picture; see Item.

    image: path below the output folder. stamp: of all that it was made from.
    sizes: bytes of the image and of each mask file, to tell whole files from cut ones.
    phash: 64-bit perceptual hash.
    """

    name: str
    stamp: str
    image: str
    sizes: tuple[int, ...]
    width: int
    height: int
    sha256: str
    phash: int
    modality: str
    label: str
    case: str
    source: str
    licence: str
    split: str | None
    denoised: bool
    lesions: tuple[StoredLesion, ...]
    remarks: tuple[Remark, ...]

    @property
    def files(self) -> tuple[str, ...]:
        return (self.image, *(lesion.mask for lesion in self.lesions if lesion.mask))


def to_line(entry: Entry) -> str:
    return json.dumps(asdict(entry), allow_nan=False, separators=(",", ":")) + "\n"


def from_line(line: str) -> Entry:
    """Raises ValueError, TypeError or KeyError for a line that is damaged or of another version."""
    fields: dict[str, Any] = dict(json.loads(line))
    lesions = fields.pop("lesions")
    remarks = fields.pop("remarks")
    return Entry(
        sizes=tuple(fields.pop("sizes")),
        **fields,
        lesions=tuple(
            StoredLesion(**{**one, "box": tuple(one["box"]), "regions": tuple(one["regions"])})
            for one in lesions
        ),
        remarks=tuple(Remark(**one) for one in remarks),
    )
