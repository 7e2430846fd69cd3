"""Which files of a hot folder belong together: by what DICOM says, else by name."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from files import PATIENT, dicom, picture, png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from mammosono.appliance.errors import PatientsDiffer
from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.study import study_cautions
from mammosono.appliance.values import Modality
from mammosono.appliance.workstation.listing import sha256_of
from mammosono.appliance.workstation.pairing import (
    SEVERAL_PAIRS,
    SEVERAL_PEOPLE,
    SEVERAL_WORDS,
    describe,
    group_files,
)

# pydicom warns of dates in an old form, which are drawn here.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR DA")

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
    assert (one.key, one.paired, strangers) == (key, True, {})
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


def study_id(folder: Path) -> str:
    (one,) = group_files(folder.iterdir())[0]
    return one.study_id(one.digest(sha256_of))


def test_the_study_id_is_that_of_the_bytes_and_not_of_the_names(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder, key in zip(folders, ("one", "two"), strict=True):
        folder.mkdir()
        (folder / f"{key}_mg.png").write_bytes(b"film")
        (folder / f"{key}_us.png").write_bytes(b"scan")
    ids = {study_id(folder) for folder in folders}
    assert len(ids) == 1
    (folders[0] / "one_us.png").write_bytes(b"another scan")
    assert study_id(folders[0]) not in ids


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
    assert strangers == {}
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
    assert list(group_files(tmp_path.iterdir())[1]) == [tmp_path / "a"]


def test_png_in_a_dicom_name_is_paired_by_name(tmp_path: Path) -> None:
    (tmp_path / "k_mg.dcm").write_bytes(png(picture()))
    assert group_files(tmp_path.iterdir())[0][0].key == "k"


# Whose it is


def person(**elements: str) -> dict[str, str]:
    """Elements of a patient whose ID is the device's default."""
    return {"PatientID": "0", "StudyDate": "20260102", "PatientName": "Doe^Jane", **elements}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"PatientName": "Doe^Jane"}, {"PatientName": "Roe^Joan"}),
        ({"PatientName": "=山田^花子"}, {"PatientName": "=佐藤^花子"}),
        ({"PatientBirthDate": "19610203"}, {"PatientBirthDate": "19610204"}),
        ({"PatientSex": "F"}, {"PatientSex": "M"}),
        ({"IssuerOfPatientID": "North"}, {"IssuerOfPatientID": "South"}),
        (
            {"PatientID": "1", "StudyDate": "", "StudyInstanceUID": "1.2"},
            {"PatientID": "2", "StudyDate": "", "StudyInstanceUID": "1.2"},
        ),
    ],
)
def test_two_people_under_one_patient_id_and_date_are_no_pair(
    tmp_path: Path, one: dict[str, str], other: dict[str, str]
) -> None:
    utf8 = {"SpecificCharacterSet": "ISO_IR 192"}
    (tmp_path / "a.dcm").write_bytes(dicom(picture(), modality="MG", **utf8, **person(**one)))
    (tmp_path / "b.dcm").write_bytes(dicom(picture(), modality="US", **utf8, **person(**other)))
    (group,), _ = group_files(tmp_path.iterdir())
    assert group.left == SEVERAL_PEOPLE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"PatientName": "DOE^JANE^^"}, {"PatientName": "Doe^Jane^^Dr"}),
        ({"PatientName": "Doe Jane"}, {"PatientName": "Doe^Jane=山田^花子"}),
        ({"PatientName": ""}, {"PatientName": "Roe^Joan"}),
        ({"PatientBirthDate": "1961.02.03"}, {"PatientBirthDate": "19610203"}),
        ({"PatientSex": "F"}, {"PatientSex": ""}),
        ({"IssuerOfPatientID": "North "}, {"IssuerOfPatientID": "NORTH"}),
        ({"StudyDate": "2026.01.02"}, {"StudyDate": "20260102"}),
    ],
)
def test_one_person_written_in_two_ways_is_a_pair(
    tmp_path: Path, one: dict[str, str], other: dict[str, str]
) -> None:
    utf8 = {"SpecificCharacterSet": "ISO_IR 192"}
    (tmp_path / "a.dcm").write_bytes(dicom(picture(), modality="MG", **utf8, **person(**one)))
    (tmp_path / "b.dcm").write_bytes(dicom(picture(), modality="US", **utf8, **person(**other)))
    (group,), _ = group_files(tmp_path.iterdir())
    assert (group.paired, group.left) == (True, None)


