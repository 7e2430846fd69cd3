"""The three-valued OR over images and modalities."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.pipeline.fusion import Fused, fuse, of_modality
from mammosono.appliance.values import Modality, Verdict

MG, US = Modality.MG, Modality.US
P, N, I = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.INDETERMINATE  # noqa: E741
RANK = {N: 0, I: 1, P: 2}

verdicts = st.lists(st.sampled_from(Verdict), max_size=4)
studies = st.dictionaries(st.sampled_from(Modality), verdicts)

TRUTH = [
    # mammogram, ultrasound, fused, decided by
    (P, P, P, (MG, US)),
    (P, N, P, (MG,)),
    (P, I, P, (MG,)),
    (P, None, P, (MG,)),
    (N, P, P, (US,)),
    (N, N, N, (MG, US)),
    (N, I, I, (US,)),
    (N, None, I, (US,)),
    (I, P, P, (US,)),
    (I, N, I, (MG,)),
    (I, I, I, (MG, US)),
    (I, None, I, (MG, US)),
    (None, P, P, (US,)),
    (None, N, I, (MG,)),
    (None, I, I, (MG, US)),
    (None, None, I, (MG, US)),
]


@pytest.mark.parametrize(("mammogram", "ultrasound", "verdict", "decided_by"), TRUTH)
def test_the_truth_table(mammogram, ultrasound, verdict, decided_by):
    study = {m: [v] for m, v in ((MG, mammogram), (US, ultrasound)) if v is not None}
    incomplete = mammogram is None or ultrasound is None
    assert fuse(study) == Fused(verdict, decided_by, incomplete)


def test_the_truth_table_is_full():
    assert len({row[:2] for row in TRUTH}) == len(TRUTH) == (len(Verdict) + 1) ** 2


@pytest.mark.parametrize(
    ("images", "verdict"),
    [((), I), ((N,), N), ((I,), I), ((N, N), N), ((N, I), I), ((N, I, P), P), ((I, P), P)],
)
def test_one_modality_of_several_images(images, verdict):
    assert of_modality(images) is verdict


def test_a_modality_with_an_empty_list_is_missing():
    assert fuse({MG: [N], US: []}) == Fused(I, (US,), True)


@settings(deadline=None)
@given(studies)
def test_it_is_never_negative_with_anything_missing_or_undecided(study):
    if fuse(study).verdict is N:
        assert all(study.get(modality) for modality in Modality)
        assert all(v is N for images in study.values() for v in images)


@settings(deadline=None)
@given(studies)
def test_it_is_positive_exactly_if_an_image_is(study):
    assert (fuse(study).verdict is P) == any(P in images for images in study.values())


@settings(deadline=None)
@given(studies, st.data())
def test_the_order_of_the_images_does_not_matter(study, data):
    other = {m: data.draw(st.permutations(study[m])) for m in reversed(list(study))}
    assert fuse(other) == fuse(study)


@settings(deadline=None)
@given(studies, st.sampled_from(Modality), st.integers(0, 3), st.sampled_from(Verdict))
def test_it_is_monotone_a_graver_image_never_gives_a_milder_answer(study, modality, at, verdict):
    images = study.get(modality, [])
    if at >= len(images) or RANK[verdict] < RANK[images[at]]:
        return
    graver = {**study, modality: [*images[:at], verdict, *images[at + 1 :]]}
    assert RANK[fuse(graver).verdict] >= RANK[fuse(study).verdict]


@settings(deadline=None)
@given(studies)
def test_somebody_always_decides(study):
    assert fuse(study).decided_by
