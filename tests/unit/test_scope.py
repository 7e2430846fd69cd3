"""What a header says that the model was not made for, and docs/scope.md."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest
from fakes import FakeEngine, Scene, fake_model
from files import dicom, picture, ultrasound_region
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

import mammosono.appliance
from mammosono.appliance.errors import ApplianceError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.scope import RULES
from mammosono.appliance.pipeline.kind import mismatch
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.study import not_read
from mammosono.appliance.values import Caution, Effect, Modality, SourceImage, Verdict

MG, US = Modality.MG, Modality.US
GREY = picture(levels=4096)
CODES = {rule.caution.code for rule in RULES}


def image(modality: Modality, **elements: Any) -> SourceImage:
    with disable_value_validation():
        data = dicom(GREY, modality=modality.value, BitsStored=12, HighBit=11, **elements)
    return read_image(data, modality)


def said(modality: Modality, **elements: Any) -> set[str]:
    return {caution.code for caution in image(modality, **elements).warnings} & CODES


def code(value: str, meaning: str = "", **more: Any) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    for keyword, nested in more.items():
        setattr(item, keyword, nested)
    return item


def view(value: str, *modifiers: str) -> dict[str, list[Dataset]]:
    items = [code(modifier) for modifier in modifiers]
    return {"ViewCodeSequence": [code(value, ViewModifierCodeSequence=items)]}


def groups(macro: str, **elements: Any) -> dict[str, Any]:
    """As the elements of a functional group."""
    inner, group = Dataset(), Dataset()
    for keyword, value in elements.items():
        setattr(inner, keyword, value)
    setattr(group, macro, [inner])
    return {"SharedFunctionalGroupsSequence": [group]}


STATED = [
    (MG, view("399162004", "399163009"), "magnified_view"),
    (MG, view("R-10242", "R-102D6"), "magnified_view"),
    (MG, {"ViewModifierCodeSequence": [code("399163009")]}, "magnified_view"),
    (MG, {"EstimatedRadiographicMagnificationFactor": "1.8"}, "magnified_view"),
    (MG, {"PaddleDescription": "MAG 9 CM"}, "magnified_view"),
    (MG, view("399368009", "399055006"), "spot_view"),
    (MG, {"PaddleDescription": "Spot Contact"}, "spot_view"),
    (MG, view("399368009", "399161006"), "partial_view"),
    (MG, {"SeriesDescription": "R CC Mag"}, "magnified_view"),
    (MG, {"SeriesDescription": "L ML Spot"}, "spot_view"),
    (MG, {"PartialView": "YES"}, "partial_view"),
    (MG, {"PartialViewCodeSequence": [code("255561001", "Medial")]}, "partial_view"),
    (MG, {"ViewPosition": "AT"}, "partial_view"),
    (MG, {"BreastImplantPresent": "YES"}, "implant"),
    (US, {"BreastImplantPresent": "yes "}, "implant"),
    (MG, view("399162004", "399209000"), "implant"),
    (MG, view("127457009"), "specimen"),
    (MG, {"BodyPartExamined": "SPECIMEN"}, "specimen"),
    (MG, {"SpecimenDescriptionSequence": [Dataset()]}, "specimen"),
    (MG, {"ContrastBolusAgent": "Iomeron 400"}, "contrast"),
    (US, {"ContrastBolusAgentSequence": [code("C-B0322")]}, "contrast"),
    (MG, {"ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"]}, "contrast"),
    (MG, {"SeriesDescription": "CESM L CC"}, "contrast"),
    (MG, {"ImageType": ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]}, "synthesised"),
    (US, {"ImageType": ["ORIGINAL", "PRIMARY", "", "0011"]}, "doppler"),
    (US, {"SequenceOfUltrasoundRegions": [ultrasound_region(data_type=2)]}, "doppler"),
    (US, {"SequenceOfUltrasoundRegions": [ultrasound_region(data_type=6)]}, "doppler"),
    (US, {"SeriesDescription": "Breast CFM"}, "doppler"),
    (US, {"UltrasoundColorDataPresent": 1}, "doppler"),
    (US, groups("USImageDescriptionSequence", DataType="FLOW_VELOCITY"), "doppler"),
    (US, {"SeriesDescription": "Breast Power-Doppler"}, "doppler"),
    (US, groups("USImageDescriptionSequence", DataType="ELASTICITY"), "elastogram"),
    (US, {"ImageType": ["DERIVED", "PRIMARY", "", "ELASTOGRAPHY"]}, "elastogram"),
    (US, {"ProtocolName": "Breast Elasto"}, "elastogram"),
    (US, {"SeriesDescription": "Shear wave"}, "elastogram"),
    (US, groups("USImageDescriptionSequence", DataType="SOUND_SPEED"), "elastogram"),
    (US, {"ImageType": ["ORIGINAL", "PRIMARY", "", "0002"]}, "other_mode"),
    (US, {"BodyPartExamined": "HEART"}, "not_breast"),
    (MG, {"BodyPartExamined": "HAND"}, "not_breast"),
    (US, {"BodyPartExamined": "AXILLA"}, "not_breast"),
    (US, {"AnatomicRegionSequence": [code("91470000")]}, "not_breast"),
    (US, {"AnatomicRegionSequence": [code("", "Thyroid")]}, "not_breast"),
    (US, {"BodyPartExamined": "CHEST"}, "chest_named"),
    (US, {"BodyPartExamined": "THORACIC AORTA"}, "not_breast"),
    (MG, {"BodyPartExamined": "MAXILLA"}, "not_breast"),
    (MG, {"ViewCodeSequence": [code("", "tissue specimen from breast")]}, "specimen"),
    (US, {"AnatomicRegionSequence": [code("51185008")]}, "chest_named"),
    (MG, {"BodyPartExamined": "AXILLA"}, "partial_view"),
    (MG, {"BodyPartExamined": "AXILLARY TAIL"}, "partial_view"),
    (MG, {"DistanceSourceToDetector": 650, "DistanceSourceToPatient": 360}, "magnified_view"),
    (US, {"AnatomicRegionSequence": [code("69748006", "Thyroid")]}, "not_breast"),
    (
        US,
        groups("FrameAnatomySequence", AnatomicRegionSequence=[code("69748006", "Thyroid")]),
        "not_breast",
    ),
]


def meaning(text: str, of: str = "") -> dict[str, list[Dataset]]:
    """A modifier by its meaning, and its code left out or of the house's own."""
    return {"ViewModifierCodeSequence": [code(of, text)]}


