"""Whose picture it is, as two files say it, and whether they mean one woman."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from files import dicom, picture
from hypothesis import given
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from mammosono.appliance.identity import (
    Agreement,
    Identity,
    compare,
    name_of,
    same_name,
    under_two_ids,
)
from mammosono.appliance.intake import read_image
from mammosono.appliance.values import Modality

SAME, DIFFERENT, UNKNOWN = Agreement.SAME, Agreement.DIFFERENT, Agreement.UNKNOWN
GREY = picture()
DOE = {"PatientID": "4711", "PatientName": "Doe^Jane", "PatientBirthDate": "19610203",
       "PatientSex": "F", "IssuerOfPatientID": "CLINIC"}  # fmt: skip


def identity(**elements: Any) -> Identity:
    stated = {"PatientID": None, "PatientName": None} | elements
    with disable_value_validation():
        data = dicom(GREY, **stated)
    return read_image(data, Modality.US).identity


def item(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("other", "agreement"),
    [
        ({}, SAME),
        ({"PatientID": " 4711 "}, SAME),
        ({"PatientID": "004711"}, SAME),
        ({"PatientID": "4712"}, DIFFERENT),
        ({"PatientID": "4712", "IssuerOfPatientID": None}, DIFFERENT),
        ({"PatientID": "4712", "IssuerOfPatientID": "PRACTICE"}, SAME),
        (
            {"PatientID": "4712", "OtherPatientIDsSequence": [item(PatientID="4711")]},
            SAME,
        ),
        ({"PatientID": None}, SAME),
        ({"PatientID": "ANONYMOUS"}, SAME),
        ({"PatientName": "DOE^JANE"}, SAME),
        ({"PatientName": "Doe^Jane^^^ "}, SAME),
        ({"PatientName": "Doe^J"}, SAME),
        ({"PatientName": "Doe^Jane^Mary"}, SAME),
        ({"PatientName": "Doe, Jane"}, SAME),
        ({"PatientName": "Doe-Smith^Jane"}, SAME),
        ({"PatientID": "47-11"}, SAME),
        ({"PatientName": "Smith^Jane"}, SAME),  # married
        ({"PatientName": "Smith^Mary"}, DIFFERENT),
        ({"PatientName": "Smith^Jane", "PatientBirthDate": None}, DIFFERENT),
        ({"PatientName": "Smith^Mary", "PatientID": None}, DIFFERENT),
        ({"PatientName": "Doe^Mary", "PatientBirthDate": "19900101"}, DIFFERENT),
        ({"PatientBirthDate": "19610204"}, DIFFERENT),
        ({"PatientBirthDate": "1961.02.03"}, SAME),
        ({"PatientBirthDate": "19000101"}, SAME),
        ({"PatientBirthDate": "19611303"}, SAME),
        ({"PatientSex": "M"}, DIFFERENT),
        ({"PatientSex": "O"}, SAME),
        ({"PatientID": None, "PatientName": "Doe"}, UNKNOWN),
        ({"PatientID": None, "PatientName": None}, UNKNOWN),
        ({"PatientID": None, "PatientName": "ANON^ANON"}, UNKNOWN),
    ],
)
def test_another_file_is_of_the_same_woman_of_another_or_does_not_say(other, agreement):
    one, two = identity(**DOE), identity(**DOE | other)
    assert compare(one, two) is compare(two, one) is agreement


@pytest.mark.parametrize(
    ("other", "agreement"),
    [
        ({}, SAME),
        ({"PatientName": "DOE^JANE^MARY"}, SAME),
        ({"PatientName": "Doe^J"}, DIFFERENT),  # twins
        ({"PatientName": "Doe"}, DIFFERENT),
        ({"PatientName": "Smith^Jane"}, DIFFERENT),
        ({"PatientName": None}, DIFFERENT),
        ({"PatientName": "Doe^Jane", "PatientSex": "M"}, DIFFERENT),
        ({"PatientBirthDate": None}, DIFFERENT),
        ({"PatientBirthDate": "19610204"}, DIFFERENT),
        ({"PatientBirthDate": "19000101"}, DIFFERENT),
        ({"IssuerOfPatientID": "NORTH"}, DIFFERENT),
        ({"StudyInstanceUID": "1.2.3"}, SAME),
    ],
)
def test_two_ids_of_no_issuer_are_one_womans_by_name_and_birth_date(other, agreement):
    here = DOE | {"IssuerOfPatientID": None}
    one, two = identity(**here), identity(**here | {"PatientID": "N-0815"} | other)
    assert compare(one, two) is compare(two, one) is agreement
    assert agreement is DIFFERENT or under_two_ids(one, two) is under_two_ids(two, one) is True


def test_pseudonyms_that_number_images_are_one_patients():
    def pseudonym(text):
        return identity(PatientID=text, PatientName=text)

    left, right = pseudonym("Mass_P_00038_LEFT_CC"), pseudonym("Mass_P_00038_RIGHT_MLO_1")
    assert compare(left, right) is SAME
    assert compare(left, pseudonym("Mass-P-00038-RMLO")) is SAME
    assert compare(left, pseudonym("Mass_P_00039_LEFT_CC")) is DIFFERENT


@pytest.mark.parametrize(
    ("stated", "agreement"),
    [
        ({"StudyInstanceUID": "1.2.3"}, SAME),
        ({"AccessionNumber": "A-4711"}, SAME),
        ({"AccessionNumber": "1"}, UNKNOWN),
    ],
)
def test_one_study_or_order_is_of_one_patient(stated, agreement):
    assert compare(identity(PatientID="4711", **stated), identity(**stated)) is agreement


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("Müller^Jörg", "MUELLER^JOERG", True),
        ("Müller^Anna", "Muller^Anna", True),
        ("Ångström^Eva", "Angstrom^Eva", True),
        ("O'Brien^Ann", "OBRIEN^ANN", True),
        ("McDonald^Ann", "Mc Donald^Ann", True),
        ("Doe^Jane^^Dr.", "Doe^Jane", True),
        ("Yamada^Hanako=山田^花子", "YAMADA^HANAKO", True),
        ("=山田^花子", "Yamada^Hanako=山田^花子", True),
        ("=山田^花子", "=鈴木^花子", False),
        ("Yamada^Hanako", "山田^花子", None),
        ("Ivanova^Anna", "Иванова^Анна", None),
        ("Doe^Jane^Ann", "Doe^Jane^Mary", False),
        ("Doe^Jane", "Doe^Janet", False),
        ("Maria^Maria", "Maria^Anna", False),
        ("Doe^Jane", "Doe", None),
        ("Doe^Jane", "", None),
        ("Doe^Jane", "UNKNOWN", None),
    ],
)
def test_names_agree_as_people_write_them(one, two, same):
    assert same_name(name_of(one), name_of(two)) is same
    assert same_name(name_of(two), name_of(one)) is same


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_a_name_that_is_its_own(one, two):
    assert same_name(name_of(one), name_of(one)) is not False
    assert same_name(name_of(one), name_of(two)) is same_name(name_of(two), name_of(one))


def test_words_of_a_name_may_come_in_any_order():
    for words in permutations(("doe", "jane", "mary")):
        assert same_name(name_of("^".join(words)), name_of("Doe^Jane^Mary")) is True


def test_a_character_set_of_their_own_makes_no_two_patients():
    latin = identity(**DOE | {"PatientName": "Müller^Jörg", "SpecificCharacterSet": "ISO_IR 100"})
    utf8 = identity(**DOE | {"PatientName": "MÜLLER^JÖRG", "SpecificCharacterSet": "ISO_IR 192"})
    assert compare(latin, utf8) is SAME
    assert compare(replace(latin, patient_id=None), replace(utf8, patient_id=None)) is SAME


def test_an_identity_shows_in_no_repr():
    image = read_image(dicom(GREY, **DOE), Modality.US)
    for shown in (repr(image), repr(image.identity), f"{image.identity}"):
        assert not any(word in shown for word in ("4711", "Doe", "doe", "Jane", "jane", "1961"))


@pytest.mark.parametrize("keyword", ["PatientID", "PatientBirthDate", "PatientSex", "StudyDate"])
@pytest.mark.parametrize("rubbish", [b"\xff\xfe\\\\\x1b$B", b"\\" * 300, b"x" * 70_000, b"\0\0"])
def test_rubbish_in_place_of_an_identity_is_no_identity_and_no_refusal(keyword, rubbish):
    def edit(ds):
        ds.add_new(keyword, "LO", "")
        ds[keyword].VR = "UN"
        ds[keyword].value = rubbish + b" " * (len(rubbish) % 2)

    read_image(dicom(GREY, edit), Modality.US)
