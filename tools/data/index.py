"""Index of labelled images, index.csv; a lesion without a mask is `box:x,y,w,h:label` or
`circle:cx,cy,r:label` there, in pixels of the stored picture, origin top left.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mammosono.appliance.modality import BY_PART
from mammosono.appliance.values import Box, Label, Modality

_NUMBERS = {"box": 4, "circle": 3}


@dataclass(frozen=True, slots=True)
class LesionMark:
    """Where a lesion is. `box` of a circle is the square around it, so its side is 2 r."""

    label: Label
    box: Box
    is_circle: bool = False


def parse_mark(text: str) -> LesionMark:
    """Raises ValueError that quotes the text."""
    shape, numbers, label = _three(text)
    values = tuple(float(number) for number in numbers.split(","))
    if len(values) != _NUMBERS[shape] or not all(map(math.isfinite, values)):
        raise ValueError(f"annotation '{text}': {shape} takes {_NUMBERS[shape]} finite numbers")
    x, y, width, height = values if shape == "box" else _square(*values)
    if width <= 0 or height <= 0:
        raise ValueError(f"annotation '{text}': the size must be above zero")
    return LesionMark(Label(label), (x, y, x + width, y + height), shape == "circle")


def mark_text(mark: LesionMark) -> str:
    """The text that parse_mark reads, to a thousandth of a pixel."""
    x0, y0, x1, y1 = mark.box
    width, height = x1 - x0, y1 - y0
    if mark.is_circle:
        shape, values = "circle", [x0 + width / 2, y0 + height / 2, width / 2]
    else:
        shape, values = "box", [x0, y0, width, height]
    return f"{shape}:{','.join(f'{round(value, 3):.12g}' for value in values)}:{mark.label.value}"


def _three(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    lesions = tuple(label.value for label in Label)
    if len(parts) != 3 or parts[0] not in _NUMBERS or parts[2] not in lesions:
        raise ValueError(f"annotation '{text}': expected box:x,y,w,h:label or circle:cx,cy,r:label")
    return parts[0], parts[1], parts[2]


def _square(cx: float, cy: float, radius: float) -> Box:
    """x, y, width, height of the square around a circle."""
    return cx - radius, cy - radius, 2 * radius, 2 * radius


COLUMNS = (
    "modality",
    "label",
    "image",
    "mask",
    "annotation",
    "patient_or_case",
    "source",
    "split",
)
OPTIONAL_COLUMNS = ("licence", "sha256", "denoised")
LABELS = ("normal", "benign", "malignant")
SPLITS = ("train", "val", "test")


class BadIndex(ValueError):
    """The index cannot be used; the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled image.

    name: the image's path as the index gives it, forward slashes; the record's identity.
    image, masks: paths on this machine. masks: one picture a lesion, of the image's size.
    case: patient or group of near-duplicates; the unit to resample.
    licence, sha256: empty where the index does not say. sha256: of the picture as its source gave
        it, not of the file `image`.
    denoised: noise was removed before the picture was stored.
    """

    modality: Modality
    label: str
    name: str
    image: Path
    masks: tuple[Path, ...]
    lesions: tuple[LesionMark, ...]
    case: str
    source: str
    split: str
    licence: str = ""
    sha256: str = ""
    denoised: bool = False

    @property
    def abnormal_without_location(self) -> bool:
        """A lesion is in the image, its place unknown: never to be used as background."""
        return self.label != "normal" and not self.lesions and not self.masks


def read_index(path: Path) -> tuple[Record, ...]:
    """All rows of an index, in file order.

    Raises BadIndex for the first malformed row, an image listed twice, or a case in two splits;
    OSError if the file cannot be read.
    """
    records: list[Record] = []
    names: set[str] = set()
    split_of: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            _check_header(rows.fieldnames or ())
            for row in rows:
                record = _record(row, path.parent)
                if record.name in names:
                    raise ValueError(f"image {record.name} is listed twice")
                if split_of.setdefault(record.case, record.split) != record.split:
                    raise ValueError(f"case {record.case} is in two splits")
                names.add(record.name)
                records.append(record)
        except (ValueError, csv.Error) as error:
            raise BadIndex(f"index line {max(rows.reader.line_num, 1)}: {error}") from None
    return tuple(records)


def select(
    records: Iterable[Record],
    *,
    split: str | None = None,
    sources: Collection[str] | None = None,
    modality: Modality | None = None,
) -> tuple[Record, ...]:
    """The records that fit every given criterion, in order; None means any."""
    return tuple(
        record
        for record in records
        if (split is None or record.split == split)
        and (sources is None or record.source in sources)
        and (modality is None or record.modality is modality)
    )


def sources_to_learn_from(records: Iterable[Record]) -> tuple[str, ...]:
    """The sources of the training images, where each modality has one alone.

    Raises ValueError that names them otherwise: which of several hospitals teach, and which without
    classes, is for a person to say.
    """
    found: dict[Modality, dict[str, None]] = {}
    for record in select(records, split="train"):
        found.setdefault(record.modality, {})[record.source] = None
    names = tuple(name for sources in found.values() for name in sources)
    if not names or any(len(sources) > 1 for sources in found.values()):
        raise ValueError(
            f"name the sources to learn from with --source: {', '.join(names)}"
            if names
            else "the index holds no train image"
        )
    return names


def split_hash(records: Iterable[Record]) -> str:
    """SHA-256 (hex) over the sorted lines "image<TAB>split": which image was used for what.

    An image is its `sha256`, so that renaming or storing it otherwise changes nothing; where the
    index has none, its name.
    """
    lines = sorted(f"{record.sha256 or record.name}\t{record.split}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_header(names: Sequence[str]) -> None:
    more = names[len(COLUMNS) :]
    if tuple(names[: len(COLUMNS)]) != COLUMNS:
        raise ValueError(f"the header must read {','.join(COLUMNS)}")
    if len(set(more)) < len(more) or not set(more) <= set(OPTIONAL_COLUMNS):
        raise ValueError(f"behind {COLUMNS[-1]} may stand {', '.join(OPTIONAL_COLUMNS)}")


def _record(row: Mapping[str, str | None], folder: Path) -> Record:
    if None in row or None in row.values():
        raise ValueError(f"a row has {len(row) - (None in row)} fields")
    fields = {name: (value or "").strip() for name, value in row.items()}
    modality = _one_of("modality", fields["modality"], tuple(BY_PART))
    label = _one_of("label", fields["label"], LABELS)
    for name in ("image", "patient_or_case", "source"):
        if not fields[name]:
            raise ValueError(f"{name} is empty")
    masks = tuple(_inside(folder, part) for part in _parts(fields["mask"]))
    lesions = tuple(parse_mark(part) for part in _parts(fields["annotation"]))
    if label == "normal" and (masks or lesions):
        raise ValueError("a normal image has neither mask nor annotation")
    return Record(
        modality=BY_PART[modality],
        label=label,
        name=str(PurePosixPath(fields["image"])),
        image=_inside(folder, fields["image"]),
        masks=masks,
        lesions=lesions,
        case=fields["patient_or_case"],
        source=fields["source"],
        split=_one_of("split", fields["split"], SPLITS),
        licence=fields.get("licence", ""),
        sha256=_sha256(fields.get("sha256", "")),
        denoised=_one_of("denoised", fields.get("denoised", ""), ("", "yes")) == "yes",
    )


def _sha256(text: str) -> str:
    if text and not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError(f"sha256 '{text}' is not 64 hexadecimal digits")
    return text


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";")] if text else []


def _inside(folder: Path, relative: str) -> Path:
    path = PurePosixPath(relative)
    if not relative or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{relative}' is not a path below the folder of the index")
    return folder / path


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} '{value}' is none of {', '.join(allowed)}")
    return value
