"""Real pictures in their original layouts, where the data lies beside the repository."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import prepare_layouts as layouts
import pytest
from prepare_runs import prepared, reasons

from mammosono.appliance.intake import read_image
from mammosono.appliance.values import Modality
from mammosono.tools.data.index import Record, read_index, select
from mammosono.tools.data.truth import union_mask

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not (DATA / "index.csv").is_file(), reason="the real pictures are not beside the repository"
)


def some(source: str, count: int, label: str | None = None) -> list[Record]:
    records = select(read_index(DATA / "index.csv"), sources=(source,))
    return [record for record in records if label in (None, record.label)][:count]


def grey(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def test_the_index_of_the_real_data_is_read_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "part"
    chosen = [*some("BUSI", 8), *some("CBIS-DDSM", 3), *some("mini-MIAS", 3)]
    names = {record.name for record in chosen}
    with (DATA / "index.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if row[2] in names]
    source.mkdir()
    for folder in ("ultrasound", "mammogram"):
        (source / folder).symlink_to(DATA / folder)
    with (source / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *kept])
    run = prepared(tmp_path / "out", source, keep_split=True)
    assert not reasons(run)
    found = {record.name.removeprefix("images/"): record for record in read_index(run.index)}
    assert set(found) == names
    for record in chosen:
        new = found[record.name]
        assert (new.label, new.source, new.split) == (record.label, record.source, record.split)
        assert new.lesions == record.lesions
        size = grey(record.image).shape
        old, again = union_mask(record, size), union_mask(new, size)
        assert old is None if again is None else np.array_equal(old, again)


def test_real_busi_pictures_in_their_first_layout(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset_BUSI_with_GT"
    chosen = [one for label in ("benign", "malignant", "normal") for one in some("BUSI", 4, label)]
    for record in chosen:
        stem = f"{record.label} ({int(record.image.stem.split('_')[1])})"
        layouts.save(folder / record.label / f"{stem}.png", grey(record.image))
        for k, mask in enumerate(record.masks):
            suffix = f"_{k}" if k else ""
            layouts.save(folder / record.label / f"{stem}_mask{suffix}.png", grey(mask))
    run = prepared(tmp_path / "out", tmp_path)
    assert not reasons(run)
    found = {Path(record.name).stem: record for record in read_index(run.index)}
    assert len(found) == len(chosen)
    for record in chosen:
        label, number = record.image.stem.split("_")
        new = found[f"{label}_{int(number):04d}"]
        size = grey(record.image).shape
        old, again = union_mask(record, size), union_mask(new, size)
        assert old is None if again is None else np.array_equal(old, again)


def test_real_mias_films_in_their_first_layout(tmp_path: Path) -> None:
    lines = []
    chosen = [one for label in ("benign", "normal") for one in some("mini-MIAS", 3, label)]
    for record in chosen:
        layouts.save(tmp_path / "mias" / f"{record.image.stem}.pgm", grey(record.image))
        height = grey(record.image).shape[0]
        for one in record.lesions:
            x, y = (one.box[0] + one.box[2]) / 2, (one.box[1] + one.box[3]) / 2
            radius = (one.box[2] - one.box[0]) / 2
            lines.append(
                f"{record.image.stem} G CIRC {one.label.value[0].upper()} "
                f"{x:.0f} {height - y:.0f} {radius:.0f}"
            )
        if record.label == "normal":
            lines.append(f"{record.image.stem} D NORM")
    (tmp_path / "mias" / "Info.txt").write_text("\n".join(lines))
    run = prepared(tmp_path / "out", tmp_path / "mias")
    found = {Path(record.name).stem: record for record in read_index(run.index)}
    located = [record for record in chosen if record.lesions or record.label == "normal"]
    assert {Path(r.name).stem: r.lesions for r in located} == {
        name: found[name].lesions for name in (record.image.stem for record in located)
    }


def test_real_cbis_films_keep_their_sixteen_bits(tmp_path: Path) -> None:
    """Real headers and pixels; the masks are drawn."""
    cbis = layouts.Cbis(tmp_path / "cbis", "date")
    views = {"LEFT_CC": "rle16", "LEFT_MLO": "raw16", "RIGHT_CC": "j2k16", "RIGHT_MLO": "mono1"}
    expected = {}
    for view, kind in views.items():
        path = DATA / "dicom" / f"mg_cbis_P_00173_{view}_{kind}.dcm"
        image = read_image(path.read_bytes(), Modality.MG)
        expected[f"P_00173_{view}"] = image.pixels
        mask = layouts.disc(image.height, image.width, image.width / 3, image.height / 2, 20)
        cbis.film("P_00173", view, image.pixels, [mask], swapped=view == "LEFT_CC")
        (stored,) = (cbis.root / "CBIS-DDSM" / f"Mass-Training_P_00173_{view}").rglob("*.dcm")
        stored.write_bytes(path.read_bytes())
    run = prepared(tmp_path / "out", cbis.tables())
    assert not reasons(run)
    records = read_index(run.index)
    assert len(records) == 4
    assert len({record.split for record in records}) == 1
    for record in records:
        pixels = cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint16
        assert np.array_equal(pixels, expected[Path(record.name).stem])