MODIFIED = {
    "MCC": "magnified_view", "MMLO": "magnified_view", "CC MAG": "magnified_view",
    "ML-M": "magnified_view", "MLM": "magnified_view", "CCS": "spot_view",
    "MLO SPOT": "spot_view", "CCID": "implant", "MLO_ID": "implant", "ID": "implant",
    "TAN": "partial_view", "CCTAN": "partial_view", "CV": "partial_view",
    "AT": "partial_view", "CCAC": "partial_view",
}  # fmt: skip
MEANT = {
    "Magnification": "magnified_view", "Magnified view": "magnified_view",
    "Vergr\u00f6\u00dferung": "magnified_view", "SPOT COMPRESSION": "spot_view",
    "Implant Displaced": "implant", "Eklund": "implant", "tangential": "partial_view",
    "Cleavage": "partial_view", "Axillary Tail": "partial_view",
    "Axillary tissue": "partial_view", "Anterior compression": "partial_view",
}  # fmt: skip
STATED += [(MG, {"ViewPosition": written}, told) for written, told in MODIFIED.items()]
STATED += [
    (MG, meaning(text, of) | {"SpecificCharacterSet": "ISO_IR 100"}, told)
    for text, told in MEANT.items()
    for of in ("", "HOUSE1")
]
STATED += [
    (MG, {"ViewCodeSequence": [code("", "cranio-caudal magnification")]}, "magnified_view"),
    (MG, {"ViewCodeSequence": [code("399163009", "")]}, "magnified_view"),
    (
        MG,
        {"ViewCodeSequence": [code("399162004", **meaning("Magnification"))]},
        "magnified_view",
    ),
]


@pytest.mark.parametrize(("modality", "elements", "told"), STATED)
def test_what_a_header_says_is_told_and_nothing_else(modality, elements, told):
    assert said(modality, **elements) == {told}


