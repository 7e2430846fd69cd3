"""The index of labelled images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import (
    BadIndex,
    LesionMark,
    read_index,
    select,
    sources_to_learn_from,
    split_hash,
)

HEADER = "modality,label,image,mask,annotation,patient_or_case,source,split"
ROWS = (
    'mammogram,malignant,mg/a.jpg,mg/a_mask.png;mg/a_mask_1.png,"box:10,20,30.5,40:malignant;'
    'box:1,2,3,4:malignant",P_1,CBIS-DDSM,train',
    'mammogram,malignant,mg/b.jpg,,"circle:233,30,29:benign;circle:313,484,27:malignant",m1,'
    "mini-MIAS,val",
    "mammogram,malignant,mg/c.jpg,,,m2,mini-MIAS,test",
    "ultrasound,normal,us/d.jpg,,,u1,BUSI,test",
)


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "index.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def test_a_box_row_gives_paths_below_the_index_and_half_open_corners(tmp_path: Path) -> None:
    record = read_index(write(tmp_path, *ROWS))[0]
    assert record.modality is Modality.MG
    assert record.image == tmp_path / "mg/a.jpg"
    assert record.masks == (tmp_path / "mg/a_mask.png", tmp_path / "mg/a_mask_1.png")
    assert record.lesions == (
        LesionMark(Label.MALIGNANT, (10.0, 20.0, 40.5, 60.0)),
        LesionMark(Label.MALIGNANT, (1.0, 2.0, 4.0, 6.0)),
    )
    assert (record.case, record.source, record.split) == ("P_1", "CBIS-DDSM", "train")


def test_a_circle_becomes_the_square_around_it_and_keeps_its_own_label(tmp_path: Path) -> None:
    record = read_index(write(tmp_path, *ROWS))[1]
    assert record.lesions == (
        LesionMark(Label.BENIGN, (204.0, 1.0, 262.0, 59.0), is_circle=True),
        LesionMark(Label.MALIGNANT, (286.0, 457.0, 340.0, 511.0), is_circle=True),
    )


def test_only_an_unlocated_lesion_is_abnormal_without_location(tmp_path: Path) -> None:
    records = read_index(write(tmp_path, *ROWS))
    assert [record.abnormal_without_location for record in records] == [False, False, True, False]


def test_select_joins_its_criteria_with_and(tmp_path: Path) -> None:
    records = read_index(write(tmp_path, *ROWS))
    assert select(records) == records
    assert select(records, split="test") == records[2:]
    assert select(records, split="test", modality=Modality.US) == records[3:]
    assert select(records, sources=("mini-MIAS", "BUSI"), modality=Modality.MG) == records[1:3]


def test_the_split_hash_is_of_names_and_splits_whatever_the_order_or_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "other").mkdir()
    records = read_index(write(tmp_path, *ROWS))
    elsewhere = read_index(write(tmp_path / "other", *reversed(ROWS)))
    lines = b"mg/a.jpg\ttrain\nmg/b.jpg\tval\nmg/c.jpg\ttest\nus/d.jpg\ttest\n"
    assert split_hash(records) == split_hash(elsewhere) == hashlib.sha256(lines).hexdigest()
    assert split_hash(records[1:]) != split_hash(records)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("xray,benign,a.jpg,,,c,s,test", "modality 'xray' is none of mammogram, ultrasound"),
        ("mammogram,cyst,a.jpg,,,c,s,test", "label 'cyst'"),
        ("mammogram,benign,a.jpg,,,c,s,dev", "split 'dev'"),
        ("mammogram,benign,,,,c,s,test", "image is empty"),
        ("mammogram,benign,a.jpg,,,,s,test", "patient_or_case is empty"),
        ("mammogram,benign,a.jpg,,,c,s", "8 fields"),
        ("mammogram,benign,a.jpg,,,c,s,test,more", "8 fields"),
        ("mammogram,benign,../a.jpg,,,c,s,test", "not a path below"),
        ("mammogram,benign,/a.jpg,,,c,s,test", "not a path below"),
        ("mammogram,benign,a.jpg,m.png;,,c,s,test", "'' is not a path"),
        ("mammogram,normal,a.jpg,m.png,,c,s,test", "neither mask nor annotation"),
        ('mammogram,benign,a.jpg,,"box:1,2,3:benign",c,s,test', "box takes 4 finite numbers"),
        ('mammogram,benign,a.jpg,,"box:1,2,3,nan:benign",c,s,test', "box takes 4 finite numbers"),
        ('mammogram,benign,a.jpg,,"box:1,2,3,0:benign",c,s,test', "above zero"),
        ('mammogram,benign,a.jpg,,"circle:1,2,x:benign",c,s,test', "could not convert"),
        ('mammogram,benign,a.jpg,,"oval:1,2,3:benign",c,s,test', "expected box"),
        ('mammogram,benign,a.jpg,,"box:1,2,3,4:normal",c,s,test', "expected box"),
        ("ultrasound,normal,us/d.jpg,,,u1,BUSI,test", "listed twice"),
        ("ultrasound,normal,us/e.jpg,,,u1,BUSI,val", "case u1 is in two splits"),
        ('"ultrasound"x,normal', "expected after"),
    ],
)
def test_a_malformed_row_is_one_line_that_names_it(
    tmp_path: Path, row: str, complaint: str
) -> None:
    path = write(tmp_path, *ROWS, row)
    with pytest.raises(BadIndex) as caught:
        read_index(path)
    message = str(caught.value)
    assert complaint in message
    assert message.startswith("index line 6: ")
    assert "\n" not in message


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadIndex, match="index line 1: the header must read modality,label"):
        read_index(write(tmp_path, header="modality,label,image"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_bytes(b"")
    with pytest.raises(BadIndex, match="index line 1: the header"):
        read_index(path)


def row(modality: str, name: str, source: str, split: str) -> str:
    return f"{modality},normal,{name}.jpg,,,{name},{source},{split}"


def test_a_run_learns_from_the_one_source_that_each_modality_has_and_is_told_of_several(
    tmp_path: Path,
) -> None:
    rows = [
        row("mammogram", "a", "films", "train"),
        row("mammogram", "b", "other films", "test"),
        row("ultrasound", "c", "scans", "train"),
    ]
    assert sources_to_learn_from(read_index(write(tmp_path, *rows))) == ("films", "scans")
    more = [*rows, row("ultrasound", "d", "more scans", "train")]
    with pytest.raises(ValueError, match="with --source: films, scans, more scans"):
        sources_to_learn_from(read_index(write(tmp_path, *more)))
    with pytest.raises(ValueError, match="no train image"):
        sources_to_learn_from(read_index(write(tmp_path, rows[1])))
