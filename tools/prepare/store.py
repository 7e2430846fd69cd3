"""Output folder: pictures and masks written whole, and a journal that lets a run go on.

`prepared.jsonl` holds one line a picture, written after its files. A later run keeps a picture
whose line fits its source and whose files have the size they were written with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from mammosono.appliance.output.rle import encode
from mammosono.appliance.values import BoolMask
from mammosono.tools.prepare.files import encode_png, write_whole
from mammosono.tools.prepare.item import (
    Entry,
    Item,
    SourceLesion,
    StoredLesion,
    from_line,
    to_line,
)
from mammosono.tools.prepare.split import phash
from mammosono.tools.prepare.via import shape_of_mark, shapes_of

JOURNAL = "prepared.jsonl"
UNKNOWN = "unknown"
"""`outline` of a region that says where a lesion is and not how it is shaped."""
_VERSION = "1"
"""Raised when the same source would be stored otherwise: everything is then written anew."""


class Store:
    """Items in, entries out. Use open_store()."""

    def __init__(self, folder: Path, known: dict[str, Entry], journal: IO[str]) -> None:
        self._folder = folder
        self._known = known
        self._journal = journal

    def put(self, item: Item) -> tuple[Entry, bool]:
        """The item's entry, and whether it was there already.

        Raises what item.load raises; OSError if the folder cannot be written.
        """
        stamp = _stamp(item)
        known = self._known.get(item.name)
        if known and known.stamp == stamp and self._is_whole(known):
            return known, True
        entry = self._write(item, stamp)
        self._journal.write(to_line(entry))
        self._journal.flush()
        self._known[item.name] = entry
        return entry, False

    def _is_whole(self, entry: Entry) -> bool:
        paths = [self._folder / file for file in entry.files]
        return all(p.is_file() for p in paths) and entry.sizes == tuple(
            p.stat().st_size for p in paths
        )

    def _write(self, item: Item, stamp: str) -> Entry:
        loaded = item.load()
        picture = loaded.picture
        height, width = picture.pixels.shape
        lesions = tuple(
            self._lesion(lesion, f"masks/{item.name}_mask{f'_{k}' if k else ''}.png")
            for k, lesion in enumerate(loaded.lesions)
        )
        image = f"images/{item.name}{picture.suffix}"
        write_whole(self._folder / image, picture.encoded or encode_png(picture.pixels))
        files = (image, *(lesion.mask for lesion in lesions if lesion.mask))
        return Entry(
            name=item.name,
            stamp=stamp,
            image=image,
            sizes=tuple((self._folder / file).stat().st_size for file in files),
            width=width,
            height=height,
            sha256=picture.sha256,
            phash=phash(picture.pixels),
            modality=item.modality.value,
            label=item.label,
            case=item.case,
            source=item.source,
            licence=item.licence,
            split=item.split,
            denoised=item.denoised,
            lesions=lesions,
            remarks=loaded.remarks,
        )

    def _lesion(self, lesion: SourceLesion, path: str) -> StoredLesion:
        if lesion.mask is None:
            return _marked(lesion)
        write_whole(self._folder / path, encode_png(lesion.mask.astype(np.uint8) * 255))
        x, y, width, height = cv2.boundingRect(lesion.mask.astype(np.uint8))
        rows, columns = lesion.mask.shape
        part: BoolMask = lesion.mask[y : y + height, x : x + width]
        label = lesion.label.value
        return StoredLesion(
            label=label,
            mark=lesion.mark or f"box:{x},{y},{width},{height}:{label}",
            box=(x, y, width, height),
            area=int(part.sum()),
            mask=path,
            rle=encode(part, y, x, (rows, columns)).counts,
            regions=lesion.regions
            or tuple(_region(shape, label) for shape in shapes_of(lesion.mask)),
        )


@contextmanager
def open_store(folder: Path) -> Iterator[Store]:
    """The store of an output folder, made if need be. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / JOURNAL
    known: dict[str, Entry] = {}
    whole = ""
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines(keepends=True):
            try:
                entry = from_line(line)
            except (ValueError, TypeError, KeyError):
                continue  # cut off by a kill: that picture is made again
            known[entry.name] = entry
        whole = "".join(map(to_line, known.values()))
    write_whole(path, whole.encode())
    with path.open("a", encoding="utf-8") as journal:
        yield Store(folder, known, journal)


def _stamp(item: Item) -> str:
    parts = (
        _VERSION, item.stamp, item.modality.value, item.label, item.case, item.source,
        item.licence, str(item.split), str(item.denoised),
    )  # fmt: skip
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _marked(lesion: SourceLesion) -> StoredLesion:
    if lesion.mark is None:
        raise ValueError("a lesion has neither mask nor mark")
    label, shape = lesion.label.value, shape_of_mark(lesion.mark)
    if shape["name"] == "rect":
        box = (shape["x"], shape["y"], shape["width"], shape["height"])
        area = box[2] * box[3]
    else:
        radius = shape["r"]
        box = (shape["cx"] - radius, shape["cy"] - radius, 2 * radius, 2 * radius)
        area = float(np.pi * radius**2)
    return StoredLesion(
        label, lesion.mark, box, area, None, None,
        lesion.regions or (_region(shape, label, outline=UNKNOWN),),
    )  # fmt: skip


def _region(shape: dict[str, object], label: str, **attributes: str) -> dict[str, object]:
    return {"shape_attributes": shape, "region_attributes": {"label": label, **attributes}}