@pytest.mark.parametrize(
    ("modality", "elements"),
    [
        (MG, {}),
        (MG, view("399162004")),
        (MG, view("399162004", "442581004")),
        (MG, {"EstimatedRadiographicMagnificationFactor": "1.07"}),
        (MG, {"PaddleDescription": "18x24 flexible", "PartialView": "NO"}),
        (MG, {"BreastImplantPresent": "NO", "ContrastBolusAgent": "NONE"}),
        (MG, {"ContrastBolusAgentSequence": []}),
        (MG, {"BodyPartExamined": "BREAST"}),
        (MG, {"BodyPartExamined": "Mamma li."}),
        (MG, {"BodyPartExamined": "CHEST"}),
        (MG, {"BodyPartExamined": "THORAX"}),
        (MG, {"BodyPartExamined": "AXILLA", "ViewPosition": "MLO"}),
        (US, {"BodyPartExamined": "CHEST/BREAST"}),
        (US, {"BodyPartExamined": "AXILLARY TAIL"}),
        (MG, {"ViewPosition": "CC"} | meaning("Nipple in profile")),
        (MG, {"ViewPosition": "CCRL"}),
        (MG, {"ViewPosition": "MLO"} | meaning("an image")),
        (MG, {"DistanceSourceToDetector": 660, "DistanceSourceToPatient": 640}),
        (MG, {"ViewModifierCodeSequence": [code("442581004", "Magnification")]}),
        (MG, {"BodyPartExamined": "BREAST", "AnatomicRegionSequence": [code("76752008")]}),
        (MG, {"UltrasoundColorDataPresent": 1}),
        (US, {"BodyPartExamined": "SMALL_PARTS"}),
        (US, {"BodyPartExamined": "UNDEFINED"}),
        (US, {"BodyPartExamined": "MAMA ESQUERDA"}),
        (US, {"BodyPartExamined": "Br\u00fcste", "SpecificCharacterSet": "ISO_IR 100"}),
        (US, {"BodyPartExamined": "BORST"}),
        (US, {"ImageType": ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"]}),
        (US, {"SequenceOfUltrasoundRegions": [ultrasound_region()]}),
        (US, {"UltrasoundColorDataPresent": 0, "SeriesDescription": "B-mode, no Doppler"}),
        (US, groups("USImageDescriptionSequence", DataType="TISSUE_INTENSITY")),
    ],
)
def test_an_image_of_what_the_model_was_made_for_is_read_without_a_word(modality, elements):
    assert said(modality, **elements) == set()


@pytest.mark.parametrize(("written", "told"), [(b"1,8", {"magnified_view"}), (b"n/a", set())])
def test_a_number_that_is_none_for_dicom_is_read_as_people_mean_it(written, told):
    factor = {"EstimatedRadiographicMagnificationFactor": "8.1"}
    data = dicom(GREY, modality="MG", BitsStored=12, HighBit=11, **factor)
    found = read_image(data.replace(b"8.1 ", written + b" "), MG).warnings
    assert {caution.code for caution in found} & CODES == told


def test_every_rule_is_met_by_a_header():
    assert {told for *_, told in STATED} == CODES


CALM, ALARM = Scene(), Scene((), image=(0.0, 0.0, 1.0))


EFFECTS = {rule.caution.code: rule.caution.effect for rule in RULES}
DOUBTED = [each for each in STATED if EFFECTS[each[2]] is Effect.NO_NEGATIVE]


@pytest.mark.parametrize(
    "stated", DOUBTED, ids=[f"{told}-{k}" for k, (*_, told) in enumerate(DOUBTED)]
)
def test_what_the_model_was_not_made_for_is_never_negative_and_stays_positive(stated):
    modality, elements, told = stated
    plain, doubted = image(modality), image(modality, **elements)
    for scene, of_plain, of_doubted in (
        (CALM, Verdict.NEGATIVE, Verdict.INDETERMINATE),
        (ALARM, Verdict.POSITIVE, Verdict.POSITIVE),
    ):
        reader = Reader(FakeEngine([scene]), fake_model(), threads=1)
        (first,), (second,) = reader.read([plain]).images, reader.read([doubted]).images
        # A ramp of greys is no breast to the search for one: of films that is asked for as well.
        assert first.verdict is of_plain or first.reasons[-1] == "no_breast_found"
        assert second.verdict is of_doubted
        assert told in second.reasons


TEXTS = (
    "ImageType",
    "BodyPartExamined",
    "ViewPosition",
    "PartialView",
    "BreastImplantPresent",
    "ContrastBolusAgent",
    "PaddleDescription",
    "ImageLaterality",
    "EstimatedRadiographicMagnificationFactor",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
)


@given(st.lists(st.sampled_from(TEXTS), unique=True), st.binary(max_size=16))
@settings(max_examples=40, deadline=None)
def test_rubbish_in_a_description_refuses_no_picture(keywords, rubbish):
    mark = "7" * 16
    with disable_value_validation():
        data = dicom(picture(), **dict.fromkeys(keywords, mark))
    data = data.replace(mark.encode(), rubbish.ljust(16))
    assert read_image(data, US).pixels.shape == picture().shape


# docs/scope.md

DOCUMENT = (Path(__file__).parents[2] / "docs" / "scope.md").read_text("utf-8")


def test_the_document_lists_every_caution_of_the_code_with_its_effect():
    listed = dict(re.findall(r"^\| `(\w+)` \| .+ \| ([a-z ]+) \|$", DOCUMENT, re.MULTILINE))
    assert listed == {caution.code: caution.effect.value for caution in _cautions()}


def test_the_document_lists_refusals_that_there_are():
    refused = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", DOCUMENT, re.MULTILINE)
    assert "patients_differ" in refused
    assert set(refused) <= {error.code for error in _errors(ApplianceError)}


def _cautions() -> set[Caution]:
    found = {rule.caution for rule in RULES}
    for module in walk_packages(mammosono.appliance.__path__, "mammosono.appliance."):
        if not module.name.endswith("__main__"):
            found |= {v for v in vars(import_module(module.name)).values() if type(v) is Caution}
    counted = [_mismatch(MG, US), _mismatch(MG, None), not_read(1)]
    return found | {Caution(each.code, "", each.effect) for each in counted}


def _mismatch(sent: Modality, looks: Modality | None) -> Caution:
    from mammosono.appliance.pipeline.kind import KindModel
    from mammosono.appliance.values import ImageKind

    kind = ImageKind(0.0, 1.0, 0.0) if looks is US else ImageKind(0.0, 0.0, 1.0)
    found = mismatch(kind, sent, KindModel("kind", {MG: 0.3, US: 0.3}))
    assert found is not None
    return found


def _errors(error: type[ApplianceError]) -> list[type[ApplianceError]]:
    return [error, *(each for child in error.__subclasses__() for each in _errors(child))]


def test_every_effect_is_used():
    assert {caution.effect for caution in _cautions()} == set(Effect)
