"""Kind of an image: what is not what it was sent as is never cleared."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import fakes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms.demo import demo_phantom
from mammosono.appliance.pipeline.detector.frame import Frame
from mammosono.appliance.pipeline.kind import (
    SIZE,
    KindModel,
    kind_model,
    kind_of,
    look,
    mismatch,
)
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.verdict import NO_BREAST, judge
from mammosono.appliance.values import (
    BreastScoring,
    Calibration,
    Caution,
    Effect,
    ImageKind,
    Label,
    Laterality,
    Modality,
    Reading,
    SourceImage,
    Verdict,
)
from mammosono.engines.bundle import as_bundle, open_bundle

MODEL = KindModel("kind", {Modality.MG: 0.3, Modality.US: 0.2})
MAMMOGRAM, ULTRASOUND = ImageKind(0.9, 0.05, 0.05), ImageKind(0.02, 0.95, 0.03)
OTHER = ImageKind(0.1, 0.1, 0.8)
FRAME = Frame((0, 0, 96, 128), 1.0, (128, 96))


# What the network sees


@given(arrays(np.uint8, st.tuples(st.integers(1, 400), st.integers(1, 400))))
def test_any_picture_gives_the_same_shape_and_range(grey):
    seen = look(grey)
    assert (seen.shape, seen.dtype) == ((1, 2, *SIZE), np.float32)
    assert np.abs(seen).max() <= 1 + 1e-6


def test_an_even_picture_has_its_level_and_no_detail():
    level, detail = look(np.full((300, 200), 204, np.uint8))[0]
    np.testing.assert_allclose(level, 0.6, atol=1e-6)
    np.testing.assert_allclose(detail, -1, atol=1e-2)


def test_fine_grain_is_seen_as_detail_and_not_as_level():
    noise = np.random.default_rng(0).integers(0, 256, (600, 600)).astype(np.uint8)
    level, detail = look(noise)[0]
    assert np.abs(level).mean() < 0.2
    assert detail.mean() > -0.8


@pytest.mark.parametrize("modality", Modality)
def test_the_resolution_of_a_picture_hardly_counts(modality):
    grey = demo_phantom(modality).pixels
    large = cv2.resize(grey, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    assert np.abs(look(large) - look(grey)).mean() < 0.02


# Words


def test_an_image_of_its_own_kind_is_not_doubted():
    assert mismatch(MAMMOGRAM, Modality.MG, MODEL) is None
    assert mismatch(ULTRASOUND, Modality.US, MODEL) is None


@given(st.floats(0, 1))
def test_the_least_probability_is_the_border(p):
    kind = ImageKind(p, 0, 1 - p)
    assert (mismatch(kind, Modality.MG, MODEL) is None) == (p >= 0.3)


def test_the_other_modality_is_named():
    assert mismatch(MAMMOGRAM, Modality.US, MODEL) == Caution(
        "other_kind",
        "This does not look like an ultrasound of the breast (it looks like a mammogram); a "
        "negative cannot be given. Check that it is the right file, in the right field.",
        Effect.NO_NEGATIVE,
    )


def test_something_else_is_not_given_a_name():
    assert mismatch(OTHER, Modality.MG, MODEL) == Caution(
        "no_breast_image",
        "This does not look like a mammogram; a verdict cannot be given. Check that it is the "
        "right file, in the right field.",
        Effect.NO_VERDICT,
    )


# Verdict


@given(st.floats(0, 1), st.booleans(), st.booleans())
def test_what_is_doubted_is_never_negative_and_positive_only_of_a_breast(score, found, of_breast):
    frame = replace(FRAME, found=found)
    effect = Effect.NO_NEGATIVE if of_breast else Effect.NO_VERDICT
    verdict, _ = judge(score, 0.5, frame, [Caution("doubt", "Doubt.", effect)])
    stays = score >= 0.5 and of_breast
    assert verdict is (Verdict.POSITIVE if stays else Verdict.INDETERMINATE)


def test_no_breast_is_said_where_the_kind_is_right():
    frame = replace(FRAME, found=False)
    assert judge(0.1, 0.5, frame) == (Verdict.INDETERMINATE, (NO_BREAST,))


# Reader


@dataclass
class Kinds(fakes.FakeEngine):
    """Answers with these kinds, one after the other."""

    kinds: tuple[ImageKind, ...] = ()

    def _kind(self, inputs: Any) -> dict[str, Any]:
        assert inputs["picture"].shape == (1, 2, *SIZE)
        kind = self.kinds[len(self.inputs_of("kind")) - 1]
        answer = [[kind.mammogram, kind.ultrasound, kind.other]]
        return {"kind": np.array(answer, np.float32)}


def demo_image(modality: Modality) -> SourceImage:
    return read_image(grey_png(demo_phantom(modality, 4).pixels), modality)


def read(kinds: tuple[ImageKind, ...], *scenes: fakes.Scene) -> Reading:
    engine = Kinds(scenes or (fakes.Scene(),), kinds=kinds)
    model = replace(fakes.fake_model(), kind=MODEL)
    return Reader(engine, model, threads=1).read([demo_image(m) for m in Modality])


def test_images_that_are_what_they_should_be_are_read_as_before():
    reading = read((MAMMOGRAM, ULTRASOUND))
    assert reading.verdict is Verdict.NEGATIVE
    assert [image.warnings for image in reading.images] == [(), ()]
    assert [image.kind.mammogram for image in reading.images] == pytest.approx([0.9, 0.02])


def test_a_mammogram_in_the_ultrasounds_place_leaves_the_study_open():
    reading = read((MAMMOGRAM, MAMMOGRAM))
    assert [image.verdict for image in reading.images] == [
        Verdict.NEGATIVE, Verdict.INDETERMINATE,
    ]  # fmt: skip
    assert reading.verdict is Verdict.INDETERMINATE
    assert "it looks like a mammogram" in reading.images[1].warnings[-1]


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [(ULTRASOUND, Verdict.POSITIVE), (OTHER, Verdict.INDETERMINATE)],
    ids=["the other modality", "no breast"],
)
def test_what_looks_malignant_stays_positive_with_the_warning_if_it_is_of_a_breast(kind, verdict):
    malignant = fakes.Scene((fakes.Lesion((20, 20, 50, 50), 0.05, 0.9),), (0.05, 0.05, 0.9))
    image = read((kind, ULTRASOUND), malignant).images[0]
    assert image.verdict is verdict
    assert "does not look like a mammogram" in image.warnings[-1]
    assert [found.label for found in image.findings] == [
        Label.MALIGNANT if verdict is Verdict.POSITIVE else Label.BENIGN
    ]


def test_the_document_says_the_kind_and_reads_it_back():
    document = Result.of("k", read((MAMMOGRAM, OTHER))).document()
    assert document["images"][1]["kind"] == {"mammogram": 0.1, "ultrasound": 0.1, "other": 0.8}
    again = Result.parse(json.loads(json.dumps(document))).reading()
    assert again.images[1].kind == ImageKind(0.1, 0.1, 0.8)


def test_without_such_a_stage_nothing_is_asked_and_nothing_said():
    engine = Kinds((fakes.Scene(),))
    reading = Reader(engine, fakes.fake_model(), threads=1).read([demo_image(Modality.MG)])
    assert reading.images[0].kind is None
    assert Result.of("k", reading).document()["images"][0]["kind"] is None
    assert not engine.inputs_of("kind")


# Manifest


def manifest(**changes: Any) -> dict[str, Any]:
    tensor = {"dtype": "float32", "shape": [1, 2, *SIZE]}
    stage = {
        "file": "kind.onnx", "sha256": "ab" * 32,
        "inputs": {"picture": tensor},
        "outputs": {"kind": {"dtype": "float32", "shape": [1, 3]}},
    }  # fmt: skip
    entry = {
        "network": "kind", "stage": "kind", "classes": ["MG", "US", "other"],
        "input": "grey-and-detail/1", "least": {"MG": 0.2, "US": 0.3},
    } | changes  # fmt: skip
    return {
        "schema": 2, "kind": "refined-mask-rcnn/1", "name": "k", "version": "1",
        "networks": {"kind": {"stages": {"kind": stage}}}, "modalities": {}, "image_kind": entry,
    }  # fmt: skip


def test_the_manifest_names_the_stage_and_the_least_probabilities():
    model = kind_model(as_bundle("", manifest(), ""))
    assert model == KindModel("kind.kind", {Modality.MG: 0.2, Modality.US: 0.3})


def test_a_bundle_without_the_entry_has_no_such_model():
    without = manifest()
    del without["image_kind"]
    assert kind_model(as_bundle("", without, "")) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"input": "grey/9"},
        {"classes": ["US", "MG", "other"]},
        {"least": {"MG": 0.2}},
        {"least": {"MG": 0.2, "US": 1.5}},
        {"least": {"MG": 0.2, "US": float("nan")}},
        {"least": {"MG": 0.2, "US": True}},
        {"network": "nobody"},
        {"stage": "nobody"},
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(changes):
    with pytest.raises((KeyError, TypeError, ValueError)):
        kind_model(as_bundle("", manifest(**changes), ""))


# The shipped bundle, once it has the stage: drawn after what people sent.


def page() -> np.ndarray:
    sheet = np.full((700, 500), 255, np.uint8)
    for row in range(20):
        cv2.putText(sheet, "Dear colleague, thank you for", (30, 50 + 32 * row), 0, 0.8, 0, 2)
    return sheet


NOT_A_BREAST = {
    "ramp": np.tile(np.linspace(0, 255, 512).astype(np.uint8), (400, 1)),
    "page": page(),
    "noise": np.random.default_rng(1).integers(0, 256, (400, 500)).astype(np.uint8),
}


@pytest.fixture(scope="module")
def shipped():
    if open_bundle(SHIPPED).manifest.get("image_kind") is None:
        pytest.skip("the shipped bundle has no kind stage")
    with Reader.open(Path(SHIPPED)) as reader:
        yield reader


@pytest.mark.parametrize("what", NOT_A_BREAST)
@pytest.mark.parametrize("modality", Modality)
def test_what_is_no_breast_is_never_negative(shipped, what, modality):
    image = read_image(grey_png(NOT_A_BREAST[what]), modality)
    (found,) = shipped.read([image]).images
    assert found.verdict is Verdict.INDETERMINATE
    assert any("does not look like" in warning for warning in found.warnings)


@pytest.mark.parametrize("modality", Modality)
def test_the_demos_phantom_in_the_wrong_field_is_never_negative(shipped, modality):
    other = Modality.US if modality is Modality.MG else Modality.MG
    (found,) = shipped.read([read_image(grey_png(demo_phantom(other).pixels), modality)]).images
    assert found.verdict is not Verdict.NEGATIVE
    assert any("it looks like" in warning for warning in found.warnings)


def test_kind_of_asks_the_stage_once():
    engine = Kinds((fakes.Scene(),), kinds=(OTHER,))
    found = kind_of(engine, MODEL, demo_phantom(Modality.US, 4).pixels)
    assert found.other == pytest.approx(0.8)
    assert len(engine.inputs_of("kind")) == 1


def test_an_image_that_is_no_mammogram_is_no_view_of_its_breast():
    scoring = BreastScoring(Calibration(1.0, 0.0), 0.5)
    model = fakes.fake_model()
    own = model.of(Modality.MG)
    own = replace(own, scoring=replace(own.scoring, breast=scoring))
    model = replace(model, modalities={Modality.MG: own}, kind=MODEL)
    drawn = demo_image(Modality.MG)
    views = [
        replace(
            drawn, laterality=Laterality.LEFT, view=view, sha256=view,
            pixels=np.maximum(drawn.pixels, 9 * least),
        )
        for least, view in enumerate(("CC", "MLO"))
    ]  # fmt: skip
    for kinds, together in (((MAMMOGRAM, MAMMOGRAM), 1), ((MAMMOGRAM, OTHER), 0)):
        reading = Reader(Kinds((fakes.Scene(),), kinds=kinds), model, threads=1).read(views)
        assert len(reading.breasts) == together
    assert [one.verdict for one in reading.images] == [Verdict.NEGATIVE, Verdict.INDETERMINATE]
