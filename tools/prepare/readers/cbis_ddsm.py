"""CBIS-DDSM as downloaded from TCIA: four case tables, full films and ROI masks as DICOM."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mammosono.appliance.values import Label, Modality
from mammosono.tools.prepare.files import read_picture, safe_name, stamp_of
from mammosono.tools.prepare.item import Item, Lesion, Loaded, Offer, Remark, worst
from mammosono.tools.prepare.readers.cbis_files import Folder, read_roi
from mammosono.tools.prepare.readers.cbis_table import PATTERN, Abnormality, find, read_films

_Rois = list[tuple[Label, list[Path]]]


def offer(root: Path) -> Offer:
    """Raises ValueError if the case tables are missing or lack a column; OSError."""
    tables = find(root)
    if not tables:
        raise ValueError(f"no case table ({PATTERN}) is there; put TCIA's tables beside the films")
    films = read_films(tables)
    return Offer(len(films), _items(Folder(root), films))


def _items(folder: Folder, films: dict[str, list[Abnormality]]) -> Iterator[Item | Remark]:
    for name, rows in films.items():
        labels = [row.label for row in rows if row.label]
        if len(labels) < len(rows):
            yield Remark("a pathology other than benign or malignant", name)
            continue
        found = [path for row in rows for path in folder.find(row.film)]
        if not found:
            yield Remark("the film is missing", name)
            continue
        # The film's folder holds one file; should a crop have come into it, that one is smaller.
        film = max(found, key=lambda path: (path.stat().st_size, str(path)))
        rois = [
            (Label(label), _candidates(folder, row))
            for row, label in zip(rows, labels, strict=True)
        ]
        yield Item(
            name=safe_name(f"cbis-ddsm/{name}"),
            modality=Modality.MG,
            label=worst(labels),
            case=rows[0].patient,
            source="CBIS-DDSM",
            licence="CC BY 3.0",
            split="test" if any(row.split == "test" for row in rows) else "train",
            stamp=stamp_of(film, *(path for _, paths in rois for path in paths)),
            load=partial(_load, film, rois, name),
        )


def _candidates(folder: Folder, row: Abnormality) -> list[Path]:
    """Mask and crop, in whichever of the two places."""
    return sorted({*folder.find(row.mask), *folder.find(row.crop)})


def _load(film: Path, rois: _Rois, name: str) -> Loaded:
    picture = read_picture(film, Modality.MG)
    height, width = picture.pixels.shape
    lesions, remarks = [], []
    for number, (label, candidates) in enumerate(rois, 1):
        what = f"{name} abnormality {number}"
        mask, resized = read_roi(candidates, (height, width), what)
        lesions.append(Lesion(label, mask))
        if resized:
            remarks.append(Remark("a mask of another size than its film was resized", what))
    return Loaded(picture, tuple(lesions), tuple(remarks))
