"""Each data set's layout, made as its original is: what is read, what is skipped, and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import prepare_layouts as layouts
import pytest
from prepare_runs import prepared, reasons

from mammosono.appliance.intake import read_image
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import read_index
from mammosono.tools.data.sample import load_sample
from mammosono.tools.data.truth import union_mask
from mammosono.tools.prepare.readers import Layout
from mammosono.tools.prepare.readers.detect import offer

BUSI = Path("Dataset_BUSI_with_GT")

# Kaggle DDSM


def tiles(folder: Path, count: int = 10) -> Path:
    """Two files of half the tiles each, labels 0 to 4 in turn."""
    records = [layouts.tile_record(k, k % 5) for k in range(count)]
    for k, part in enumerate((records[: count // 2], records[count // 2 :])):
        layouts.write_tfrecords(folder / f"training10_{k}" / f"training10_{k}.tfrecords", part)
    return folder


def test_ddsm_tiles_become_pngs_with_a_label_and_no_place(tmp_path: Path) -> None:
    run = prepared(tmp_path / "out", tiles(tmp_path / "ddsm"))
    records = read_index(run.index)
    labels = ["normal", "benign", "benign", "malignant", "malignant"]
    assert [record.label for record in records] == labels * 2
    assert {record.source for record in records} == {"DDSM"}
    for k, record in enumerate(records):
        stored = cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(stored, layouts.tile(k))
        assert record.modality is Modality.MG
        assert record.abnormal_without_location == (record.label != "normal")
    assert run.progress[-1] == ("ddsm", 10, 10)


def test_a_tile_may_be_a_png_file_in_its_record(tmp_path: Path) -> None:
    _, png = cv2.imencode(".png", layouts.tile(3))
    record = layouts.tile_record(3, 3, image=png.tobytes())
    path = layouts.write_tfrecords(tmp_path / "a.tfrecords", [record])
    (record,) = read_index(prepared(tmp_path / "out", path).index)
    assert np.array_equal(cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED), layouts.tile(3))


def test_every_damaged_record_is_one_line_and_the_rest_is_read(tmp_path: Path) -> None:
    records = [
        layouts.tile_record(0, 0),
        layouts.tile_record(1, 1),
        layouts.tile_record(2, 7),
        layouts.tile_record(3, 3, label_normal=0),
        layouts.tile_record(4, 4, image=b"no picture"),
        layouts.example({"label": 1}),
        b"no message at all",
        layouts.tile_record(6, 1, image=bytes(299 * 299)),
        layouts.tile_record(7, 2),
    ]
    path = layouts.write_tfrecords(tmp_path / "training10_0.tfrecords", records)
    data = bytearray(path.read_bytes())
    data[len(layouts.framed(records[0])) + 5000] ^= 1  # in the second tile's pixels
    path.write_bytes(data)
    run = prepared(tmp_path / "out", path)
    names = [Path(record.name).stem for record in read_index(run.index)]
    assert names == ["training10_0-000000", "training10_0-000008"]
    assert reasons(run) == {
        "a record's checksum is wrong": 1,
        "a label other than 0 to 4": 1,
        "label and label_normal contradict each other": 1,
        "a tile is neither 299 x 299 bytes nor a picture file": 1,
        "a record without image or label": 1,
        "not a protobuf message": 1,
        "the image shows nothing": 1,
    }
    second = run.tally.remarks[0][1].what
    assert second == f"training10_0.tfrecords at byte {len(layouts.framed(records[0]))}"


def test_the_arrays_beside_the_records_are_val_and_test_if_the_split_is_kept(
    tmp_path: Path,
) -> None:
    root = tiles(tmp_path / "ddsm")
    for name, seed in (("cv10", 100), ("test10", 200)):
        stack = np.stack([layouts.tile(seed + k) for k in range(3)])[..., np.newaxis]
        np.save(root / f"{name}_data.npy", stack)
        np.save(root / f"{name}_labels.npy", np.array([0, 2, 4]))
    run = prepared(tmp_path / "out", root, keep_split=True)
    splits = {Path(r.name).stem.split("-")[0]: r.split for r in read_index(run.index)}
    assert splits == {
        "training10_0": "train", "training10_1": "train", "cv10": "val", "test10": "test",
    }  # fmt: skip
    (root / "cv10_labels.npy").unlink()
    assert reasons(prepared(tmp_path / "out", root)) == {"an array or its labels cannot be read": 1}


# BUSI


def test_busi_gives_each_lesion_its_mask_and_normal_pictures_none(tmp_path: Path) -> None:
    records = read_index(prepared(tmp_path / "out", layouts.make_busi(tmp_path / "busi")).index)
    assert [Path(r.name).stem for r in records] == [
        f"{label}_{k:04d}" for label in ("benign", "malignant", "normal") for k in (1, 2, 3)
    ]
    two = records[1]
    assert [mark.box for mark in two.lesions] == [(28, 38, 53, 63), (91, 21, 110, 40)]
    assert [lesion.label for lesion in two.lesions] == [Label.BENIGN] * 2
    mask = union_mask(two, (96, 128))
    assert mask is not None
    assert mask[50, 40]
    assert mask[30, 100]
    assert all(not r.masks and not r.lesions for r in records if r.label == "normal")
    assert {(r.source, r.licence, r.modality) for r in records} == {
        ("BUSI", "CC BY 4.0", Modality.US)
    }


def test_pictures_are_kept_byte_for_byte(tmp_path: Path) -> None:
    source = layouts.make_busi(tmp_path / "busi")
    record = read_index(prepared(tmp_path / "out", source).index)[0]
    assert record.image.read_bytes() == (source / BUSI / "benign/benign (1).png").read_bytes()


def test_what_is_wrong_in_busi_costs_its_picture_alone(tmp_path: Path) -> None:
    source = layouts.make_busi(tmp_path / "busi")
    benign, malignant = source / BUSI / "benign", source / BUSI / "malignant"
    (benign / "benign (1)_mask.png").unlink()
    (benign / "benign (2).png").write_bytes(b"")
    layouts.save(benign / "benign (3)_mask.png", np.zeros((96, 128), np.uint8))
    layouts.save(malignant / "malignant (1)_mask.png", layouts.disc(50, 50, 20, 20, 5))
    whole = (malignant / "malignant (2)_mask.png").read_bytes()
    (malignant / "malignant (2)_mask.png").write_bytes(whole[: len(whole) // 2])
    layouts.save(source / BUSI / "normal/normal (1)_mask.png", layouts.disc(96, 128, 40, 40, 5))
    layouts.save(source / BUSI / "normal/normal (9)_mask.png", np.zeros((96, 128), np.uint8))
    run = prepared(tmp_path / "out", source)
    assert [Path(r.name).stem for r in read_index(run.index)] == [
        "malignant_0003", "normal_0002", "normal_0003",
    ]  # fmt: skip
    assert {(one.what, one.reason) for _, one in run.tally.remarks} == {
        ("benign (1).png", "the mask is missing"),
        ("busi/benign_0002", "the file is empty"),
        ("benign (3)_mask.png", "the mask is empty"),
        ("malignant (1)_mask.png", "the mask is of another size than the picture"),
        ("malignant (2)_mask.png", "the mask is damaged"),
        ("normal (1)_mask.png", "a normal picture has a mask that is not empty"),
        ("normal (9)_mask.png", "a mask without its picture"),
    }
    lines = (tmp_path / "out" / "skipped.csv").read_text().splitlines()
    assert len(lines) == 1 + len(run.tally.remarks)


# BUS-BRA


def test_bus_bra_groups_a_cases_views(tmp_path: Path) -> None:
    run = prepared(tmp_path / "out", layouts.make_bus_bra(tmp_path / "bus"))
    left, right, other = read_index(run.index)
    assert (left.label, right.label, other.label) == ("benign", "benign", "malignant")
    assert left.case == right.case != other.case
    assert left.split == right.split
    assert len(left.masks) == 1
    assert left.lesions[0].box == (28, 38, 53, 63)


def test_what_is_wrong_in_bus_bra_costs_its_picture_alone(tmp_path: Path) -> None:
    source = layouts.make_bus_bra(tmp_path / "bus")
    (source / "BUSBRA/Masks/mask_0001-l.png").unlink()
    (source / "BUSBRA/Images/bus_0001-r.png").unlink()
    with (source / "BUSBRA/bus_data.csv").open("a") as file:
        file.write("bus_0003-l,3,Cyst,unknown,2,GE,128,96,left,\n")
    run = prepared(tmp_path / "out", source)
    assert len(read_index(run.index)) == 1
    assert reasons(run) == {
        "the mask is missing": 1,
        "the picture is missing": 1,
        "a pathology other than benign or malignant": 1,
    }
    (source / "BUSBRA/bus_data.csv").write_text("ID,Case\nbus_0001-l,1\n")
    with pytest.raises(ValueError, match="has no column Pathology"):
        offer(source, Layout.AUTO, None)


# mini-MIAS


def test_mias_circles_count_from_the_bottom_of_the_film(tmp_path: Path) -> None:
    run = prepared(tmp_path / "out", layouts.make_mias(tmp_path / "mias"))
    records = {Path(r.name).stem: r for r in read_index(run.index)}
    assert len(records) == 7
    (mark,) = records["mdb001"].lesions
    assert mark.box == (53 - 19, 128 - 42 - 19, 53 + 19, 128 - 42 + 19)
    assert mark.is_circle
    assert records["mdb003"].label == "normal"
    assert len(records["mdb005"].lesions) == 2
    assert [one.label for one in records["mdb144"].lesions] == [Label.BENIGN, Label.MALIGNANT]
    assert records["mdb144"].label == "malignant"
    assert records["mdb059"].abnormal_without_location
    assert reasons(run, "noted") == {
        "a finding without coordinates: kept as abnormal, not located": 1
    }
    stored = cv2.imread(str(records["mdb001"].image), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, layouts.scene(201, 128, 128))


def test_both_breasts_of_a_woman_are_one_case(tmp_path: Path) -> None:
    run = prepared(tmp_path / "out", layouts.make_mias(tmp_path / "mias"))
    cases = {Path(r.name).stem: r.case for r in read_index(run.index)}
    assert cases["mdb001"] == cases["mdb002"] != cases["mdb003"]
    assert cases["mdb003"] == cases["mdb004"] != cases["mdb005"]


def test_what_is_wrong_in_mias_costs_its_film_alone(tmp_path: Path) -> None:
    source = layouts.make_mias(tmp_path / "mias")
    (source / "mdb001.pgm").unlink()
    whole = (source / "mdb003.pgm").read_bytes()
    (source / "mdb003.pgm").write_bytes(whole[:5000])
    with (source / "Info.txt").open("a") as file:
        file.write("mdb002 G CIRC X 1 2\nmdb007 G CIRC M 900 900 10\n")
    layouts.save(source / "mdb007.pgm", layouts.scene(7, 128, 128))
    run = prepared(tmp_path / "out", source)
    names = [Path(r.name).stem for r in read_index(run.index)]
    assert names == ["mdb004", "mdb005", "mdb007", "mdb059", "mdb144"]
    assert reasons(run) == {
        "a row of Info.txt that cannot be read": 1,
        "the film is missing": 1,
        "a damaged film": 1,
    }
    assert reasons(run, "noted") == {
        "a finding without coordinates: kept as abnormal, not located": 2
    }


# The project's own index


def index_source(folder: Path) -> Path:
    for k, name in enumerate(("one", "two", "three", "four")):
        layouts.save(folder / "us" / f"{name}.jpg", layouts.scene(10 + k))
    layouts.save(folder / "us/one_mask.png", layouts.disc(96, 128, 40, 50, 12) // 255)
    return layouts.make_index(
        folder,
        (
            'ultrasound,benign,us/one.jpg,us/one_mask.png,"box:28,38,25.5,25:benign",c1,Mine,test',
            'ultrasound,malignant,us/two.jpg,,"circle:50.25,40,9:malignant",c2,Mine,train',
            "ultrasound,normal,us/three.jpg,,,c3,Mine,val",
            "ultrasound,normal,us/gone.jpg,,,c4,Mine,train",
            "ultrasound,benign,us/four.jpg,us/lost.png,,c5,Mine,train",
        ),
    )


def test_an_index_keeps_marks_and_on_demand_its_split(tmp_path: Path) -> None:
    source = index_source(tmp_path / "mine")
    run = prepared(tmp_path / "out", source, keep_split=True)
    one, three, two = read_index(run.index)
    assert [(r.name, r.split) for r in (one, two, three)] == [
        ("images/us/one.jpg", "test"), ("images/us/two.jpg", "train"),
        ("images/us/three.jpg", "val"),
    ]  # fmt: skip
    assert one.lesions[0].box == (28, 38, 53.5, 63)
    assert two.lesions[0].box == (41.25, 31, 59.25, 49)
    assert two.lesions[0].is_circle
    mask = union_mask(one, (96, 128))
    assert mask is not None
    assert mask.sum() == (layouts.disc(96, 128, 40, 50, 12) > 0).sum()
    stored = cv2.imread(str(one.masks[0]), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(stored)) == {0, 255}
    assert reasons(run) == {"the picture is missing": 1, "the mask is missing": 1}


def test_a_prepared_set_prepared_again_is_the_same_set(tmp_path: Path) -> None:
    first = prepared(tmp_path / "once", layouts.make_busi(tmp_path / "busi"))
    again = prepared(tmp_path / "twice", tmp_path / "once", layout=Layout.INDEX)
    assert (tmp_path / "once" / "index.csv").read_bytes() == again.index.read_bytes()
    assert first.prepared.split == again.prepared.split


@pytest.mark.parametrize("kind", ["busi", "cbis", "mias"])
def test_training_and_the_device_read_what_was_prepared(tmp_path: Path, kind: str) -> None:
    if kind == "busi":
        source = layouts.make_busi(tmp_path / kind)
    elif kind == "mias":
        source = layouts.make_mias(tmp_path / kind)
    else:
        cbis = layouts.Cbis(tmp_path / kind)
        film = layouts.scene(300, 200, 150, 65536)
        cbis.film("P_00001", "LEFT_CC", film, [layouts.disc(200, 150, 70, 90, 15)])
        source = cbis.tables()
    for record in read_index(prepared(tmp_path / "out", source).index):
        sample = load_sample(record, (96, 64), denoised=False)
        assert len(sample.lesions) == len(record.lesions)
        image = read_image(record.image.read_bytes(), record.modality)
        assert image.bits == (16 if kind == "cbis" else 8)


# Which layout it is


def test_every_layout_is_recognised_and_several_sources_make_one_set(tmp_path: Path) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    film = layouts.scene(300, 200, 150, 65536)
    cbis.film("P_00001", "LEFT_CC", film, [layouts.disc(200, 150, 70, 90, 15)])
    sources = (
        tiles(tmp_path / "ddsm"),
        layouts.make_busi(tmp_path / "busi"),
        layouts.make_bus_bra(tmp_path / "bus"),
        cbis.tables(),
        layouts.make_mias(tmp_path / "mias"),
        index_source(tmp_path / "mine"),
    )
    run = prepared(tmp_path / "out", *sources)
    assert {record.source for record in read_index(run.index)} == {
        "DDSM", "BUSI", "BUS-BRA", "CBIS-DDSM", "mini-MIAS", "Mine",
    }  # fmt: skip


def test_two_sources_with_a_picture_of_one_name_keep_the_first(tmp_path: Path) -> None:
    source = layouts.make_busi(tmp_path / "busi")
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    run = prepared(tmp_path / "out", source, copy)
    assert reasons(run) == {"another picture has this name": 9}
    assert len(read_index(run.index)) == 9


def test_a_source_of_no_known_layout_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no known layout; name it with --format: ddsm-"):
        offer(tmp_path, Layout.AUTO, None)
    with pytest.raises(ValueError, match="is not there"):
        offer(tmp_path / "nowhere", Layout.AUTO, None)
    for layout, complaint in (
        (Layout.BUS_BRA, "bus_data.csv is missing"),
        (Layout.CBIS_DDSM, "no case table"),
        (Layout.MINI_MIAS, "Info.txt is missing"),
    ):
        with pytest.raises(ValueError, match=complaint):
            offer(tmp_path, layout, None)