def other_id(number: str) -> Dataset:
    item = Dataset()
    item.PatientID = number
    return item


STATED = {
    "PatientID": ["4711", "47-11", "004711", "4712", "0", "UNKNOWN", ""],
    "IssuerOfPatientID": ["North", "NORTH ", "South", None],
    "OtherPatientIDsSequence": [[other_id("4712")], None],
    "PatientName": [
        "Doe^Jane", "DOE^JANE^^Dr", "Doe^J", "Smith^Jane", "Smith^Mary", "Doe", "Müller^Jörg",
        "MUELLER^JOERG", "Yamada^Hanako=山田^花子", "=山田^花子", "ANON", "",
    ],
    "PatientBirthDate": ["19610203", "1961.02.03", "19610204", "19000101", ""],
    "PatientSex": ["F", "f", "M", "O", ""],
    "AccessionNumber": ["A-4711", ""],
}  # fmt: skip
HEADERS = st.fixed_dictionaries({word: st.sampled_from(said) for word, said in STATED.items()})


@given(HEADERS, HEADERS)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_folder_and_appliance_judge_any_two_headers_alike(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any]
) -> None:
    """But for one ID of two issuers: it is all that puts the files together."""
    utf8 = {"SpecificCharacterSet": "ISO_IR 192"}
    films = [picture(), picture(96, 192)]
    for name, modality, header, grey in zip("ab", ("MG", "US"), (one, other), films, strict=True):
        with disable_value_validation():
            data = dicom(grey, modality=modality, StudyInstanceUID="1.2", **utf8, **header)
        (tmp_path / name).write_bytes(data)
    (group,), _ = group_files([tmp_path / "a", tmp_path / "b"])
    images = [read_image(path.read_bytes(), modality) for modality, path in group.files]
    try:
        study_cautions(images)
        refused = False
    except PatientsDiffer:
        refused = True
    issuers = {header["IssuerOfPatientID"] for header in (one, other)} - {None}
    two_issuers = len({issuer.strip().lower() for issuer in issuers}) > 1
    assert (group.left == SEVERAL_PEOPLE) == (refused or two_issuers)


@pytest.mark.parametrize("written", ["47-11a", "004711A", "4711a "])
def test_an_id_written_in_two_ways_is_one_and_the_answer_has_its_name_as_before(
    tmp_path: Path, written: str
) -> None:
    save(tmp_path / "a", "MG", "4711A", "20260102", "1.2.3")
    save(tmp_path / "b", "US", written, "20260102", "1.2.4")
    (group,), _ = group_files(tmp_path.iterdir())
    assert (group.paired, group.left) == (True, None)
    assert group.key == f"dicom-{hashlib.sha256(b'4711A 20260102').hexdigest()[:16]}"


def test_nothing_that_is_compared_can_be_printed(tmp_path: Path) -> None:
    save(tmp_path / "a", "MG", PATIENT, "20260102", "1.2.3")
    assert PATIENT not in repr(describe(tmp_path / "a"))
    assert "1.2.3" not in repr(describe(tmp_path / "a"))


@pytest.mark.parametrize(
    "name", ["scan_us_army_mg.png", "us_mg.png", "4711_mg_us.jpg", "scan_us_army_4711_us.png"]
)
def test_a_name_with_several_words_for_a_test_is_left(tmp_path: Path, name: str) -> None:
    groups, left = group_files(touch(tmp_path, name))
    assert groups == []
    assert left == {tmp_path / name: SEVERAL_WORDS}


