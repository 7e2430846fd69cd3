"""Whether the images of a study belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeEngine, Scene, fake_model
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mammosono.appliance.errors import PatientsDiffer, RepeatedImage
from mammosono.appliance.identity import Identity, name_of
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.likeness import difference, likeness, same
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.study import (
    DAYS_APART,
    IDS_DIFFER,
    ISSUERS_DIFFER,
    MOST_DAYS_APART,
    PATIENT_UNCONFIRMED,
    SIDES_DIFFER,
    SIMILAR_IMAGES,
    study_cautions,
)
from mammosono.appliance.values import Label, Laterality, Modality, Reading, SourceImage, Verdict

MG, US = Modality.MG, Modality.US
L, R = Laterality.LEFT, Laterality.RIGHT
JANE = Identity(patient_id=("4711", ""), name=name_of("Doe^Jane"))
NAMED = replace(JANE, patient_id=None)
NUMBERED = replace(JANE, name=())
MARY = Identity(patient_id=("4712", ""), name=name_of("Smith^Mary"))
ALARM = Scene((), image=(0.0, 0.0, 1.0))


def image(
    modality: Modality, identity: Identity = JANE, side: Laterality | None = None, seed: int = 0
) -> SourceImage:
    height, width = (300, 210) if modality is MG else (200, 260)
    rows, columns = np.mgrid[:height, :width]
    breast = (columns / width) ** 2 + (2 * rows / height - 1) ** 2 < 0.8
    pixels = np.where(breast, 120 + (rows + columns + seed) % 60, 0).astype(np.uint8)
    return SourceImage(
        modality, pixels, 8, (0, 255), None, f"{modality.value}{seed}", laterality=side,
        identity=identity,
    )  # fmt: skip


def read(*images: SourceImage, scene: Scene = Scene()) -> Reading:
    return Reader(FakeEngine([scene]), fake_model(), threads=1).read(images)


def test_two_patients_are_refused_wherever_they_stand_and_nobody_is_named():
    for images in (
        [image(MG), image(US, MARY)],
        [image(MG), image(MG, MARY, seed=1)],
        [image(MG), image(US, Identity()), image(US, MARY, seed=1)],
    ):
        with pytest.raises(PatientsDiffer) as refused:
            read(*images)
        assert not any(word in str(refused.value) for word in ("4711", "4712", "Doe", "Smith"))


@pytest.mark.parametrize(
    ("identities", "unconfirmed"),
    [
        ([JANE, JANE], False),
        ([JANE, Identity()], True),
        ([Identity(), Identity()], False),
        ([NAMED, NUMBERED], True),
        ([NAMED, NUMBERED, JANE], False),
    ],
)
def test_where_one_is_named_and_another_not_it_is_read_with_a_warning(identities, unconfirmed):
    images = [image(MG, each, seed=k) for k, each in enumerate(identities)]
    reading = read(*images, image(US, identities[0]))
    assert (PATIENT_UNCONFIRMED.text in reading.warnings) == unconfirmed
    assert (PATIENT_UNCONFIRMED.code in reading.reasons) == unconfirmed
    assert reading.verdict is Verdict.NEGATIVE


@pytest.mark.parametrize(
    ("film", "echo", "verdict"),
    [
        ({}, {}, Verdict.INDETERMINATE),
        ({"name": JANE.name}, {"name": JANE.name}, Verdict.NEGATIVE),
        ({"events": frozenset("1")}, {"events": frozenset("1")}, Verdict.NEGATIVE),
        ({"patient_id": ("4711", "")}, {}, Verdict.NEGATIVE),
    ],
)
def test_ids_of_two_issuers_alone_are_never_negative(film, echo, verdict):
    here = Identity(patient_id=("4711", "clinic"))
    there = Identity(patient_id=("4711", "practice"))
    reading = read(image(MG, replace(here, **film)), image(US, replace(there, **echo)))
    assert reading.verdict is verdict
    assert (ISSUERS_DIFFER.code in reading.reasons) == (verdict is Verdict.INDETERMINATE)


def test_one_name_and_birth_date_under_two_ids_is_read_told_and_keeps_its_verdict():
    here = replace(JANE, birth_date=date(1961, 2, 3))
    reading = read(image(MG, here), image(US, replace(here, patient_id=("815", ""))))
    assert reading.verdict is Verdict.NEGATIVE
    assert (reading.warnings, reading.reasons) == ((IDS_DIFFER.text,), (IDS_DIFFER.code,))
    assert read(image(MG, here), image(US, here)).reasons == ()


def test_an_image_twice_is_refused_in_one_place_and_in_both_by_its_bytes_or_its_pixels():
    film = image(MG)
    for again in (
        film,
        replace(film, modality=US),
        replace(film, sha256="of another file"),
        replace(image(US), sha256=film.sha256),
        replace(film, sha256="of 16 bits", pixels=film.pixels.astype(np.uint16) * 257, bits=16),
        replace(film, sha256="of 12 bits", pixels=film.pixels.astype(np.uint16) << 4, bits=12),
    ):
        with pytest.raises(RepeatedImage, match="Images 1 and 2"):
            read(film, again)
    assert study_cautions([film, image(MG, seed=1), image(US)]) == ()


def saved_again(pixels: NDArray[Any], *how: int) -> NDArray[Any]:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, how)[1], cv2.IMREAD_UNCHANGED)


AGAIN: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "JPEG 75": lambda p: saved_again(p, cv2.IMWRITE_JPEG_QUALITY, 75),
    "half as large": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "another window": lambda p: np.clip(p * 1.1 - 4, 0, 255).astype(np.uint8),
    "16 bits of a JPEG": lambda p: saved_again(p).astype(np.uint16) * 257,
}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN.keys())
def test_a_picture_that_is_saved_again_with_loss_is_told_and_in_both_places_refused(again):
    drawn = [phantom(MG, seed, Label.BENIGN, height=300, width=210).pixels for seed in (1, 2)]
    films = [replace(image(MG), pixels=each, sha256=f"{k}") for k, each in enumerate(drawn)]
    lossy = replace(films[0], pixels=again(drawn[0]), sha256="another")
    assert study_cautions(films) == ()
    assert study_cautions([*films, lossy]) == (SIMILAR_IMAGES,)
    with pytest.raises(RepeatedImage, match="Images 1 and 3"):
        study_cautions([*films, replace(lossy, modality=US)])


LAID: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "mirrored": np.fliplr,
    "upside down": np.flipud,
    "turned by half": lambda p: np.rot90(p, 2),
    "turned by a quarter": np.rot90,
    "the other quarter": lambda p: np.rot90(p, -1),
    "transposed": np.transpose,
}


@pytest.mark.parametrize("laid", LAID.values(), ids=LAID.keys())
@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN.keys())
def test_a_picture_that_is_mirrored_or_turned_is_the_same_one(laid, again):
    drawn = [phantom(MG, seed, Label.BENIGN, height=300, width=210).pixels for seed in (1, 2)]
    films = [replace(image(MG), pixels=each, sha256=f"{k}") for k, each in enumerate(drawn)]
    other = np.ascontiguousarray(laid(again(drawn[0])))
    assert study_cautions([*films, replace(films[0], pixels=other, sha256="another")]) == (
        SIMILAR_IMAGES,
    )


@pytest.mark.parametrize("laid", [np.array, np.fliplr], ids=["as it was", "mirrored"])
def test_one_picture_is_not_of_both_breasts(laid):
    drawn = phantom(MG, 1, Label.BENIGN, height=300, width=210).pixels
    film = replace(image(MG), pixels=drawn, laterality=Laterality.RIGHT)
    lossy = np.ascontiguousarray(laid(saved_again(drawn, cv2.IMWRITE_JPEG_QUALITY, 90)))
    again = replace(film, pixels=lossy, sha256="another")
    for side in (Laterality.RIGHT, None):
        assert study_cautions([film, replace(again, laterality=side)]) == (SIMILAR_IMAGES,)
    with pytest.raises(RepeatedImage, match="Images 1 and 2"):
        study_cautions([film, replace(again, laterality=Laterality.LEFT)])


@given(st.integers(1, 255), st.integers(0, 200))
@settings(deadline=None)
def test_a_likeness_hangs_on_no_linear_change_of_the_greys(slope, offset):
    pixels = phantom(US, 1, Label.BENIGN, height=90, width=120).pixels.astype(np.uint16)
    a, b = likeness(pixels), likeness(pixels * slope + offset)
    assert same(a, b)
    assert difference(a, b) < 0.005
    negative = likeness(65535 - pixels)
    assert not same(a, negative)
    assert difference(a, negative) == 1
    assert not same(a, likeness(pixels // 2))
    assert not same(a, likeness(pixels[:-1]))
    assert not same(a, likeness(pixels.reshape(60, -1)))


@pytest.mark.parametrize(
    ("films", "echoes", "differ"),
    [
        ([L], [R], True),
        ([R], [L], True),
        ([L, None], [R], True),
        ([L], [L], False),
        ([L, R], [R], False),
        ([L], [None], False),
        ([None], [R], False),
        ([L], [L, R], False),
    ],
)
def test_films_of_one_breast_and_ultrasound_of_the_other_are_never_cleared(films, echoes, differ):
    images = [
        *(image(MG, side=side, seed=k) for k, side in enumerate(films)),
        *(image(US, side=side, seed=k) for k, side in enumerate(echoes)),
    ]
    reading = read(*images)
    assert {each.verdict for each in reading.images} == {Verdict.NEGATIVE}
    assert reading.verdict is (Verdict.INDETERMINATE if differ else Verdict.NEGATIVE)
    assert reading.warnings == ((SIDES_DIFFER.text,) if differ else ())
    assert reading.reasons == ((SIDES_DIFFER.code,) if differ else ())
    assert (reading.decided_by == ()) == differ
    assert read(*images, scene=ALARM).verdict is Verdict.POSITIVE


def test_images_of_two_occasions_are_told():
    first = date(2026, 1, 1)
    for days, told in ((MOST_DAYS_APART, False), (MOST_DAYS_APART + 1, True)):
        later = replace(JANE, taken=first + timedelta(days))
        found = study_cautions([image(MG, replace(JANE, taken=first)), image(US, later)])
        assert found == ((DAYS_APART,) if told else ())


def test_why_a_study_is_indeterminate_is_said_by_codes():
    assert read(image(MG)).reasons == ("incomplete",)
    blank = replace(image(MG), pixels=np.random.default_rng(0).integers(40, 80, (300, 210), "u1"))
    assert read(blank, image(US)).reasons == ("image_indeterminate",)
