from __future__ import annotations

from datetime import datetime, timezone

import pytest

from appliance.errors import UnknownStudy
from appliance.service.studies import MemoryStudies, Status, Study


def entry(study_id: str, status: Status, size: int = 0) -> Study:
    return Study(study_id, datetime.now(timezone.utc), (), status, result=b" " * size)


def ids(studies: MemoryStudies) -> list[str]:
    return [study.study_id for study in studies.list()]


def test_studies_are_listed_newest_first_and_keep_their_place_when_their_status_changes() -> None:
    studies = MemoryStudies(max_settled=8, max_bytes=100)
    for name in "abc":
        studies.put(entry(name, Status.QUEUED))
    studies.put(entry("a", Status.DONE))
    assert ids(studies) == ["c", "b", "a"]
    assert studies.get("a").status is Status.DONE


def test_the_oldest_settled_studies_make_room_and_those_that_wait_never_do() -> None:
    studies = MemoryStudies(max_settled=2, max_bytes=100)
    studies.put(entry("waiting", Status.QUEUED))
    studies.put(entry("being read", Status.READING))
    for name, status in (("a", Status.DONE), ("b", Status.FAILED), ("c", Status.DONE)):
        studies.put(entry(name, status))
    assert ids(studies) == ["c", "b", "being read", "waiting"]


def test_a_study_that_settles_stays_even_if_it_was_posted_first() -> None:
    studies = MemoryStudies(max_settled=1, max_bytes=100)
    studies.put(entry("slow", Status.READING))
    studies.put(entry("quick", Status.DONE))
    studies.put(entry("slow", Status.DONE))
    assert ids(studies) == ["slow"]


def test_memory_is_bounded_but_the_newest_answer_always_stays() -> None:
    studies = MemoryStudies(max_settled=8, max_bytes=100)
    for name in "ab":
        studies.put(entry(name, Status.DONE, size=50))
    assert ids(studies) == ["b", "a"]
    studies.put(entry("c", Status.DONE, size=1))
    assert ids(studies) == ["c", "b"]
    studies.put(entry("huge", Status.DONE, size=1000))
    assert ids(studies) == ["huge"]


def test_a_study_that_is_not_there_cannot_be_got_or_deleted() -> None:
    studies = MemoryStudies(max_settled=8, max_bytes=100)
    studies.put(entry("a", Status.DONE))
    studies.delete("a")
    with pytest.raises(UnknownStudy):
        studies.get("a")
    with pytest.raises(UnknownStudy):
        studies.delete("a")
