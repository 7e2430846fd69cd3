"""A study in, a reading out; the network is told what to see, all around it is real."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fakes import GEOMETRY, FakeEngine, Lesion, Scene, fake_model

from mammosono.appliance.errors import ModalityNotRead, ModelFault
from mammosono.appliance.modality import StudyProtocol
from mammosono.appliance.output import rle
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.detector.detector import DetectorStages
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.verdict import NO_BREAST, NO_REGION, NOT_BY_ITSELF
from mammosono.appliance.values import (
    BreastScoring,
    Calibration,
    Caution,
    Evidence,
    Label,
    Laterality,
    Modality,
    Reading,
    Scoring,
    SourceImage,
    Verdict,
)
from mammosono.engines.errors import EngineLost
from mammosono.engines.interface import Engine

MG, US = Modality.MG, Modality.US
SIZES = {MG: (300, 210), US: (200, 260)}
AS_POSTED = Caution("as_posted", "As posted.")
CALM = Scene()
MALIGNANT = Scene((Lesion((30, 40, 54, 64), 0.1, 0.85),), image=(0.1, 0.1, 0.8))
BENIGN = Scene((Lesion((30, 40, 54, 64), 0.9, 0.05),), image=(0.1, 0.8, 0.1))
HEAD_ONLY = Scene((), image=(0.0, 0.0, 1.0))


@cache
def posted(modality: Modality, seed: int = 1) -> SourceImage:
    height, width = SIZES[modality]
    pixels = phantom(modality, seed, Label.BENIGN, height=height, width=width).pixels
    pixels.flags.writeable = False
    sha256 = f"{seed:062x}{modality.value.encode()[0]:02x}"
    return SourceImage(modality, pixels, 8, (0, 255), (0.2, 0.2), sha256, (AS_POSTED,))


def read(*images: SourceImage, scenes: list[Scene], head_weight: float = 0.5) -> Reading:
    return Reader(FakeEngine(scenes), fake_model(head_weight=head_weight), threads=1).read(images)


PAIR = (posted(MG), posted(US))
P, N, I = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.INDETERMINATE  # noqa: E741


@pytest.mark.parametrize(
    ("scenes", "each", "fused", "decided_by"),
    [
        ([CALM, CALM], (N, N), N, (MG, US)),
        ([MALIGNANT, CALM], (P, N), P, (MG,)),
        ([BENIGN, MALIGNANT], (N, P), P, (US,)),
        ([MALIGNANT, MALIGNANT], (P, P), P, (MG, US)),
    ],
)
def test_a_pair_is_positive_if_either_image_is(scenes, each, fused, decided_by):
    reading = read(*PAIR, scenes=scenes)
    assert tuple(image.verdict for image in reading.images) == each
    assert (reading.verdict, reading.decided_by, reading.incomplete) == (fused, decided_by, False)


@pytest.mark.parametrize("image", PAIR, ids=["MG", "US"])
@pytest.mark.parametrize(("scene", "fused"), [(CALM, I), (MALIGNANT, P)])
def test_with_a_modality_missing_nothing_is_negative(image, scene, fused):
    reading = read(image, scenes=[scene])
    assert (reading.verdict, reading.incomplete) == (fused, True)


def test_what_a_study_must_hold_is_said_by_the_readers_protocol():
    alone = StudyProtocol((US,))
    reader = Reader(FakeEngine([CALM]), fake_model(), threads=1, protocol=alone)
    reading = reader.read([posted(US)])
    assert (reading.verdict, reading.decided_by, reading.incomplete) == (N, (US,), False)


def test_one_positive_image_of_several_is_enough_and_each_keeps_its_place():
    images = (posted(MG), posted(US), posted(MG, 2), posted(MG, 3))
    reading = read(*images, scenes=[CALM, CALM, MALIGNANT, BENIGN])
    assert [image.verdict for image in reading.images] == [N, N, P, N]
    assert [image.index for image in reading.images] == [0, 1, 2, 3]
    assert [image.modality for image in reading.images] == [MG, US, MG, MG]
    assert [image.sha256 for image in reading.images] == [image.sha256 for image in images]
    assert (reading.verdict, reading.decided_by) == (P, (MG,))


def test_a_finding_stands_where_the_network_saw_it_in_the_image_as_posted():
    model = fake_model()
    reading = read(*PAIR, scenes=[MALIGNANT])
    for image, seen in zip(PAIR, reading.images, strict=True):
        place = frame(image.pixels, image.modality, model.of(image.modality).geometry.input_size)
        (found,) = seen.findings
        box = np.array([MALIGNANT.lesions[0].box], np.float32)
        expected = place.to_image(box, image.pixels.shape)[0]
        assert found.box == pytest.approx(expected.tolist(), abs=0.01)
        assert found.label is Label.MALIGNANT
        assert found.score == pytest.approx(0.5 * 0.8 + 0.5 * 0.85)
        assert seen.score == found.score
        assert rle.decode(found.mask).shape == image.pixels.shape
        assert found.area_mm2 == pytest.approx(found.area_px * 0.04)


def test_pictures_are_8_bit_and_of_the_size_posted():
    reading = read(*PAIR, scenes=[CALM])
    for image, seen, pictures in zip(PAIR, reading.images, reading.pictures, strict=True):
        assert (seen.height, seen.width) == image.pixels.shape
        for picture in (pictures.original, pictures.denoised):
            assert (picture.shape, picture.dtype) == (image.pixels.shape, np.uint8)
        assert np.array_equal(pictures.original, image.pixels)
        assert not np.array_equal(pictures.denoised, pictures.original)
        assert seen.denoise.method != "none"


@pytest.mark.parametrize("image", PAIR, ids=["MG", "US"])
def test_what_the_network_is_fed_and_the_user_shown_is_denoised(image):
    model, engine = fake_model(), FakeEngine([CALM])
    reading = Reader(engine, model, threads=1).read([image])
    place = frame(image.pixels, image.modality, model.of(image.modality).geometry.input_size)
    raw = place.cut(image.pixels)
    clean, record = denoise(raw, image.modality, peak=255, threads=1)
    canvas = engine.inputs_of("trunk")[0]["image"][0, 0]
    grey = model.of(image.modality).normalisation
    assert np.array_equal(canvas, grey.standardise(place.place(grey.levels(clean))))
    assert not np.array_equal(canvas, grey.standardise(place.place(grey.levels(raw))))
    assert np.array_equal(reading.pictures[0].denoised, place.restore(clean, image.pixels))
    assert reading.images[0].denoise == record


def test_around_the_picture_the_network_sees_standardised_black():
    engine = FakeEngine([CALM])
    Reader(engine, fake_model(), threads=1).read(PAIR)
    for inputs in engine.inputs_of("trunk"):
        canvas = inputs["image"][0, 0]
        black, white = (0 - 0.35) / 0.25, (1 - 0.35) / 0.25
        assert canvas.min() == pytest.approx(black)
        assert canvas.max() == pytest.approx(white, abs=1e-5)
    height = round(200 * 96 / 260)
    assert np.allclose(canvas[height:], black)  # the ultrasound is wider than the canvas
    assert not np.allclose(canvas[:height], black)


def test_sixteen_bits_are_read_as_eight_are():
    shallow = posted(MG)
    deep = replace(
        shallow, pixels=shallow.pixels.astype(np.uint16) * 257, bits=16, window=(0, 65535)
    )
    engines = [FakeEngine([MALIGNANT]), FakeEngine([MALIGNANT])]
    readings = [
        Reader(engine, fake_model(), threads=1).read([image])
        for engine, image in zip(engines, (shallow, deep), strict=True)
    ]
    canvases = [engine.inputs_of("trunk")[0]["image"] for engine in engines]
    assert np.abs(canvases[0] - canvases[1]).max() < 0.05
    assert readings[0].images[0].findings == readings[1].images[0].findings
    assert np.array_equal(readings[0].pictures[0].original, readings[1].pictures[0].original)


def test_the_same_study_gives_the_same_reading():
    one, again = (read(*PAIR, scenes=[MALIGNANT, BENIGN]) for _ in range(2))
    assert one.images == again.images
    assert (one.verdict, one.decided_by, one.model) == (
        again.verdict,
        again.decided_by,
        again.model,
    )
    for a, b in zip(one.pictures, again.pictures, strict=True):
        assert np.array_equal(a.denoised, b.denoised)


def test_an_image_does_not_depend_on_the_others_in_its_study():
    alone = read(posted(US), scenes=[BENIGN]).images[0]
    second = read(posted(MG), posted(US), scenes=[MALIGNANT, BENIGN]).images[1]
    assert replace(second, index=0) == alone


@pytest.mark.parametrize("stage", ["trunk", "heads", "masks"])
def test_a_failing_network_is_an_error_and_never_a_negative(stage):
    engine = FakeEngine([MALIGNANT], fault=stage)
    with pytest.raises(ModelFault, match=stage) as caught:
        Reader(engine, fake_model(), threads=1).read(PAIR)
    assert caught.value.code == "engine_fault"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "broken", [Scene((), (np.nan, 0.5, 0.5)), Scene((Lesion((30, 40, 54, 64), 0.1, np.nan),))]
)
def test_an_answer_that_is_not_a_number_is_an_error_and_never_a_negative(broken):
    with pytest.raises(ModelFault, match="NaN"):
        read(*PAIR, scenes=[CALM, broken])


def test_the_study_after_a_fault_is_read():
    engine = FakeEngine([CALM], fault="heads")
    reader = Reader(engine, fake_model(), threads=1)
    with pytest.raises(ModelFault):
        reader.read(PAIR)
    engine.fault = None
    assert reader.read(PAIR).verdict is N


class LosingEngine(FakeEngine):
    """Its process dies while it computes the heads, the first `losses` times."""

    losses = 1

    def run(self, stage, inputs, keep=()):
        if stage == "heads" and self.losses:
            self.losses -= 1
            raise EngineLost("the worker died; a new one is started")
        return super().run(stage, inputs, keep)


def test_a_study_whose_engine_is_lost_is_read_again():
    wanted = read(*PAIR, scenes=[MALIGNANT])
    engine = LosingEngine([MALIGNANT])
    reading = Reader(engine, fake_model(), threads=1).read(PAIR)
    assert reading.verdict is wanted.verdict
    assert reading.images == wanted.images


def test_a_study_whose_engine_is_lost_twice_fails_and_says_why():
    engine = LosingEngine([MALIGNANT])
    engine.losses = 2
    with pytest.raises(ModelFault, match=r"lost twice .* the worker died"):
        Reader(engine, fake_model(), threads=1).read(PAIR)


def test_a_film_without_a_breast_is_not_cleared():
    noise = np.random.default_rng(0).normal(60, 10, (300, 210)).astype(np.uint8)
    film = replace(posted(MG), pixels=noise)
    reading = read(film, posted(US), scenes=[CALM])
    assert [image.verdict for image in reading.images] == [I, N]
    assert NO_BREAST.text in reading.images[0].warnings
    assert (reading.verdict, reading.decided_by) == (I, (MG,))


def test_a_positive_image_without_a_region_says_so():
    calm, alarm = read(*PAIR, scenes=[CALM, HEAD_ONLY], head_weight=0.8).images
    assert (alarm.verdict, alarm.findings) == (P, ())
    assert alarm.score == pytest.approx(0.8)
    assert alarm.warnings == ("As posted.", NO_REGION.text)
    assert alarm.reasons == ("as_posted", "no_region")
    assert (calm.warnings, calm.reasons) == (("As posted.",), ("as_posted",))


def test_a_malignant_region_too_faint_to_outline_is_said_too_beside_a_benign_one():
    faint = Lesion((30, 40, 54, 64), 0.1, 0.85, mask=0.2)
    benign = Lesion((60, 30, 84, 60), 0.8, 0.05)
    (image,) = read(posted(US), scenes=[Scene((faint, benign))], head_weight=0.0).images
    assert image.verdict is P
    assert [found.label for found in image.findings] == [Label.BENIGN]
    assert NO_REGION.text in image.warnings


def test_the_time_of_every_step_is_told():
    timings = read(*PAIR, scenes=[MALIGNANT]).timings_ms
    steps = {"frame", "denoise", "trunk", "proposals", "heads", "masks", "findings", "total"}
    assert set(timings) == steps
    assert all(ms >= 0 for ms in timings.values())
    network = sum(timings[step] for step in ("trunk", "proposals", "heads", "masks", "findings"))
    assert timings["total"] >= network


def test_a_reader_says_which_model_it_uses_and_closes_its_engine():
    engine = FakeEngine([CALM])
    with Reader(engine, fake_model(), threads=1) as reader:
        assert reader.model.name == "fake"
        assert reader.read(PAIR).model == reader.model
    assert engine.closed


def test_an_image_of_a_modality_that_the_bundle_lacks_is_an_error_and_never_a_negative():
    """Before anything is computed; an image of the other modality alone is read, incomplete."""
    model = fake_model()
    alone = replace(model, modalities={MG: model.of(MG)})
    engine = FakeEngine([MALIGNANT])
    reader = Reader(engine, alone, threads=1)
    with pytest.raises(ModalityNotRead, match="no US; nothing can be said of such an image"):
        reader.read(PAIR)
    assert not engine.calls
    reading = reader.read([posted(MG)])
    assert (reading.verdict, reading.incomplete) == (P, True)


def test_each_modality_is_read_by_its_own_network_on_its_own_canvas():
    wide = replace(GEOMETRY, input_size=(96, 128))
    model = fake_model()
    stages = DetectorStages("probe.trunk", "probe.heads", "probe.masks")
    other = replace(model.of(US), network="probe", geometry=wide, stages=stages)
    film, probe = FakeEngine([MALIGNANT]), FakeEngine([CALM], wide)

    class Both(Engine):
        def run(self, stage, inputs, keep=()):
            network, own = ("", stage) if "." not in stage else stage.split(".")
            return {"": film, "probe": probe}[network].run(own, inputs, keep)

        def close(self):
            film.close()

    both = replace(model, modalities={MG: model.of(MG), US: other})
    reading = Reader(Both(), both, threads=1).read((posted(MG), posted(US), posted(MG, 2)))
    assert [image.verdict for image in reading.images] == [P, N, P]
    shapes = [[c["image"].shape[2:] for c in e.inputs_of("trunk")] for e in (film, probe)]
    assert shapes == [[(128, 96), (128, 96)], [(96, 128)]]


FAINT = Scene((Lesion((30, 40, 54, 64), 0.05, 0.15),), image=(0.2, 0.2, 0.6))
SCORED = Scoring(0.5, 0.05, 0.5, Calibration(1.0, 0.0), BreastScoring(Calibration(1.0, 0.0), 0.4))


def views(*projections: str, side: Laterality = Laterality.LEFT) -> tuple[SourceImage, ...]:
    return tuple(
        replace(posted(MG, k + 1), laterality=side, view=view) for k, view in enumerate(projections)
    )


def read_scored(*images: SourceImage, scenes: list[Scene], scoring: Scoring = SCORED) -> Reading:
    return Reader(FakeEngine(scenes), fake_model().everywhere(scoring=scoring), threads=1).read(
        images
    )


@pytest.mark.parametrize("shown_from", [0.1, 0.3, 0.9])
def test_a_score_does_not_depend_on_which_findings_are_shown(shown_from):
    """The region lies under the two higher thresholds; its malignancy counts all the same."""
    model = fake_model().everywhere(scoring=SCORED, finding_threshold=shown_from)
    (image,) = Reader(FakeEngine([FAINT]), model, threads=1).read([posted(US)]).images
    assert len(image.findings) == (shown_from < 0.2)
    assert image.score == pytest.approx(0.5 * 0.6 + 0.5 * 0.15)
    assert image.evidence == Evidence(pytest.approx(0.6), pytest.approx(0.15))


def test_two_views_are_judged_as_one_breast():
    """0.45 and 0.375 are negative by themselves; their mean reaches the breast's point."""
    calm = Scene((), image=(0.2, 0.0, 0.9))
    reading = read_scored(*views("CC", "MLO"), posted(US), scenes=[calm, FAINT, CALM])
    assert [image.score for image in reading.images[:2]] == pytest.approx([0.45, 0.375])
    assert [image.verdict for image in reading.images] == [P, P, N]
    (breast,) = reading.breasts
    assert (breast.laterality, breast.images, breast.verdict) == (Laterality.LEFT, (0, 1), P)
    assert breast.score == pytest.approx(0.4125)
    assert (reading.verdict, reading.decided_by) == (P, (MG,))
    assert NOT_BY_ITSELF.text not in reading.images[0].warnings
    assert NOT_BY_ITSELF.text in reading.images[1].warnings


