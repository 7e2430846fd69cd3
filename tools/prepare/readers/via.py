"""Pictures annotated in VIA: every region that outlines something becomes a lesion with a mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mammosono.appliance.modality import BY_PART
from mammosono.appliance.values import BoolMask, Label, Modality
from mammosono.tools.data.index import SPLITS
from mammosono.tools.prepare.files import read_picture, safe_name, stamp_of
from mammosono.tools.prepare.item import (
    Item,
    Loaded,
    Offer,
    Region,
    Remark,
    SourceLesion,
    Unreadable,
    worst,
)
from mammosono.tools.prepare.store import UNKNOWN
from mammosono.tools.prepare.via import (
    BadShape,
    IgnoredShape,
    ViaFile,
    ViaImage,
    is_normal,
    mask_of,
    read_via,
    region_label,
)

_MARKS = {"rect": ("box", ("x", "y", "width", "height")), "circle": ("circle", ("cx", "cy", "r"))}
_WORDS = {**BY_PART, **{modality.value.lower(): modality for modality in Modality}}


@dataclass(frozen=True, slots=True)
class _ImageInfo:
    """What is known of an image before it is opened."""

    path: Path
    modality: Modality
    label: str
    regions: tuple[Region, ...]


def offer(path: Path, modality: Modality | None) -> Offer:
    """modality: of pictures whose file_attributes name none. Raises ValueError, OSError."""
    via = read_via(path)
    return Offer(len(via.images) + len(via.broken), _items(path.parent, via, modality))


def _items(folder: Path, via: ViaFile, modality: Modality | None) -> Iterator[Item | Remark]:
    yield from (Remark("an entry that is no annotation", key) for key in via.broken)
    for image in via.images:
        info = _info_of(folder, via.folder, image, modality)
        yield info if isinstance(info, Remark) else _item(image, info)


def _info_of(
    folder: Path, below: str, image: ViaImage, modality: Modality | None
) -> _ImageInfo | Remark:
    if "://" in image.filename:
        return Remark("a picture on the network; download it first", image.filename)
    path = _find(folder, below, image.filename)
    if path is None:
        return Remark("the picture is missing", image.filename)
    stated = str(image.attributes.get("modality", "")).strip().lower()
    known = _WORDS.get(stated, modality)
    if known is None:
        return Remark("a picture of unknown modality; give --modality", image.filename)
    labels = [label for region in image.regions if (label := _label(region, image.attributes))]
    if is_normal(image.attributes) and not image.regions:
        return _ImageInfo(path, known, "normal", ())
    whole = region_label(image.attributes)
    if is_normal(image.attributes):
        return Remark("a picture called normal has regions", image.filename)
    if not labels and whole is None:
        return Remark("a picture without a label of benign, malignant or normal", image.filename)
    words = [one.value for one in (*labels, whole) if one]
    return _ImageInfo(path, known, worst(words), image.regions)


def _item(image: ViaImage, info: _ImageInfo) -> Item:
    name = safe_name(str(PurePosixPath(image.filename).with_suffix("")).removeprefix("images/"))
    stated = {key: str(value).strip() for key, value in image.attributes.items()}
    split = stated.get("split")
    return Item(
        name=name,
        modality=info.modality,
        label=info.label,
        case=stated.get("case") or stated.get("patient") or name,
        source=stated.get("source") or "VIA",
        licence=stated.get("licence", ""),
        split=split if split in SPLITS else None,
        stamp=f"{stamp_of(info.path)}|{image.regions}",
        load=partial(_load, info, image),
    )


def _load(info: _ImageInfo, image: ViaImage) -> Loaded:
    picture = read_picture(info.path, info.modality)
    height, width = picture.pixels.shape
    lesions, remarks = [], []
    for number, region in enumerate(info.regions, 1):
        what = f"{image.filename} region {number}"
        label = _label(region, image.attributes)
        if label is None:
            remarks.append(Remark("left out: a region without a label", what))
            continue
        try:
            mask, cut = mask_of(_shape(region), (height, width))
        except IgnoredShape as error:
            remarks.append(Remark(f"ignored: {error}", what))
            continue
        except BadShape as error:
            remarks.append(Remark(f"left out: {error}", what))
            continue
        if cut:
            remarks.append(Remark("cut at the picture's edge", what))
        lesions.append(_lesion(label, mask, region))
    if len({lesion.mask is None for lesion in lesions}) > 1:
        # The index gives a picture's lesions masks or marks; a lesion must not become background.
        raise Unreadable("outlined lesions and lesions of unknown outline", image.filename)
    return Loaded(picture, tuple(lesions), tuple(remarks))


def _lesion(label: Label, mask: BoolMask, region: Region) -> SourceLesion:
    """With the mask, or with a mark alone where the region only says where the lesion is."""
    shape = _shape(region)
    if region["region_attributes"].get("outline") != UNKNOWN or shape["name"] not in _MARKS:
        return SourceLesion(label, mask, regions=(region,))
    values = ",".join(f"{shape[key]:.12g}" for key in _MARKS[shape["name"]][1])
    return SourceLesion(
        label, mark=f"{_MARKS[shape['name']][0]}:{values}:{label.value}", regions=(region,)
    )


def _label(region: Any, of_file: Mapping[str, Any]) -> Label | None:
    """The region's own label, else the file's."""
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    own = region_label(attributes) if isinstance(attributes, dict) else None
    return own or region_label(of_file)


def _shape(region: Any) -> Mapping[str, Any]:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    return shape if isinstance(shape, dict) else {}


def _find(folder: Path, below: str, filename: str) -> Path | None:
    """Beside the VIA file, in the project's folder, or by the bare name; never elsewhere."""
    names = (filename, f"{below}/{filename}", PurePosixPath(filename.replace("\\", "/")).name)
    for name in names:
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.name:
            continue
        if (folder / relative).is_file():
            return folder / relative
    return None
