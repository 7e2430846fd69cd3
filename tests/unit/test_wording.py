"""What a reading says in words."""

from __future__ import annotations

import pytest
import readings

from mammosono.appliance.output import wording
from mammosono.appliance.values import Label, Modality, Verdict

MG, US = Modality.MG, Modality.US
P, N, I = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.INDETERMINATE  # noqa: E741


def study(*verdicts):
    images = [
        readings.image(index, modality, verdict, size=(70, 70), score=0.3)
        for index, (modality, verdict) in enumerate(verdicts)
    ]
    return readings.reading(*images)


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([(MG, P), (US, N)], "The mammogram is positive."),
        ([(MG, P), (US, P)], "The mammogram and ultrasound are positive."),
        ([(MG, N), (US, N)], "The mammogram and ultrasound are negative."),
        ([(MG, N), (US, I)], "The ultrasound is indeterminate."),
        ([(US, P)], "The ultrasound is positive. No mammogram was given."),
        ([(MG, N)], "No ultrasound was given."),
        ([(MG, I)], "The mammogram is indeterminate. No ultrasound was given."),
    ],
)
def test_the_reason_names_who_decided_and_what_is_missing(verdicts, words):
    assert wording.reason(study(*verdicts)) == words


def test_a_score_stands_beside_its_operating_point():
    alone = study((US, N))
    assert wording.score(alone.images[0], alone) == "score 0.300, positive from 0.470"


def test_a_view_is_shown_with_the_score_of_its_breast():
    seen = readings.by_views()
    said = [wording.score(image, seen) for image in seen.images]
    assert said[0] == "left breast by 2 views 0.520, positive from 0.400; this view 0.310"
    assert said[1].endswith("this view 0.720")


def test_a_missing_score_is_said():
    lost = readings.image(0, MG, I, size=(70, 70))
    assert wording.score(lost, study((MG, I))) == "no score"
    assert wording.no_findings(lost) == "This image could not be decided."


def test_sizes_are_in_millimetres_where_the_pixel_size_is_known():
    sized = {"centre": (40, 30), "radius": 10, "size": (80, 90)}
    known = readings.finding(Label.BENIGN, 0.1, spacing_mm=(0.5, 0.5), **sized)
    unknown = readings.finding(Label.BENIGN, 0.1, **sized)
    assert wording.extent(known) == f"{known.diameter_mm:.1f} mm, {known.area_mm2:.1f} mm²"
    assert wording.extent(unknown) == f"{unknown.area_px} px²"
    assert wording.position(unknown) == "x 40, y 30"


def test_denoising_tells_method_parameters_and_noise():
    (image,) = study((MG, N)).images
    words = wording.denoising(image)
    assert words == "anscombe (gain 0.01235, sigma 1.5); noise 3.21 before, 1.07 after"


def test_a_modality_of_which_nothing_could_be_read_was_given_all_the_same():
    scan = readings.image(1, US, N, size=(70, 70), score=0.1)
    seen = readings.reading(scan, unread=[readings.not_read(0, MG)])
    assert wording.reason(seen) == "No mammogram could be read."
    assert wording.labels(seen) == ["image 1", "image 1"]