def test_a_key_too_long_for_the_name_of_its_answer_is_left(tmp_path: Path) -> None:
    groups, left = group_files(touch(tmp_path, f"{'k' * 240}_mg.png"))
    assert (groups, len(left)) == ([], 1)


@pytest.mark.parametrize("size", [0, 131, 200, 260, 330])
def test_a_dicom_file_that_is_cut_off_says_nothing(tmp_path: Path, size: int) -> None:
    whole = dicom(picture(), modality="MG", PatientID="P", StudyDate="20260102")
    (tmp_path / "a").write_bytes(whole[:size])
    assert group_files(tmp_path.iterdir())[0] == []


@pytest.mark.parametrize("kilobytes", [64, 1024, 1 << 16])
def test_a_header_that_would_unfold_is_not_unfolded(tmp_path: Path, kilobytes: int) -> None:
    def deflate(ds: FileDataset) -> None:
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        ds.PixelData = bytes(kilobytes << 10)

    (tmp_path / "a").write_bytes(dicom(picture(), deflate, modality="MG"))
    tracemalloc.start()
    try:
        assert group_files(tmp_path.iterdir())[0] == []
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# Over days


def visits(folder: Path, *days: str, patient: str = "P1", **elements: str) -> None:
    """Files of a patient, each named by its test and date: `MG-20260102`."""
    for day in days:
        test, date = day.split("-")
        told = {"PatientID": patient, "StudyDate": date, "PatientName": "Doe^Jane", **elements}
        (folder / f"{patient}-{day}").write_bytes(dicom(picture(), modality=test, **told))


def grouped(folder: Path, pair_days: int) -> list[tuple[list[str], str | None]]:
    """Tests and dates of each group, and why it is left."""
    groups, _ = group_files(folder.iterdir(), pair_days)
    named = [([path.name[3:] for _, path in one.files], one.left) for one in groups]
    return sorted(named, key=lambda each: each[0])


def test_tests_of_different_days_are_a_pair_only_where_that_is_asked(tmp_path: Path) -> None:
    visits(tmp_path, "MG-20251230", "US-20260102")
    mammogram, ultrasound = (["MG-20251230"], None), (["US-20260102"], None)
    assert grouped(tmp_path, 0) == [mammogram, ultrasound]
    assert grouped(tmp_path, 2) == [mammogram, ultrasound]
    assert grouped(tmp_path, 3) == [(["MG-20251230", "US-20260102"], None)]


@pytest.mark.parametrize(
    "days",
    [
        ("MG-20260101", "US-20260102", "US-20260103"),
        ("MG-20260101", "US-20260103", "MG-20260105"),
        ("MG-20260101", "US-20260103", "MG-20260105", "US-20260107"),
    ],
)
def test_several_ways_to_pair_are_left(tmp_path: Path, days: tuple[str, ...]) -> None:
    visits(tmp_path, *days)
    ((files, left),) = grouped(tmp_path, 3)
    assert (sorted(files), left) == (sorted(days), SEVERAL_PAIRS)


def test_a_pair_of_one_date_stands_whatever_lies_near(tmp_path: Path) -> None:
    visits(tmp_path, "MG-20260101", "US-20260101", "US-20260102")
    assert grouped(tmp_path, 3) == [
        (["MG-20260101", "US-20260101"], None),
        (["US-20260102"], None),
    ]
    visits(tmp_path, "MG-20260103")  # of which day is the ultrasound of the second?
    assert grouped(tmp_path, 3) == [
        (["MG-20260101", "US-20260101"], None),
        (["MG-20260103", "US-20260102"], SEVERAL_PAIRS),
    ]


def test_days_never_pair_two_patients_or_what_has_no_date(tmp_path: Path) -> None:
    visits(tmp_path, "MG-20260101", "US-2026")
    visits(tmp_path, "US-20260102", patient="P2")
    assert [len(files) for files, _ in grouped(tmp_path, 9)] == [1, 1, 1]
    visits(tmp_path, "US-20260103", PatientName="Roe^Joan")
    assert (["MG-20260101", "US-20260103"], SEVERAL_PEOPLE) in grouped(tmp_path, 9)
