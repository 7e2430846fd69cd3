"""Which images are read together, and when: a state machine without a clock, a disk or a network.

What belongs together follows from the set of a patient's images alone (`cases`), never from the
order in which they came; `step` adds when: once nothing has come for a while and no sender that
gave some of it is still connected. docs/adr/0022-pairing.md has the rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import inf
from types import MappingProxyType
from typing import Literal

from mammosono.appliance.modality import MODALITIES, PAIR
from mammosono.appliance.values import Modality

DAY_S = 86_400.0

IMAGES_LEFT_OUT = "images_left_out"
"""More eligible images than are read together."""
FURTHER_EXAM = "further_exam"
"""Another exam of the patient lies as near, and was not read with these."""
IDENTITY_CONFLICT = "identity_conflict"
"""Another exam under the same patient ID states another birth date or sex."""

By = Literal["patient", "breast"]


@dataclass(frozen=True, slots=True)
class Rules:
    """window_days: that a mammogram and an ultrasound may lie apart. quiet_s: without an image,
    after which an exam is whole. gather_max_s: after its first image it counts as whole in any
    case. report_alone: an exam without a partner is read by itself once the window is over.
    max_images: read together, of each modality. held_days: that images are kept, for late ones.
    """

    by: By = "patient"
    window_days: int = 60
    quiet_s: float = 60.0
    gather_max_s: float = 1800.0
    report_alone: bool = False
    max_images: int = 24
    held_days: int = 60


@dataclass(frozen=True, slots=True)
class Instance:
    """An image that has come. Names in it are keyed hashes (patient_key.py).

    key: of patient and SOP instance. day: on which it was taken, as an ordinal. birth, sex: hashes,
    empty where not stated. side: "L", "R", or empty where not known. place: in the exam, for its
    order. received: seconds of shelf time. reason: why it is not read; empty if it is eligible.
    unread: it should have been read, so that without it nothing is negative. contradicted: it came
    twice, with another birth date or sex.
    """

    key: str
    patient: str
    study: str
    modality: Modality
    sender: str
    received: float
    day: int | None = None
    birth: str = ""
    sex: str = ""
    side: str = ""
    place: str = ""
    reason: str = ""
    unread: bool = False
    contradicted: bool = False

    @property
    def eligible(self) -> bool:
        return not self.reason

    @property
    def exam(self) -> str:
        return f"{self.study}.{self.modality.value}"


@dataclass(frozen=True, slots=True)
class Case:
    """What is read together.

    key: of its exams' days, the same for ever. images: mammograms first. left_out: those not read.
    no_negative: codes of why it cannot be negative, whatever is seen. side: of the breast, where
    each is read by itself. paired: it is of an exam of either modality.
    """

    key: str
    patient: str
    exams: tuple[str, ...]
    images: tuple[Instance, ...]
    left_out: tuple[Instance, ...] = ()
    no_negative: tuple[str, ...] = ()
    side: str = ""

    @property
    def paired(self) -> bool:
        return len({exam.rpartition(".")[2] for exam in self.exams}) > 1

    @property
    def content(self) -> str:
        """Of what its result hangs on: the images, and what forbids a negative."""
        unread = sorted(image.key for image in self.left_out if image.unread or image.eligible)
        return _digest(*(image.key for image in self.images), "not", *unread, *self.no_negative)

    @property
    def study_id(self) -> str:
        """At the appliance: the same images are the same study there, however often posted."""
        return f"node-{self.key[:16]}-{_digest(*(image.key for image in self.images))[:16]}"


@dataclass(frozen=True, slots=True)
class _Exam:
    """One modality's images of one day: some sites open a study for each breast. Where the day is
    not known, or they contradict each other, those of one study.

    parts: keys of what it consists of, by study, as of Instance.exam.
    """

    key: str
    parts: tuple[str, ...]
    studies: frozenset[str]
    modality: Modality
    instances: tuple[Instance, ...]

    @property
    def eligible(self) -> tuple[Instance, ...]:
        return tuple(each for each in self.instances if each.eligible)

    @property
    def counts(self) -> bool:
        """Whether it holds an image that was to be read."""
        return any(each.eligible or each.unread for each in self.instances)

    @property
    def day(self) -> int | None:
        return min((each.day for each in self.instances if each.day is not None), default=None)

    @property
    def in_conflict(self) -> bool:
        """Whether its images contradict each other on whose they are."""
        return any(each.contradicted for each in self.instances) or not (
            _agree(each.birth for each in self.instances)
            and _agree(each.sex for each in self.instances)
        )

    def agrees(self, other: _Exam) -> bool:
        both = (*self.instances, *other.instances)
        return _agree(each.birth for each in both) and _agree(each.sex for each in both)

    def days_from(self, other: _Exam) -> int | None:
        """0 within one study; None where a date is missing."""
        if self.studies & other.studies:
            return 0
        if self.day is None or other.day is None:
            return None
        return abs(self.day - other.day)


def cases(instances: Iterable[Instance], rules: Rules) -> list[Case]:
    """What is read together of one patient's images, whatever their order. Exams whose images
    contradict each other on birth date or sex are in none; see `conflicts`."""
    exams = _exams(instances)
    whole = [exam for exam in exams if exam.eligible and not exam.in_conflict]
    grouped: list[list[_Exam]] = []
    taken: set[str] = set()
    for _, one, other in sorted(_candidates(whole, rules), key=_nearest_first):
        if not taken & {one.key, other.key}:
            taken |= {one.key, other.key}
            grouped.append([one, other])
    grouped += [[exam] for exam in whole if exam.key not in taken]
    return [case for group in grouped for case in _cases_of(group, exams, rules)]


def conflicts(instances: Iterable[Instance]) -> set[str]:
    """Exams of one patient that contradict themselves, or one another, on birth date or sex."""
    exams = _exams(instances)
    found = {part for exam in exams if exam.in_conflict for part in exam.parts}
    for one, other in product(exams, exams):
        if not one.agrees(other):
            found |= {*one.parts, *other.parts}
    return found


def _exams(instances: Iterable[Instance]) -> list[_Exam]:
    by_study: dict[str, list[Instance]] = {}
    for each in sorted(instances, key=lambda each: (each.place, each.key)):
        by_study.setdefault(each.exam, []).append(each)
    by_day: dict[str, list[_Exam]] = {}
    for key, own in sorted(by_study.items()):
        exam = _exam(key, own)
        named = key if exam.day is None else f"{own[0].patient}.{exam.modality.value}.{exam.day}"
        by_day.setdefault(named, []).append(exam)
    exams = []
    for key, parts in by_day.items():
        together = _exam(key, [each for part in parts for each in part.instances])
        exams += parts if together.in_conflict else [together]
    return exams


def _exam(key: str, instances: Sequence[Instance]) -> _Exam:
    return _Exam(
        key,
        tuple(sorted({each.exam for each in instances})),
        frozenset(each.study for each in instances),
        instances[0].modality,
        tuple(instances),
    )


_Candidate = tuple[int, _Exam, _Exam]


def _candidates(exams: Sequence[_Exam], rules: Rules) -> Iterable[_Candidate]:
    first, second = PAIR.required
    for one, other in product(exams, exams):
        if (one.modality, other.modality) == (first, second) and one.agrees(other):
            days = one.days_from(other)
            if days is not None and days <= rules.window_days:
                yield days, one, other


def _nearest_first(candidate: _Candidate) -> tuple[int, bool, int, str, str]:
    days, one, other = candidate
    # Of two as near, those of one study, then the later ones.
    apart = not one.studies & other.studies
    return days, apart, -(one.day or 0) - (other.day or 0), one.key, other.key


def _cases_of(group: Sequence[_Exam], exams: Sequence[_Exam], rules: Rules) -> Iterable[Case]:
    images = [image for exam in group for image in exam.eligible]
    sides = {image.side for image in images}
    if rules.by == "breast" and sides <= {"L", "R"}:
        for side in sorted(sides):
            yield _case(group, exams, [each for each in images if each.side == side], side, rules)
    else:
        yield _case(group, exams, images, "", rules)


def _case(
    group: Sequence[_Exam], exams: Sequence[_Exam], images: Sequence[Instance], side: str,
    rules: Rules,
) -> Case:  # fmt: skip
    read: list[Instance] = []
    over: list[Instance] = []
    for modality in MODALITIES:
        own = [image for image in images if image.modality is modality]
        read += own[: rules.max_images]
        over += own[rules.max_images :]
    excluded = [each for exam in group for each in exam.instances if not each.eligible]
    keys = {exam.key for exam in group}
    codes = {each.reason for each in excluded if each.unread}
    codes |= {IMAGES_LEFT_OUT} if over else set()
    codes |= {_stands_by(exam, group) for exam in exams
              if exam.key not in keys and _is_near(exam, group, rules)}  # fmt: skip
    return Case(
        key=_digest(*sorted(keys), side),
        patient=group[0].instances[0].patient,
        exams=tuple(sorted(part for exam in group for part in exam.parts)),
        images=tuple(read),
        left_out=(*over, *excluded),
        no_negative=tuple(sorted(codes)),
        side=side,
    )


def _is_near(exam: _Exam, group: Sequence[_Exam], rules: Rules) -> bool:
    """Whether it holds what was to be read, and is not known to be of another time."""
    days = [exam.days_from(other) for other in group]
    return exam.counts and any(apart is None or apart <= rules.window_days for apart in days)


def _stands_by(exam: _Exam, group: Sequence[_Exam]) -> str:
    """What such an exam is to the ones that are read."""
    same = not exam.in_conflict and all(exam.agrees(other) for other in group)
    return FURTHER_EXAM if same else IDENTITY_CONFLICT


def _agree(stated: Iterable[str]) -> bool:
    return len({each for each in stated if each}) <= 1


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


# The machine: events in, actions out.


@dataclass(frozen=True, slots=True)
class Arrived:
    """An image, in an association that is open; none is named where nobody is connected."""

    instance: Instance
    association: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """An association of a sender."""

    association: str
    sender: str


@dataclass(frozen=True, slots=True)
class Closed:
    association: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A case that was posted has a result, or will have none."""

    patient: str
    case: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    patient: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


