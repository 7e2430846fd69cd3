"""Which files of a hot folder belong together: by what DICOM says, else by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from files import PATIENT, dicom, picture, png

from mammosono.appliance.values import Modality
from mammosono.appliance.workstation.pairing import group_files

MG, US = Modality.MG, Modality.US


def touch(folder: Path, *names: str) -> list[Path]:
    for k, name in enumerate(names):
        (folder / name).write_bytes(b"%d" % k)
    return list(folder.iterdir())


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("4711_mg.png", "4711_us.png"), "4711"),
        (("4711-MG.PNG", "4711 ultrasound 2.jpg"), "4711"),
        (("a.b.mammogram.tif", "a-b-us.tiff"), "a-b"),
        (("musgrave_mammo.png", "musgrave_sono.png"), "musgrave"),
    ],
)
def test_names_pair_by_what_stands_before_the_test(
    tmp_path: Path, names: tuple[str, str], key: str
) -> None:
    (one,), strangers = group_files(touch(tmp_path, *names))
    assert (one.key, one.paired, strangers) == (key, True, [])
    assert [modality for modality, _ in one.files] == [MG, US]
    assert [path.name for _, path in one.files] == list(names)


@pytest.mark.parametrize("name", ["mg.png", "notes.txt", "4711_mg.txt", "muscle.png", "4711.png"])
def test_a_name_that_tells_no_test_or_no_key_belongs_to_none(tmp_path: Path, name: str) -> None:
    groups, strangers = group_files(touch(tmp_path, name))
    assert groups == []
    assert [path.name for path in strangers] == [name]


def test_several_images_of_a_test_keep_the_order_of_their_names(tmp_path: Path) -> None:
    (one,), _ = group_files(touch(tmp_path, "k_us_2.png", "k_mg_b.png", "k_us_1.png", "k_mg_a.png"))
    names = [path.name for _, path in one.files]
    assert names == ["k_mg_a.png", "k_mg_b.png", "k_us_1.png", "k_us_2.png"]


def test_the_study_id_is_that_of_the_bytes_and_not_of_the_names(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder, key in zip(folders, ("one", "two"), strict=True):
        folder.mkdir()
        (folder / f"{key}_mg.png").write_bytes(b"film")
        (folder / f"{key}_us.png").write_bytes(b"scan")
    ids = {group_files(folder.iterdir())[0][0].study_id for folder in folders}
    assert len(ids) == 1
    (folders[0] / "one_us.png").write_bytes(b"another scan")
    assert group_files(folders[0].iterdir())[0][0].study_id not in ids


def save(path: Path, modality: str, patient: str, date: str, study: str) -> None:
    told = {"PatientID": patient, "StudyDate": date, "StudyInstanceUID": study}
    path.write_bytes(dicom(picture(), modality=modality, **told))


def test_dicom_files_of_a_patient_and_a_day_are_a_pair_whatever_they_are_called(
    tmp_path: Path,
) -> None:
    save(tmp_path / "IM0001", "MG", "P1", "20260102", "1.2.3")
    save(tmp_path / "IM0002", "US", "P1", "20260102", "1.2.4")
    save(tmp_path / "IM0003", "US", "P2", "20260102", "1.2.5")
    save(tmp_path / "IM0004", "MG", "P1", "20260303", "1.2.6")
    groups, strangers = group_files(tmp_path.iterdir())
    assert strangers == []
    assert sorted(len(one.files) for one in groups) == [1, 1, 2]
    (pair,) = (one for one in groups if one.paired)
    assert [path.name for _, path in pair.files] == ["IM0001", "IM0002"]


def test_without_patient_or_date_the_study_itself_tells(tmp_path: Path) -> None:
    save(tmp_path / "a", "MG", "", "20260102", "1.2.3")
    save(tmp_path / "b", "US", "", "20260102", "1.2.3")
    save(tmp_path / "c", "US", "", "20260102", "1.2.4")
    groups, _ = group_files(tmp_path.iterdir())
    assert sorted(len(one.files) for one in groups) == [1, 2]


def test_the_key_of_a_dicom_group_does_not_tell_who_it_is(tmp_path: Path) -> None:
    save(tmp_path / "a", "MG", PATIENT, "20260102", "1.2.3")
    ((one,), _) = group_files(tmp_path.iterdir())
    assert PATIENT not in one.key
    assert "2026" not in one.key or one.key.startswith("dicom-")


def test_dicom_of_another_modality_is_left(tmp_path: Path) -> None:
    save(tmp_path / "a", "CT", "P1", "20260102", "1.2.3")
    assert group_files(tmp_path.iterdir())[1] == [tmp_path / "a"]


def test_png_in_a_dicom_name_is_paired_by_name(tmp_path: Path) -> None:
    (tmp_path / "k_mg.dcm").write_bytes(png(picture()))
    assert group_files(tmp_path.iterdir())[0][0].key == "k"
