"""BUSI as Kaggle gives it: benign, malignant and normal folders, `benign (7).png` and its masks
`benign (7)_mask.png`, `benign (7)_mask_1.png`, ... one a lesion."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mammosono.appliance.values import Label, Modality
from mammosono.tools.prepare.files import read_lesion_mask, read_picture, stamp_of
from mammosono.tools.prepare.item import Item, Loaded, Offer, Remark, SourceLesion, Unreadable

_NAME = re.compile(r"(benign|malignant|normal) \((\d+)\)(?:_mask(?:_(\d+))?)?\.png")


def find(root: Path) -> list[Path]:
    """The pictures, without masks, sorted by label and number."""
    found = []
    for path in root.rglob("* (*).png"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((match[1], int(match[2]), path))
    return [path for *_, path in sorted(found)]


def offer(root: Path) -> Offer:
    pictures = find(root)
    return Offer(len(pictures), _items(root, pictures))


def _items(root: Path, pictures: list[Path]) -> Iterator[Item | Remark]:
    masks: dict[Path, list[tuple[int, Path]]] = defaultdict(list)
    for path in root.rglob("* (*)_mask*.png"):
        match = _NAME.fullmatch(path.name)
        if match:
            picture = path.with_name(f"{match[1]} ({match[2]}).png")
            masks[picture].append((int(match[3] or 0), path))
    for path in pictures:
        own = [mask for _, mask in sorted(masks.pop(path, []))]
        yield _item(path, own)
    for orphans in masks.values():
        yield from (Remark("a mask without its picture", mask.name) for _, mask in orphans)


def _item(path: Path, masks: list[Path]) -> Item:
    label, number = path.stem.rstrip(")").split(" (")
    name = f"busi/{label}_{int(number):04d}"
    return Item(
        name=name,
        modality=Modality.US,
        label=label,
        case=name,
        source="BUSI",
        licence="CC BY 4.0",
        split=None,
        stamp=stamp_of(path, *masks),
        load=partial(_load, path, masks, label),
    )


def _load(path: Path, masks: list[Path], label: str) -> Loaded:
    picture = read_picture(path, Modality.US)
    shape = picture.pixels.shape
    if label == "normal":
        _require_empty(masks, shape)
        return Loaded(picture)
    if not masks:
        raise Unreadable("the mask is missing", path.name)
    return Loaded(
        picture,
        tuple(
            SourceLesion(Label(label), read_lesion_mask(mask, shape, mask.name)) for mask in masks
        ),
    )


def _require_empty(masks: list[Path], shape: tuple[int, ...]) -> None:
    """BUSI gives normal pictures a black mask."""
    for mask in masks:
        try:
            read_lesion_mask(mask, shape, mask.name)
        except Unreadable:
            continue
        raise Unreadable("a normal picture has a mask that is not empty", mask.name)
