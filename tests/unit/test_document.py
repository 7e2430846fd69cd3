"""The JSON document of a finished study."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import readings
from pycocotools import mask as coco

from mammosono.appliance import __version__
from mammosono.appliance.http.schemas import InstalledModel
from mammosono.appliance.identity import Identity
from mammosono.appliance.output.document import (
    Breast,
    BreastScoringDocument,
    CalibrationDocument,
    Denoise,
    EvidenceDocument,
    FindingDocument,
    Image,
    Mask,
    Model,
    Result,
    ScoringDocument,
)
from mammosono.appliance.values import (
    BreastReading,
    BreastScoring,
    Calibration,
    DenoiseRecord,
    Evidence,
    Finding,
    ImageReading,
    Laterality,
    Modality,
    ModelInfo,
    Rle,
    Scoring,
    Verdict,
)


def document(reading=None):
    return Result.of("feed", reading or readings.pair()).document()


def test_it_holds_exactly_the_fields_of_the_interface():
    study = document()
    assert list(study) == [
        "id",
        "status",
        "verdict",
        "decided_by",
        "incomplete",
        "images",
        "breasts",
        "warnings",
        "reasons",
        "model",
        "timings_ms",
        "software",
    ]
    assert list(study["images"][0]) == [
        "index",
        "modality",
        "width",
        "height",
        "spacing_mm",
        "sha256",
        "name",
        "laterality",
        "laterality_from",
        "view",
        "view_from",
        "kind",
        "verdict",
        "score",
        "evidence",
        "findings",
        "denoise",
        "warnings",
        "reasons",
    ]
    assert list(study["images"][0]["findings"][0]) == [
        "label",
        "score",
        "lesion_score",
        "box",
        "centroid",
        "area_px",
        "area_mm2",
        "diameter_mm",
        "contour",
        "mask",
    ]
    assert list(study["model"]) == [
        "name",
        "version",
        "sha256",
        "runtime",
        "operating_points",
        "scoring",
    ]


def test_it_says_what_the_reading_says():
    study = document()
    assert (study["id"], study["status"]) == ("feed", "done")
    assert (study["verdict"], study["decided_by"]) == ("positive", ["MG"])
    assert study["incomplete"] is False
    assert [one["verdict"] for one in study["images"]] == ["positive", "negative"]
    assert study["images"][1]["warnings"] == ["The pixel size is not known."]
    assert study["images"][1]["reasons"] == ["no_pixel_size"]
    assert study["model"]["operating_points"] == {"MG": 0.41, "US": 0.47}
    assert study["software"] == f"mammosono {__version__}"


def test_numbers_are_rounded_to_what_they_mean():
    study = document()
    first = study["images"][0]
    (finding,) = first["findings"]
    assert first["score"] == finding["score"] == 0.8765
    assert finding["area_mm2"] == round(finding["area_px"] * 0.01, 2)
    assert abs(finding["diameter_mm"] - 2.4) < 0.1
    assert finding["centroid"] == [50.0, 40.0]
    assert first["denoise"]["parameters"] == {"gain": 0.01235, "sigma": 1.5}
    assert study["timings_ms"] == {"denoise": 120.0, "network": 431.3, "total": 700.0}


def test_operating_points_are_as_precise_as_scores_in_a_result_and_whole_of_the_model():
    model = replace(readings.MODEL, operating_points={"MG": 0.41026842892})
    result = Result.of("feed", replace(readings.pair(), model=model))
    assert result.model.operating_points == {"MG": 0.4103}
    assert Model.model_validate(model).operating_points == {"MG": 0.41026842892}


def test_it_is_plain_json_and_comes_back_unchanged():
    assert json.loads(Result.of("feed", readings.pair()).to_json()) == document()


def test_a_number_that_is_not_finite_never_becomes_json():
    image = readings.image(0, Modality.MG, Verdict.NEGATIVE, size=(70, 70), score=float("nan"))
    with pytest.raises(ValueError, match="finite"):
        Result.of("feed", readings.reading(image))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_masks_decode_with_pycocotools_to_the_size_of_the_image():
    study = document()
    for image in study["images"]:
        for finding in image["findings"]:
            mask = coco.decode(finding["mask"])
            assert mask.shape == (image["height"], image["width"])
            assert np.count_nonzero(mask) == finding["area_px"]


def test_without_pixel_spacing_the_millimetres_are_null():
    (finding,) = document()["images"][1]["findings"]
    assert finding["area_mm2"] is None
    assert finding["diameter_mm"] is None


def test_an_image_that_could_not_be_scored_has_a_null_score():
    lost = readings.image(0, Modality.MG, Verdict.INDETERMINATE, size=(70, 70))
    study = document(readings.reading(lost))
    assert study["images"][0]["score"] is None
    assert (study["verdict"], study["incomplete"]) == ("indeterminate", True)
    assert study["decided_by"] == ["MG", "US"]


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Mask, Rle),
        (FindingDocument, Finding),
        (Denoise, DenoiseRecord),
        (Image, ImageReading),
        (EvidenceDocument, Evidence),
        (Breast, BreastReading),
        (ScoringDocument, Scoring),
        (CalibrationDocument, Calibration),
        (BreastScoringDocument, BreastScoring),
        (InstalledModel, ModelInfo),
    ],
)
def test_a_document_has_the_fields_of_its_value_and_no_others(model, value):
    assert set(model.model_fields) == {field.name for field in fields(value)}


def test_a_result_names_its_model_without_the_networks_inside():
    inside = {"networks", "input_sizes"}
    assert set(Model.model_fields) == {field.name for field in fields(ModelInfo)} - inside


def test_a_score_that_rounds_to_one_is_one():
    (image, _) = readings.pair().images
    sure = replace(image, score=1 + 1e-9, findings=())
    assert document(readings.reading(sure))["images"][0]["score"] == 1
    with pytest.raises(ValueError, match="less than or equal to 1"):
        document(readings.reading(replace(image, score=1.001)))


# Read back


def sent():
    return json.loads(Result.of("feed", readings.pair()).to_json())


def test_it_is_read_back_as_the_reading_it_was_made_of():
    reading, read = readings.pair(), Result.parse(sent()).reading()
    assert read.pictures == ()
    assert (read.verdict, read.decided_by, read.incomplete) == (
        reading.verdict,
        reading.decided_by,
        reading.incomplete,
    )
    assert read.model == reading.model
    assert read.images[1] == replace(
        reading.images[1],
        denoise=DenoiseRecord("anscombe", {"gain": 0.01235, "sigma": 1.5}, 3.21, 1.07),
        findings=read.images[1].findings,
    )
    for one, other in zip(read.images, reading.images, strict=True):
        assert [f.mask for f in one.findings] == [f.mask for f in other.findings]
        assert [f.label for f in one.findings] == [f.label for f in other.findings]
    assert Result.of("feed", read) == Result.of("feed", reading)


def test_what_a_newer_appliance_adds_is_passed_over():
    newer = sent()
    newer["protocol"] = "three tests"
    newer["images"][0]["density"] = "b"
    newer["images"][0]["findings"][0]["mask"]["order"] = "F"
    assert Result.parse(newer) == Result.parse(sent())


def test_a_breast_judged_by_its_views_is_said_with_what_its_verdict_is_made_of():
    study = document(readings.by_views())
    assert study["breasts"] == [
        {"laterality": "L", "images": [0, 1], "score": 0.52, "verdict": "positive"}
    ]
    assert [(one["laterality"], one["view"]) for one in study["images"]] == [
        ("L", "CC"),
        ("L", "MLO"),
    ]
    assert study["images"][1]["evidence"] == {"whole_image": 0.5, "region": 0.72}
    assert study["model"]["scoring"]["MG"] == {
        "head_weight": 0.4,
        "region_floor": 0.05,
        "operating_point": 0.5,
        "calibration": {"slope": 0.8, "intercept": -0.3},
        "breast": {"calibration": {"slope": 1.0, "intercept": 0.0}, "operating_point": 0.4},
    }
    read = Result.parse(study).reading()
    assert (read.breasts, read.model) == (readings.by_views().breasts, readings.by_views().model)
    assert read.images[1].evidence == readings.by_views().images[1].evidence


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (("verdict",), "probably"),
        (("status",), "queued"),
        (("decided_by", 0), "XX"),
        (("images", 0, "modality"), "XX"),
        (("images", 0, "verdict"), None),
        (("images", 0, "findings", 0, "label"), "unclear"),
        (("images", 0, "score"), float("nan")),
        (("images", 0, "score"), "high"),
    ],
)
def test_a_word_that_is_not_known_is_refused(place, word):
    other = sent()
    *path, last = place
    inner = other
    for step in path:
        inner = inner[step]
    inner[last] = word
    with pytest.raises(ValueError, match=str(last)):
        Result.parse(other)


@pytest.mark.parametrize("name", ["id", "verdict", "incomplete", "images", "model", "software"])
def test_a_document_that_lacks_a_field_is_refused(name):
    lacking = sent()
    del lacking[name]
    with pytest.raises(ValueError, match=name):
        Result.parse(lacking)


def some_unread():
    film = readings.image(1, Modality.MG, Verdict.NEGATIVE, size=(70, 70), score=0.1)
    unread = readings.not_read(0, Modality.MG, name="R_MLO.png", laterality=Laterality.RIGHT)
    return readings.reading(film, unread=(unread,))


def test_an_unread_image_stands_in_its_place_and_is_read_back_as_it_was():
    study = document(some_unread())
    assert [image["index"] for image in study["images"]] == [0, 1]
    assert study["images"][0] == {
        "index": 0,
        "modality": "MG",
        "sha256": "00" * 32,
        "name": "R_MLO.png",
        "laterality": "R",
        "laterality_from": None,
        "view": None,
        "view_from": None,
        "verdict": None,
        "score": None,
        "findings": [],
        "warnings": ["The image is damaged; send it again."],
        "reasons": ["corrupt_image"],
    }
    assert study["warnings"] == ["An image could not be read; a negative cannot be given."]
    assert study["reasons"] == ["image_not_read", "incomplete"]
    again = Result.parse(json.loads(json.dumps(study))).reading()
    assert again.unread == some_unread().unread
    assert [image.index for image in again.images] == [1]
    assert document(again) == study


def test_nothing_of_whose_an_unread_image_is_gets_into_the_document():
    someone = Identity(patient_id=("4711", "clinic"), name=(("doe", "jane"),))
    seen = some_unread()
    named = replace(seen, unread=(replace(seen.unread[0], identity=someone),))
    assert document(named) == document(seen)


def test_an_image_without_a_verdict_is_none_that_was_read():
    study = document()
    study["images"][0]["verdict"] = None
    with pytest.raises(ValueError, match="images"):
        Result.model_validate(study)
