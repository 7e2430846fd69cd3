"""The project's own index.csv, and any data set brought into its form (see tools.data.index)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from mammosono.tools.data.index import Record, mark_text, read_index
from mammosono.tools.data.truth import BadTruth, mask_labels
from mammosono.tools.prepare.files import read_lesion_mask, read_picture, safe_name, stamp_of
from mammosono.tools.prepare.item import Item, Loaded, Offer, Remark, SourceLesion, Unreadable

INDEX = "index.csv"


def find(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    return [root / INDEX] if (root / INDEX).is_file() else []


def offer(root: Path) -> Offer:
    """Raises BadIndex or OSError."""
    records = read_index(root if root.is_file() else root / INDEX)
    return Offer(len(records), _items(records))


def _items(records: tuple[Record, ...]) -> Iterator[Item | Remark]:
    for record in records:
        path = PurePosixPath(record.name)
        name = safe_name(str(path.with_suffix("")).removeprefix("images/"))
        if not record.image.is_file():
            yield Remark("the picture is missing", record.name)
            continue
        yield Item(
            name=name,
            modality=record.modality,
            label=record.label,
            case=record.case,
            source=record.source,
            licence=record.licence,
            split=record.split,
            stamp=f"{stamp_of(record.image, *record.masks)}|{record.lesions}",
            load=partial(_load, record),
            denoised=record.denoised,
        )


def _load(record: Record) -> Loaded:
    picture = read_picture(record.image, record.modality)
    marks = record.lesions
    if not record.masks:
        return Loaded(picture, tuple(SourceLesion(one.label, mark=mark_text(one)) for one in marks))
    try:
        labels = mask_labels(record)
    except BadTruth:
        raise Unreadable("another number of annotations than of masks", record.name) from None
    shape = picture.pixels.shape
    masks = [read_lesion_mask(path, shape, record.name) for path in record.masks]
    texts: list[str | None] = [mark_text(one) for one in marks]
    texts = texts or [None] * len(masks)
    return Loaded(picture, tuple(map(SourceLesion, labels, masks, texts)))
