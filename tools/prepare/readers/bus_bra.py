"""BUS-BRA (Gomez-Flores et al., Med Phys 2024): Images/bus_NNNN-s.png, Masks/mask_NNNN-s.png and
bus_data.csv with ID, Case, Pathology and more. A case has up to several views, one lesion each."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mammosono.appliance.values import Label, Modality
from mammosono.tools.prepare.files import read_lesion_mask, read_picture, safe_name, stamp_of
from mammosono.tools.prepare.item import Item, Loaded, Offer, Remark, SourceLesion

TABLE = "bus_data.csv"
_COLUMNS = ("ID", "Case", "Pathology")


def find(root: Path) -> list[Path]:
    return sorted(root.rglob(TABLE))[:1]


def offer(root: Path) -> Offer:
    """Raises ValueError if bus_data.csv is missing or lacks a column."""
    tables = find(root)
    if not tables:
        raise ValueError(f"{TABLE} is missing; give the folder that BUS-BRA was unpacked to")
    with tables[0].open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise ValueError(f"{TABLE} has no column {', '.join(lacking)}")
        rows = [{name: (row[name] or "").strip() for name in _COLUMNS} for row in reader]
    return Offer(len(rows), _items(tables[0].parent, rows))


def _items(folder: Path, rows: list[dict[str, str]]) -> Iterator[Item | Remark]:
    for row in rows:
        label = row["Pathology"].lower()
        if label not in [one.value for one in Label]:
            yield Remark("a pathology other than benign or malignant", row["ID"])
            continue
        name = Path(row["ID"]).name
        image = folder / "Images" / f"{name}.png"
        mask = folder / "Masks" / f"{name.replace('bus_', 'mask_', 1)}.png"
        if not image.is_file():
            yield Remark("the picture is missing", f"{name}.png")
            continue
        yield Item(
            name=safe_name(f"bus-bra/{name}"),
            modality=Modality.US,
            label=label,
            case=f"bus-bra {row['Case']}" if row["Case"] else safe_name(f"bus-bra/{name}"),
            source="BUS-BRA",
            licence="CC BY 4.0",
            split=None,
            stamp=stamp_of(image, mask),
            load=partial(_load, image, mask, Label(label)),
        )


def _load(image: Path, mask: Path, label: Label) -> Loaded:
    picture = read_picture(image, Modality.US)
    lesion = SourceLesion(label, read_lesion_mask(mask, picture.pixels.shape, mask.name))
    return Loaded(picture, (lesion,))
