"""Pairing: what is read together hangs on the set of images alone, and two patients never meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.node.pairing import (
    DAY_S,
    FURTHER_EXAM,
    IDENTITY_CONFLICT,
    IMAGES_LEFT_OUT,
    Action,
    Arrived,
    Case,
    Closed,
    Event,
    Expire,
    Forgotten,
    Instance,
    Opened,
    Post,
    Posted,
    Rules,
    Settled,
    State,
    Ticked,
    cases,
    conflicts,
    restored,
    step,
)
from mammosono.appliance.values import Modality

MG, US = Modality.MG, Modality.US
RULES = Rules(quiet_s=60, gather_max_s=1800, window_days=60, held_days=90)
DAY = 738_000


def image(
    name: str, modality: Modality, patient: str = "ann", study: str = "", day: int | None = DAY,
    **more: object,
) -> Instance:  # fmt: skip
    made = Instance(
        key=f"{patient}/{name}",
        patient=patient,
        study=f"{patient}/{study or modality.value}",
        modality=modality,
        sender="MG1@10.0.0.5",
        received=0.0,
        day=day,
        place=name,
    )
    return replace(made, **more)  # type: ignore[arg-type]


PAIR = (image("m1", MG), image("m2", MG), image("u1", US, day=DAY + 3))


class Node:
    """The machine with a clock; what is posted is read at once."""

    def __init__(self, rules: Rules = RULES, *, settle: bool = True) -> None:
        self.rules, self.settle, self.now, self.state = rules, settle, 0.0, State()
        self.actions: list[Action] = []
        self.stored: dict[str, Instance] = {}
        self.posted: dict[tuple[str, str], Posted] = {}

    def tell(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, Arrived):
                received = replace(event.instance, received=self.now)
                event = Arrived(received, event.association)
                self.stored.setdefault(event.instance.key, event.instance)
            self.state, actions = step(self.state, event, self.now, self.rules)
            self.actions += actions
            for each in actions:
                if isinstance(each, Post):
                    case = each.case
                    self.posted[case.patient, case.key] = Posted(case.content, each.version)
                    if self.settle:
                        self.tell(Settled(case.patient, case.key))
                else:
                    for key in each.instances:
                        del self.stored[key]

    def come(self, *instances: Instance, by: str = "") -> None:
        self.tell(*(Arrived(each, by) for each in instances))

    def wait(self, seconds: float, every: float = 30.0) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + every, end)
            self.tell(Ticked())

    def restart(self) -> None:
        posted = [(patient, case, last) for (patient, case), last in self.posted.items()]
        self.state = restored(self.stored.values(), posted, self.now)

    @property
    def posts(self) -> list[Post]:
        return [each for each in self.actions if isinstance(each, Post)]

    @property
    def expired(self) -> list[str]:
        return [key for each in self.actions if isinstance(each, Expire) for key in each.instances]


def keys(case: Case) -> list[str]:
    return [each.key for each in case.images]


def test_a_pair_of_two_days_is_posted_once_both_exams_are_quiet_and_mammograms_come_first() -> None:
    node = Node()
    node.come(PAIR[0], PAIR[2])
    node.wait(30)
    node.come(PAIR[1])
    node.wait(59)
    assert not node.posts
    node.wait(1)
    (post,) = node.posts
    assert keys(post.case) == ["ann/m1", "ann/m2", "ann/u1"]
    assert (post.version, post.forced, post.case.no_negative) == (1, False, ())
    node.wait(3 * DAY_S, every=600)
    assert len(node.posts) == 1


def test_an_exam_waits_for_its_partner_for_the_window_and_is_then_removed_unread() -> None:
    node = Node()
    node.come(PAIR[0])
    node.wait(59 * DAY_S, every=3600)
    assert (node.posts, node.expired) == ([], [])
    node.wait(2 * DAY_S, every=3600)
    assert (node.posts, node.expired) == ([], ["ann/m1"])
    assert not node.state.patients


def test_an_exam_alone_is_read_when_the_window_is_over_if_that_is_asked_for() -> None:
    node = Node(replace(RULES, report_alone=True))
    node.come(PAIR[0])
    node.wait(61 * DAY_S, every=3600)
    (post,) = node.posts
    assert keys(post.case) == ["ann/m1"]
    assert not post.case.paired
    node.wait(31 * DAY_S, every=3600)
    assert node.expired == ["ann/m1"]


def test_a_pair_is_removed_at_once_when_its_last_image_has_been_kept_long_enough() -> None:
    node = Node()
    node.come(*PAIR[:2])
    node.wait(50 * DAY_S, every=3600)
    node.come(PAIR[2])
    node.wait(89 * DAY_S, every=3600)
    assert len(node.posts) == 1
    assert not node.expired
    node.wait(2 * DAY_S, every=3600)
    assert node.expired == ["ann/m1", "ann/m2", "ann/u1"]
    assert len(node.posts) == 1


def test_the_quiet_time_never_ends_while_a_sender_of_the_exam_is_connected() -> None:
    """Also one that has brought nothing yet, or this exam's images beside another's."""
    node = Node(replace(RULES, gather_max_s=1e9))
    for number, brought in enumerate(([], [*PAIR], [image("x", MG, "eve"), *PAIR])):
        node.come(*PAIR, image(f"late{number}", US))
        node.tell(Opened("1", "MG1@10.0.0.5"))
        node.come(*brought, by="1")
        node.wait(5000)
        assert len(node.posts) == number
        node.tell(Closed("1"))
        node.wait(59)
        assert len(node.posts) == (number if brought else number + 1)
        node.wait(1)
        assert len(node.posts) == number + 1


def test_an_association_of_another_sender_holds_up_nothing() -> None:
    node = Node()
    node.tell(Opened("1", "US9@10.0.0.9"))
    node.come(*PAIR)
    node.wait(60)
    assert len(node.posts) == 1


def test_a_sender_that_is_always_connected_holds_up_nobody_of_whom_it_brings_nothing() -> None:
    """As a PACS that forwards everything: its associations overlap all day long."""
    node = Node()
    node.come(*PAIR)
    for number in range(10):
        node.tell(Opened(str(number), "MG1@10.0.0.5"))
        node.come(image(str(number), MG, f"p{number}"), by=str(number))
        node.tell(*[Closed(str(number - 1))] * (number > 0))
        node.wait(10)
    assert len(node.posts) == 1


def test_studies_of_one_day_and_modality_are_one_exam() -> None:
    """Some sites open one for each breast."""
    left, right = image("l", US, study="left"), image("r", US, study="right")
    (case,) = [case for case in cases([PAIR[0], left, right], RULES) if case.paired]
    assert keys(case) == ["ann/m1", "ann/l", "ann/r"]
    assert case.no_negative == ()
    before = [case for case in cases([PAIR[0], left], RULES) if case.paired]
    assert [each.key for each in before] == [case.key]
    apart = [replace(left, birth="one"), replace(right, birth="two")]
    (case,) = [case for case in cases([PAIR[0], *apart], RULES) if case.paired]
    assert len(case.images) == 2
    assert case.no_negative == (IDENTITY_CONFLICT,)


def test_an_exam_that_never_ends_is_read_after_the_longest_time_and_again_when_it_has_ended() -> (
    None
):
    node = Node()
    node.tell(Opened("1", "MG1@10.0.0.5"))
    node.come(*PAIR)
    for number in range(70):
        node.come(image(f"u{number + 10}", US))
        node.wait(30)
    first = node.posts[0]
    assert (first.forced, first.version) == (True, 1)
    assert len(node.posts) == 1
    node.tell(Closed("1"))
    node.wait(60)
    assert [(post.version, post.forced) for post in node.posts] == [(1, True), (2, False)]


def test_a_late_image_makes_a_new_version_of_the_same_case_and_a_second_copy_makes_none() -> None:
    node = Node()
    node.come(*PAIR)
    node.wait(60)
    node.come(PAIR[0], PAIR[2])
    node.wait(600)
    assert len(node.posts) == 1
    node.come(image("u2", US, day=DAY + 3))
    node.wait(60)
    first, second = node.posts
    assert second.case.key == first.case.key
    assert second.version == 2
    assert second.case.study_id != first.case.study_id
    assert keys(second.case) == [*keys(first.case), "ann/u2"]


def test_a_late_image_waits_for_the_reading_under_way() -> None:
    node = Node(settle=False)
    node.come(*PAIR)
    node.wait(60)
    node.come(image("u2", US, day=DAY + 3))
    node.wait(600)
    assert len(node.posts) == 1
    node.tell(Settled("ann", node.posts[0].case.key))
    node.wait(30)
    assert [post.version for post in node.posts] == [1, 2]


@pytest.mark.parametrize("stated", ["birth", "sex"])
def test_a_conflicting_birth_date_or_sex_never_pairs(stated: str) -> None:
    mammogram = replace(PAIR[0], **{stated: "one"})
    other = replace(PAIR[2], **{stated: "another"})
    node = Node()
    node.come(mammogram, other)
    node.wait(DAY_S, every=600)
    assert not node.posts
    assert conflicts([mammogram, other]) == {mammogram.exam, other.exam}
    assert not conflicts([mammogram, replace(other, **{stated: ""})])


def test_an_exam_that_contradicts_itself_is_read_with_nothing() -> None:
    inside = (replace(PAIR[0], birth="one"), replace(PAIR[1], birth="another"), PAIR[2])
    assert not [case for case in cases(inside, RULES) if case.paired]
    again = (PAIR[0], replace(PAIR[1], contradicted=True), PAIR[2])
    assert not [case for case in cases(again, RULES) if case.paired]


def test_an_image_that_comes_again_with_another_birth_date_is_in_conflict() -> None:
    node = Node()
    node.come(replace(PAIR[0], birth="one"), replace(PAIR[0], birth="another"), PAIR[2])
    node.wait(600)
    assert not node.posts


def test_another_exam_under_the_same_id_with_another_birth_date_forbids_a_negative() -> None:
    pair = [replace(each, birth="one") for each in PAIR]
    other = image("x", US, study="other", birth="two")
    (case,) = [case for case in cases([*pair, other], RULES) if case.paired]
    assert case.no_negative == (IDENTITY_CONFLICT,)
    assert "ann/x" not in keys(case)


def test_the_nearest_exams_pair_and_what_is_left_forbids_a_negative() -> None:
    far = image("far", US, study="far", day=DAY + 40)
    near = image("near", US, study="near", day=DAY - 2)
    paired = [case for case in cases([PAIR[0], far, near], RULES) if case.paired]
    assert [keys(case) for case in paired] == [["ann/m1", "ann/near"]]
    assert paired[0].no_negative == (FURTHER_EXAM,)
    beyond = replace(far, day=DAY + 61)
    (case,) = [case for case in cases([PAIR[0], beyond, near], RULES) if case.paired]
    assert case.no_negative == ()


def test_exams_further_apart_than_the_window_or_without_a_date_never_pair() -> None:
    for day in (DAY + 61, DAY - 61, None):
        assert not any(case.paired for case in cases([PAIR[0], image("u", US, day=day)], RULES))
    together = [image("m", MG, study="one", day=None), image("u", US, study="one", day=None)]
    assert [case.paired for case in cases(together, RULES)] == [True]


def test_more_images_than_are_read_together_forbid_a_negative() -> None:
    stills = [image(f"u{number:02}", US) for number in range(25)]
    (case,) = cases([PAIR[0], *stills], RULES)
    assert len(case.images) == 25
    assert case.no_negative == (IMAGES_LEFT_OUT,)
    assert keys(case)[-1] == "ann/u23"


def test_an_image_that_could_not_be_read_forbids_a_negative_and_an_excluded_one_does_not() -> None:
    clip = image("u2", US, reason="multi_frame")
    (case,) = cases([*PAIR, clip], RULES)
    assert (case.no_negative, case.left_out) == ((), (clip,))
    damaged = image("u2", US, reason="corrupt_dicom", unread=True)
    (after,) = cases([*PAIR, damaged], RULES)
    assert after.no_negative == ("corrupt_dicom",)
    assert after.content != case.content
    assert after.study_id == case.study_id


def test_an_exam_of_excluded_images_alone_is_no_partner() -> None:
    assert not any(
        case.paired for case in cases([PAIR[0], image("u", US, reason="doppler")], RULES)
    )


def test_breasts_are_read_apart_only_if_every_image_states_its_side() -> None:
    rules = replace(RULES, by="breast")
    sided = [
        image("m1", MG, side="L"),
        image("m2", MG, side="R"),
        image("u1", US, side="L"),
    ]
    left, right = cases(sided, rules)
    assert (left.side, keys(left)) == ("L", ["ann/m1", "ann/u1"])
    assert (right.side, keys(right)) == ("R", ["ann/m2"])
    assert right.paired
    (both,) = cases([*sided, image("u2", US)], rules)
    assert (both.side, len(both.images)) == ("", 4)


def test_a_patient_that_is_forgotten_is_read_no_more() -> None:
    node = Node()
    node.come(*PAIR)
    node.tell(Forgotten("ann"))
    node.wait(600)
    assert not node.posts
    assert not node.state.patients


@st.composite
def several(draw: st.DrawFn) -> list[Instance]:
    """Images of three patients in up to three studies, each of one day, or of none."""
    day = st.sampled_from([DAY, DAY + 1, DAY + 2, DAY + 50, DAY + 70, None])
    days = {study: draw(day) for study in ("s1", "s2", "s3")}
    images = st.builds(
        lambda patient, study, modality, number, birth, reason, side: image(
            f"{study}-{modality.value}-{number}",
            modality,
            patient,
            study,
            day=days[study],
            birth=birth,
            reason=reason,
            side=side,
        ),
        st.sampled_from(["ann@A", "ann@B", "eve@A"]),
        st.sampled_from(["s1", "s2", "s3"]),
        st.sampled_from([MG, US]),
        st.integers(0, 3),
        st.sampled_from(["", "one", "one", "two"]),
        st.sampled_from(["", "", "", "doppler"]),
        st.sampled_from(["", "L", "R"]),
    )
    return draw(st.lists(images, min_size=1, max_size=14, unique_by=lambda each: each.key))


IMAGES = several()
BOTH = st.sampled_from([RULES, replace(RULES, by="breast"), replace(RULES, max_images=2)])


def final(node: Node) -> dict[str, str]:
    """What of each case was posted last, by its key."""
    return {post.case.key: post.case.content for post in node.posts}


def current(instances: Sequence[Instance], rules: Rules) -> dict[str, str]:
    patients = {each.patient for each in instances}
    of_each = [cases([i for i in instances if i.patient == who], rules) for who in patients]
    return {case.key: case.content for own in of_each for case in own if case.paired}


@settings(max_examples=150, deadline=None)
@given(images=IMAGES, rules=BOTH, data=st.data())
def test_in_whatever_order_images_come_the_same_set_is_read_once_under_the_same_keys(
    images: list[Instance], rules: Rules, data: st.DataObject
) -> None:
    """Duplicates, gaps shorter than the quiet time, and restarts included."""
    expected = current(images, rules)
    node = Node(rules)
    order = data.draw(st.permutations(images))
    for each in order:
        node.come(each)
        if data.draw(st.booleans()):
            node.come(data.draw(st.sampled_from(order)) if node.now else each)
        node.wait(data.draw(st.sampled_from([0.0, 1.0, 59.0])), every=1.0)
        if data.draw(st.integers(0, 9)) == 0:
            node.restart()
    node.wait(120)
    quiet_throughout = {key for key, _ in expected.items()}
    assert {key: final(node)[key] for key in quiet_throughout} == expected
    node.wait(600)
    node.restart()
    node.wait(600)
    for key in expected:
        own = [post for post in node.posts if post.case.key == key]
        assert [post.version for post in own] == list(range(1, len(own) + 1))
        assert len({post.case.content for post in own}) == len(own), "the same set, read twice"


@settings(max_examples=150, deadline=None)
@given(images=IMAGES, rules=BOTH, data=st.data())
def test_with_any_gaps_late_images_and_restarts_the_last_version_holds_the_whole_set(
    images: list[Instance], rules: Rules, data: st.DataObject
) -> None:
    node = Node(rules)
    for each in data.draw(st.permutations(images)):
        node.come(each)
        node.wait(data.draw(st.sampled_from([0.0, 30.0, 61.0, 4000.0])))
        if data.draw(st.integers(0, 4)) == 0:
            node.restart()
    node.wait(120)
    last = final(node)
    for key, content in current(images, rules).items():
        assert last[key] == content


@settings(max_examples=300, deadline=None)
@given(images=IMAGES, rules=BOTH)
def test_two_patients_never_meet_and_no_contradiction_is_read(
    images: list[Instance], rules: Rules
) -> None:
    node = Node(rules)
    node.come(*images)
    node.wait(7200, every=600)
    for post in node.posts:
        assert len({each.patient for each in post.case.images}) == 1
        assert len({each.birth for each in post.case.images} - {""}) <= 1
        assert not any(each.reason for each in post.case.images)


@settings(max_examples=300, deadline=None)
@given(images=IMAGES, rules=BOTH)
def test_an_eligible_image_that_was_not_read_within_the_window_always_forbids_a_negative(
    images: list[Instance], rules: Rules
) -> None:
    own = [each for each in images if each.patient == "ann@A"]
    for case in cases(own, rules):
        unread = [each for each in own if each.eligible and each.key not in keys(case)]
        if case.side:
            unread = [each for each in unread if each.side in (case.side, "")]
        days = [each.day for each in case.images if each.day is not None]
        near = [
            each
            for each in unread
            if each.day is None or not days or min(abs(each.day - day) for day in days) <= 60
        ]
        if near:
            assert case.no_negative