Event = Arrived | Opened | Closed | Settled | Forgotten | Ticked


@dataclass(frozen=True, slots=True)
class Post:
    """Have the case read. version: from 1; a late image makes the next one. forced: images were
    still coming when the longest time was over."""

    case: Case
    version: int
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Expire:
    """Remove the images: they found no partner, or have been kept for as long as they may be."""

    patient: str
    instances: tuple[str, ...]


Action = Post | Expire

_SWEEP_S = 3600.0


@dataclass(frozen=True, slots=True)
class Gathering:
    """When the first and the last image of an exam came since it was last still, and from whom."""

    first: float
    last: float
    senders: frozenset[str] = frozenset()

    @property
    def ended(self) -> Gathering:
        """The exam is still: what comes later begins anew."""
        return Gathering(inf, self.last)


@dataclass(frozen=True, slots=True)
class Posted:
    content: str
    version: int
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Patient:
    """instances by key, gathering by exam, posted by case."""

    instances: Mapping[str, Instance] = field(default_factory=lambda: MappingProxyType({}))
    gathering: Mapping[str, Gathering] = field(default_factory=lambda: MappingProxyType({}))
    posted: Mapping[str, Posted] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Visit:
    """An association that is open. exams: of which it has brought images."""

    sender: str
    exams: frozenset[str] = frozenset()

    def may_bring(self, exam: str, senders: Collection[str]) -> bool:
        """More of an exam that these senders gave: it has brought some, or nothing at all yet."""
        return self.sender in senders and (not self.exams or exam in self.exams)


