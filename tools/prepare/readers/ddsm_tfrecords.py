"""The Kaggle "DDSM Mammography" tiles: TFRecords for training, .npy arrays for val and test.

A record holds `image` (299 x 299 bytes of grey, or a PNG or JPEG file), `label` (0 negative, 1
benign calcification, 2 benign mass, 3 malignant calcification, 4 malignant mass) and, in most
files, `label_normal` (0 exactly where label is 0). Beside them lie pairs NAME_data.npy
[n, 299, 299(, 1)] and NAME_labels.npy [n]. Nobody says where in a tile the lesion is, nor of which
patient it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mammosono.appliance.intake.decoder_stderr import capture_stderr
from mammosono.appliance.values import Modality
from mammosono.tools.data.truth import decode_grey
from mammosono.tools.prepare.files import picture_of, safe_name, stamp_of
from mammosono.tools.prepare.item import Item, Loaded, Offer, Remark, Unreadable
from mammosono.tools.prepare.tfrecord import (
    BadRecord,
    Values,
    count_records,
    masked_crc,
    parse_example,
    read_records,
)

SIDE_PX = 299
LABELS = ("normal", "benign", "benign", "malignant", "malignant")
LICENCE = "CC BY 3.0 (lesions, CBIS-DDSM); DDSM's own (negatives)"
_SPLITS = {"training": "train", "cv": "val", "test": "test"}


def find(root: Path) -> list[Path]:
    """TFRecord files of a folder, or the file itself."""
    if root.is_file():
        return [root]
    return sorted(p for p in root.rglob("*.tfrecord*") if p.suffix in (".tfrecord", ".tfrecords"))


def offer(root: Path) -> Offer:
    files = find(root)
    arrays = sorted(root.rglob("*_data.npy")) if root.is_dir() else []
    total = sum(map(count_records, files)) + sum(map(_count, arrays))
    return Offer(total, _items(files, arrays))


def _items(files: list[Path], arrays: list[Path]) -> Iterator[Item | Remark]:
    for path in files:
        for number, (offset, data) in enumerate(read_records(path)):
            where = f"{path.name} at byte {offset}"
            if isinstance(data, BadRecord):
                yield Remark(str(data), where)
                continue
            try:
                yield _of_record(path, number, where, parse_example(data))
            except ValueError as error:
                yield Remark(str(error), where)
    for path in arrays:
        yield from _of_arrays(path)


def _of_record(path: Path, number: int, where: str, features: dict[str, Values]) -> Item:
    label, image = _one(features, "label"), _one(features, "image")
    normal = features.get("label_normal") or [None]
    if not isinstance(label, int) or not isinstance(image, bytes):
        raise ValueError("a record without image or label")
    if not 0 <= label < len(LABELS):
        raise ValueError("a label other than 0 to 4")
    if normal[0] is not None and (normal[0] == 0) != (label == 0):
        raise ValueError("label and label_normal contradict each other")
    return _item(path, number, where, label, image)


def _one(features: dict[str, Values], name: str) -> bytes | float | int | None:
    values = features.get(name, [])
    return values[0] if len(values) == 1 else None


def _of_arrays(path: Path) -> Iterator[Item | Remark]:
    labels_path = path.with_name(path.name.replace("_data.npy", "_labels.npy"))
    try:
        tiles = np.load(path, mmap_mode="r", allow_pickle=False)
        labels = np.load(labels_path, allow_pickle=False).ravel()
    except (OSError, ValueError):
        yield Remark("an array or its labels cannot be read", path.name)
        return
    sides = tiles.shape[1:3]
    if tiles.dtype != np.uint8 or sides != (SIDE_PX, SIDE_PX) or len(labels) != len(tiles):
        yield Remark("an array is not of 299 x 299 bytes with a label each", path.name)
        return
    stamp = stamp_of(path, labels_path)
    for number, label in enumerate(labels.tolist()):
        where = f"{path.name} tile {number}"
        if label not in range(len(LABELS)):
            yield Remark("a label other than 0 to 4", where)
        else:
            yield _item(path, number, where, label, tiles[number].tobytes(), stamp)


def _count(array: Path) -> int:
    try:
        return len(np.load(array, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError):
        return 0


def _item(
    path: Path, number: int, where: str, label: int, data: bytes, stamp: str | None = None
) -> Item:
    stem = path.stem.removesuffix("_data")
    name = safe_name(f"ddsm/{stem}-{number:06d}")
    return Item(
        name=name,
        modality=Modality.MG,
        label=LABELS[label],
        case=name,
        source="DDSM",
        licence=LICENCE,
        split=next((split for start, split in _SPLITS.items() if stem.startswith(start)), None),
        stamp=stamp or f"{masked_crc(data)}:{len(data)}",
        load=partial(_load, data, where),
    )


def _load(data: bytes, where: str) -> Loaded:
    if len(data) == SIDE_PX**2:
        pixels = np.frombuffer(data, np.uint8).reshape(SIDE_PX, SIDE_PX)
    else:
        decoded, complaints = capture_stderr(lambda: decode_grey(data))
        if decoded is None or "error" in complaints or decoded.dtype != np.uint8:
            raise Unreadable("a tile is neither 299 x 299 bytes nor a picture file", where)
        pixels = decoded
    return Loaded(picture_of(pixels, data))
