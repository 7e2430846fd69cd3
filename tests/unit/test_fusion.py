"""The three-valued OR over images and modalities."""

from __future__ import annotations

from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.modality import PAIR, StudyProtocol
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


# The three-valued OR by itself

images = st.lists(st.sampled_from(Verdict), min_size=1, max_size=5)


@settings(deadline=None)
@given(images, images)
def test_the_or_of_two_lists_is_that_of_their_ors(some, others):
    assert of_modality(some + others) is of_modality([of_modality(some), of_modality(others)])


@settings(deadline=None)
@given(images, st.data())
def test_the_or_asks_for_no_order_and_counts_nothing_twice(some, data):
    assert of_modality(data.draw(st.permutations(some))) is of_modality(some)
    assert of_modality(some + some) is of_modality(some)


@settings(deadline=None)
@given(images)
def test_a_positive_decides_and_a_negative_changes_nothing(some):
    assert of_modality([*some, P]) is P
    assert of_modality([*some, N]) is of_modality(some)


# Other protocols, and a modality that only some of them ask for


class Wider(str, Enum):
    MG = "MG"
    MR = "MR"
    US = "US"


THREE = StudyProtocol(tuple(Wider))
TWO = StudyProtocol((Wider.MG, Wider.US))
wider = st.dictionaries(st.sampled_from(Wider), verdicts)
protocols = st.lists(st.sampled_from(Wider), min_size=1, unique=True).map(
    lambda asked: StudyProtocol(tuple(asked))
)


def test_the_default_protocol_asks_for_both_tests():
    study = {MG: [N], US: [P]}
    assert fuse(study) == fuse(study, PAIR) == fuse(study, StudyProtocol((MG, US)))


@settings(deadline=None)
@given(studies)
def test_a_third_modality_that_nobody_asks_for_changes_no_pair(study):
    same = {Wider(modality.value): verdicts for modality, verdicts in study.items()}
    assert fuse(same, TWO) == fuse(study)


def test_a_pair_lacks_something_only_where_the_protocol_asks_for_more():
    pair = {Wider.MG: [N], Wider.US: [N]}
    assert fuse(pair, TWO) == Fused(N, (Wider.MG, Wider.US), False)
    assert fuse(pair, THREE) == Fused(I, (Wider.MR,), True)
    assert fuse({**pair, Wider.MR: [N]}, THREE) == Fused(N, tuple(Wider), False)


def test_one_test_alone_is_a_study_where_the_protocol_says_so():
    alone = StudyProtocol((Wider.US,))
    assert fuse({Wider.US: [N]}, alone) == Fused(N, (Wider.US,), False)
    assert fuse({}, alone) == Fused(I, (Wider.US,), True)


@pytest.mark.parametrize("own", list(Verdict))
def test_an_image_that_was_not_asked_for_counts_all_the_same(own):
    study = {Wider.MR: [own], Wider.MG: [N], Wider.US: [N]}
    decided = (Wider.MG, Wider.US, Wider.MR) if own is N else (Wider.MR,)
    assert fuse(study, TWO) == Fused(own, decided, False)


@settings(deadline=None)
@given(wider, protocols)
def test_under_any_protocol_negative_means_all_that_it_asks_for_and_nothing_else(study, protocol):
    fused = fuse(study, protocol)
    verdicts = [verdict for images in study.values() for verdict in images]
    assert fused.incomplete == any(not study.get(asked) for asked in protocol.required)
    assert (fused.verdict is P) == (P in verdicts)
    assert (fused.verdict is N) == (not fused.incomplete and set(verdicts) == {N})


@settings(deadline=None)
@given(wider, protocols)
def test_the_modalities_that_decide_have_the_fused_verdict(study, protocol):
    fused = fuse(study, protocol)
    assert fused.decided_by
    assert len(set(fused.decided_by)) == len(fused.decided_by)
    for modality in fused.decided_by:
        assert of_modality(study.get(modality, ())) is fused.verdict


@settings(deadline=None)
@given(wider, protocols, st.sampled_from(Wider))
def test_to_ask_for_more_never_gives_a_milder_answer(study, protocol, more):
    if more in protocol.required:
        return
    asked = StudyProtocol((*protocol.required, more))
    assert RANK[fuse(study, asked).verdict] >= RANK[fuse(study, protocol).verdict]


@settings(deadline=None)
@given(studies, st.sets(st.sampled_from(Modality), min_size=1))
def test_a_modality_with_an_unread_image_is_at_best_indeterminate(study, unread):
    fused, whole = fuse(study, unread=unread), fuse(study)
    assert fused.verdict is (P if whole.verdict is P else I)
    assert fused.incomplete == whole.incomplete
    for modality in unread:
        own = P if P in study.get(modality, ()) else I
        assert (modality in fused.decided_by) == (own is fused.verdict)