@dataclass(frozen=True, slots=True)
class State:
    """patients by key. open: associations by name. restless: the patients
    of whom something is gathering; the others are looked at every hour. swept: when last."""

    patients: Mapping[str, Patient] = field(default_factory=lambda: MappingProxyType({}))
    open: Mapping[str, Visit] = field(default_factory=lambda: MappingProxyType({}))
    restless: frozenset[str] = frozenset()
    swept: float = -inf


def restored(
    instances: Iterable[Instance], posted: Iterable[tuple[str, str, Posted]], now: float
) -> State:
    """The state after a restart: what was stored, and every exam as if its last image came now.

    posted: patient, case and what of it was posted last."""
    patients: dict[str, Patient] = {}
    for each in instances:
        patients[each.patient] = _with(patients.get(each.patient, Patient()), each, now)
    for patient, case, last in posted:
        known = patients.get(patient)
        if known is not None:
            patients[patient] = replace(known, posted={**known.posted, case: last})
    return State(patients, restless=frozenset(patients))


def step(state: State, event: Event, now: float, rules: Rules) -> tuple[State, tuple[Action, ...]]:
    """The state after an event, and what is to be done. now: seconds that only go forward."""
    if isinstance(event, Ticked):
        return _ticked(state, now, rules)
    if isinstance(event, Opened):
        return replace(state, open={**state.open, event.association: Visit(event.sender)}), ()
    if isinstance(event, Closed):
        return _closed(state, event, now), ()
    patients = dict(state.patients)
    if isinstance(event, Forgotten):
        patients.pop(event.patient, None)
    elif isinstance(event, Arrived):
        patient = patients.get(event.instance.patient, Patient())
        patients[event.instance.patient] = _with(patient, event.instance, now)
        state = replace(state, open=_brought(state.open, event))
    elif event.patient in patients and event.case in patients[event.patient].posted:
        patient = patients[event.patient]
        settled = replace(patient.posted[event.case], settled=True)
        patients[event.patient] = replace(patient, posted={**patient.posted, event.case: settled})
    key = event.instance.patient if isinstance(event, Arrived) else event.patient
    return replace(state, patients=patients, restless=state.restless | {key}), ()


