"""What is known of a picture once it is stored: all that index, VIA, COCO and split are made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from mammosono.tools.prepare.item import Region, Remark


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