def test_a_breast_that_one_view_clears_is_negative_and_shows_nothing_malignant():
    strong = Scene((Lesion((30, 40, 54, 64), 0.1, 0.7),), image=(0.5, 0.1, 0.4))
    scoring = replace(SCORED, breast=BreastScoring(Calibration(1.0, 0.0), 0.5))
    reading = read_scored(*views("CC", "MLO"), scenes=[strong, CALM], scoring=scoring)
    assert [image.verdict for image in reading.images] == [N, N]
    assert reading.images[0].score == pytest.approx(0.55)
    assert [found.label for found in reading.images[0].findings] == [Label.BENIGN]


def test_a_positive_breast_names_a_malignant_finding_where_it_shows_one():
    weak = Scene((Lesion((30, 40, 54, 64), 0.3, 0.5),), image=(0.5, 0.1, 0.4))
    reading = read_scored(*views("CC", "MLO"), scenes=[weak, weak])
    labels = [[found.label for found in image.findings] for image in reading.images]
    assert labels == [[Label.MALIGNANT], [Label.MALIGNANT]]


@pytest.mark.parametrize(
    "images",
    [
        views("CC"),
        views("CC", "CC"),
        views("CC", "ML"),
        (views("CC")[0], views("CC", "MLO", side=Laterality.RIGHT)[1]),
    ],
)
def test_without_both_standard_views_of_one_breast_each_image_is_judged_by_itself(images):
    calm = Scene((), image=(0.2, 0.0, 0.9))
    reading = read_scored(*images, scenes=[calm])
    assert not reading.breasts
    assert {image.verdict for image in reading.images} == {N}


def test_a_breast_is_not_cleared_where_one_of_its_views_shows_none():
    noise = np.random.default_rng(0).normal(60, 10, (300, 210)).astype(np.uint8)
    cc, mlo = views("CC", "MLO")
    reading = read_scored(cc, replace(mlo, pixels=noise), scenes=[CALM])
    assert [image.verdict for image in reading.images] == [N, I]
    assert reading.breasts[0].verdict is I
    assert reading.verdict is I