def _with(patient: Patient, instance: Instance, now: float) -> Patient:
    """The first of an instance stays; a second one is a sign of life of its sender."""
    known = patient.instances.get(instance.key)
    before = patient.gathering.get(instance.exam, Gathering(now, now))
    senders = before.senders | {instance.sender}
    came = Gathering(min(before.first, now), max(before.last, now), senders)
    kept = instance if known is None else merged(known, instance)
    return replace(
        patient,
        instances={**patient.instances, kept.key: kept},
        gathering={**patient.gathering, kept.exam: came},
    )


def merged(known: Instance, again: Instance) -> Instance:
    """An instance that came again: as it was, unless it now says it is somebody else's."""
    same = _agree((known.birth, again.birth)) and _agree((known.sex, again.sex))
    return known if same else replace(known, contradicted=True)


def _brought(open_: Mapping[str, Visit], event: Arrived) -> Mapping[str, Visit]:
    visit = open_.get(event.association)
    if visit is None or event.instance.exam in visit.exams:
        return open_
    exams = visit.exams | {event.instance.exam}
    return {**open_, event.association: replace(visit, exams=exams)}


def _closed(state: State, event: Closed, now: float) -> State:
    """The quiet time of what it brought begins anew: there may be another association."""
    left = dict(state.open)
    visit = left.pop(event.association, None)
    patients = dict(state.patients)
    for key in state.restless & patients.keys() if visit else ():
        gathering = {
            exam: replace(each, last=now) if visit and exam in visit.exams else each
            for exam, each in patients[key].gathering.items()
        }
        patients[key] = replace(patients[key], gathering=gathering)
    return replace(state, patients=patients, open=left)


