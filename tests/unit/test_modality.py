"""What is said of a modality is said once, in its record."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from mammosono.appliance.modality import (
    BY_PART,
    MAMMOGRAPHY,
    MODALITIES,
    PAIR,
    Physics,
    StudyProtocol,
)
from mammosono.appliance.values import Modality

APPLIANCE = Path(__file__).parents[2] / "appliance"
MG, US = Modality.MG, Modality.US

NAMING = re.compile(r"\bModality\.(MG|US)\b|[\"'](mammogram|ultrasound)[\"']")
MAY_NAME = {
    "modality.py",
    "phantoms/__init__.py",  # each anatomy is drawn by a program of its own
    "phantoms/demo.py",
    "commands/reading.py",  # the options --mammogram and --ultrasound
    "commands/workstation.py",
    "api/__init__.py",  # an example
    "pipeline/kind.py",  # the classes of a network, as trained
    "intake/scope.py",  # what the headers of each say that it is not made for
    "values.py",  # the kind network's answer, by name
    "node/codes.py",  # DICOM's codes of each
    "node/objects/__init__.py",  # a CAD report is of mammograms
    "node/objects/cad_sr.py",
}


def test_each_modality_has_one_record_that_cannot_be_changed() -> None:
    assert list(MODALITIES) == list(Modality)
    assert all(record.modality is modality for modality, record in MODALITIES.items())
    with pytest.raises(FrozenInstanceError):
        MAMMOGRAPHY.part = "film"  # type: ignore[misc]
    with pytest.raises(TypeError):
        MODALITIES[MG] = MODALITIES[US]  # type: ignore[index]


def test_the_words_are_those_that_clients_and_indexes_use() -> None:
    assert dict(BY_PART) == {"mammogram": MG, "ultrasound": US}
    assert [record.plural for record in MODALITIES.values()] == ["mammograms", "ultrasound"]
    assert [record.title for record in MODALITIES.values()] == ["Mammogram", "Ultrasound"]


def test_no_word_means_two_modalities() -> None:
    words = [word for r in MODALITIES.values() for word in (r.part, *r.aliases)]
    assert len(set(words)) == len(words)
    assert words == [word.lower() for word in words]


def test_the_physics_and_the_framing_are_the_modalitys_own() -> None:
    physics = {modality: record.physics for modality, record in MODALITIES.items()}
    assert physics == {MG: Physics.PROJECTION, US: Physics.ECHO}
    assert {modality: record.cropped for modality, record in MODALITIES.items()} == {
        MG: True,
        US: False,
    }
    assert {modality: record.phantom_size for modality, record in MODALITIES.items()} == {
        MG: (1024, 640),
        US: (480, 560),
    }
    assert {record.plausible_mm for record in MODALITIES.values()} == {(0.005, 5.0)}


def test_nothing_else_on_the_device_names_a_modality() -> None:
    naming = {
        str(path.relative_to(APPLIANCE))
        for path in APPLIANCE.rglob("*.py")
        if NAMING.search(path.read_text(encoding="utf-8"))
    }
    assert naming == MAY_NAME


def test_the_page_has_the_same_words_in_the_same_order() -> None:
    words = (APPLIANCE / "page" / "words.js").read_text(encoding="utf-8")
    codes = re.search(r"export const MODALITIES = (\[.*\]);", words)
    tests = re.search(r"export const TEST = \{(.*)\};", words)
    assert codes is not None
    assert tests is not None
    assert json.loads(codes[1]) == [modality.value for modality in MODALITIES]
    named = dict(re.findall(r'(\w+): "(\w+)"', tests[1]))
    assert named == {modality.value: record.part for modality, record in MODALITIES.items()}


def test_a_protocol_names_what_a_study_lacks_in_its_own_order() -> None:
    assert PAIR.required == (MG, US)
    assert PAIR.missing([]) == (MG, US)
    assert PAIR.missing([US, US]) == (MG,)
    assert PAIR.missing([US, MG]) == ()
    assert StudyProtocol((US,)).missing([MG]) == (US,)
