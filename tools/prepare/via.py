"""VIA (VGG Image Annotator) JSON: what its exports say, and files that it and its readers take.

Read: the project (`_via_img_metadata`) and the annotations export, regions as a dict (1.x) or a
list (2.x). Written: the annotations export of 2.x, which Mask R-CNN's sample code reads too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammosono.appliance.values import Label
from mammosono.tools.prepare.entry import Entry
from mammosono.tools.prepare.item import Region


@dataclass(frozen=True, slots=True)
class ViaImage:
    """filename: as annotated, relative or an address. attributes: of the file."""

    filename: str
    regions: tuple[Region, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ViaFile:
    """folder: where the project looks for its pictures (default_filepath), may be empty.
    broken: keys of entries that are none."""

    images: tuple[ViaImage, ...]
    folder: str
    broken: tuple[str, ...]


def read_via(path: Path) -> ViaFile:
    """Raises ValueError if the file is no VIA export; OSError."""
    try:
        document = json.loads(path.read_text("utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the VIA file is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the VIA file is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("the VIA file must hold an object; export it as JSON from VIA")
    folder = ""
    if "_via_img_metadata" in document:
        core = _mapping(_mapping(document.get("_via_settings")).get("core"))
        folder = str(core.get("default_filepath", ""))
        document = _mapping(document["_via_img_metadata"])
    images, broken = [], []
    for key, value in document.items():
        image = _image(value)
        if image:
            images.append(image)
        else:
            broken.append(key)
    if not images:
        raise ValueError("the VIA file names no picture; export its annotations as JSON from VIA")
    return ViaFile(tuple(images), folder, tuple(broken))


def region_label(attributes: Mapping[str, Any]) -> Label | None:
    """The lesion's label among free attributes, as a word or a ticked box; None if there is none
    or more than one."""
    words = set(_words(attributes))
    found = [label for label in Label if label.value in words]
    return found[0] if len(found) == 1 else None


def is_normal(attributes: Mapping[str, Any]) -> bool:
    return "normal" in set(_words(attributes))


def write_via(path: Path, entries: Iterable[tuple[Entry, str]]) -> None:
    """Pictures with their splits, one VIA entry each; pictures without a region stay, to be
    annotated. Raises OSError."""
    document = {}
    for entry, split in entries:
        document[f"{entry.image}{entry.sizes[0]}"] = {
            "filename": entry.image,
            "size": entry.sizes[0],
            "regions": [region for lesion in entry.lesions for region in lesion.regions],
            "file_attributes": {
                "label": entry.label,
                "modality": entry.modality,
                "case": entry.case,
                "source": entry.source,
                "licence": entry.licence,
                "split": split,
            },
        }
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def _image(value: Any) -> ViaImage | None:
    if not isinstance(value, dict) or not isinstance(value.get("filename"), str):
        return None
    regions = value.get("regions") or []
    if isinstance(regions, dict):
        regions = list(regions.values())
    if not isinstance(regions, list):
        return None
    return ViaImage(value["filename"], tuple(regions), _mapping(value.get("file_attributes")))


def _words(attributes: Mapping[str, Any]) -> Iterator[str]:
    for value in attributes.values():
        if isinstance(value, str):
            yield value.strip().lower()
        elif isinstance(value, dict):
            yield from (
                str(word).strip().lower() for word, ticked in value.items() if ticked is True
            )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