def _ticked(state: State, now: float, rules: Rules) -> tuple[State, tuple[Action, ...]]:
    all_of_them = now - state.swept >= _SWEEP_S
    visits = tuple(state.open.values())
    patients = dict(state.patients)
    restless: set[str] = set()
    actions: list[Action] = []
    for key in sorted(patients if all_of_them else state.restless & patients.keys()):
        after, own = _due(_stilled(patients[key], visits, now, rules), now, rules)
        actions += own
        patients[key] = after
        if any(each.first < inf for each in after.gathering.values()):
            restless.add(key)
        if not after.instances:
            del patients[key]
    swept = now if all_of_them else state.swept
    return State(patients, state.open, frozenset(restless), swept), tuple(actions)


def _stilled(patient: Patient, open_: Sequence[Visit], now: float, rules: Rules) -> Patient:
    """With the gathering of each exam ended that is quiet, and of which nobody who is connected may
    bring more."""
    gathering = {
        exam: each.ended
        if now - each.last >= rules.quiet_s
        and not any(visit.may_bring(exam, each.senders) for visit in open_)
        else each
        for exam, each in patient.gathering.items()
    }
    return replace(patient, gathering=gathering)


def _due(patient: Patient, now: float, rules: Rules) -> tuple[Patient, list[Action]]:
    """What of a patient's cases is to be done now."""
    actions: list[Action] = []
    posted, gathering = dict(patient.posted), dict(patient.gathering)
    own = cases(patient.instances.values(), rules)
    for case in own:
        last = posted.get(case.key)
        if last is not None and (not last.settled or last.content == case.content):
            continue
        alone_at_last = rules.report_alone and _is_over(patient, case.exams, now, rules)
        if not case.paired and not alone_at_last:
            continue
        began = [patient.gathering[exam].first for exam in case.exams]
        if all(first == inf or now - first >= rules.gather_max_s for first in began):
            version = last.version + 1 if last else 1
            posted[case.key] = Posted(case.content, version, settled=False)
            gathering |= {exam: patient.gathering[exam].ended for exam in case.exams}
            actions.append(Post(case, version, forced=min(began) < inf))
    after = replace(patient, posted=posted, gathering=gathering)
    expired = _expired(after, own, now, rules)
    if expired:
        actions.append(Expire(next(iter(patient.instances.values())).patient, tuple(expired)))
        after = _without(after, expired)
    return after, actions


def _is_over(patient: Patient, exams: Collection[str], now: float, rules: Rules) -> bool:
    return _age(patient, exams, now) >= rules.window_days * DAY_S


def _age(patient: Patient, exams: Collection[str], now: float) -> float:
    """Seconds since the last of their images came."""
    received = [each.received for each in patient.instances.values() if each.exam in exams]
    return now - max(received)


def _expired(patient: Patient, own: Sequence[Case], now: float, rules: Rules) -> list[str]:
    """Instances that are kept no longer: a case's all at once, so that none is left alone."""
    in_cases = {exam for case in own for exam in case.exams}
    paired = {case.exams for case in own if case.paired}
    alone = sorted({each.exam for each in patient.instances.values()} - in_cases)
    expired: set[str] = set()
    for exams in {case.exams for case in own} | {(exam,) for exam in alone}:
        read = exams in paired or rules.report_alone
        days = rules.held_days if read else rules.window_days
        unsettled = any(
            not patient.posted[case.key].settled
            for case in own
            if case.exams == exams and case.key in patient.posted
        )
        if _age(patient, exams, now) >= days * DAY_S and not unsettled:
            expired |= set(exams)
    return sorted(key for key, each in patient.instances.items() if each.exam in expired)


def _without(patient: Patient, gone: Collection[str]) -> Patient:
    left = {key: each for key, each in patient.instances.items() if key not in set(gone)}
    exams = {each.exam for each in left.values()}
    gathering = {exam: each for exam, each in patient.gathering.items() if exam in exams}
    return replace(patient, instances=left, gathering=gathering)
