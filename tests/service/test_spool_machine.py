"""Whatever is done to a spool, in whatever order, and whenever the process is killed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from spools import World, files_under, upload

from mammosono.appliance.studies.spool import Status, Study
from mammosono.appliance.values import Verdict

pytestmark = pytest.mark.slow

PROBLEM = {"status": 422, "code": "corrupt_image", "title": "t", "detail": "d"}


class SpoolMachine(RuleBasedStateMachine):
    """A dictionary says what should be there."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Path(tempfile.mkdtemp()) / "spool", queue_length=10**6)
        self.spool = self.world.spool()
        self.model: dict[str, Status] = {}
        self.order: list[str] = []
        self.reading: list[Study] = []

    @rule(target=ids, content=st.binary(min_size=1, max_size=2))
    def post(self, content: bytes) -> str:
        study = self.spool.accept(None, "cathy", [upload(self.spool, content)])
        self.model[study.study_id] = Status.QUEUED
        self.order.append(study.study_id)
        return study.study_id

    @rule()
    def claim(self) -> None:
        waiting = [name for name in self.order if self.model.get(name) is Status.QUEUED]
        study = self.spool.claim()
        assert (study.study_id if study else None) == (waiting[0] if waiting else None)
        if study:
            self.model[study.study_id] = Status.READING
            self.reading.append(study)

    @rule(how=st.sampled_from(["finish", "fail", "requeue"]))
    def settle(self, how: str) -> None:
        if not self.reading:
            return
        study = self.reading.pop()
        held = self.model.get(study.study_id) is Status.READING
        if how == "finish":
            assert self.spool.finish(study, b"{}", Verdict.NEGATIVE) is held
            after = Status.DONE
        elif how == "fail":
            assert self.spool.fail(study, PROBLEM) is held
            after = Status.FAILED
        else:
            assert self.spool.requeue(study) is held
            after = Status.QUEUED
        if held:
            self.model[study.study_id] = after

    @rule(name=ids)
    def delete(self, name: str) -> None:
        if name in self.model:
            self.spool.delete(name)
            del self.model[name]

    @rule()
    def kill(self) -> None:
        self.spool = self.world.spool()
        for name, status in self.model.items():
            if status is Status.READING:
                study = self.spool.get(name)
                # Five stops in the middle of one study and it is given up.
                assert study.status in (Status.QUEUED, Status.FAILED)
                self.model[name] = study.status
        self.reading.clear()

    @invariant()
    def what_should_be_there_is(self) -> None:
        found = {study.study_id: study.status for study in self.spool.list(limit=10**6)}
        assert found == self.model

    @invariant()
    def the_files_are_those_of_the_studies(self) -> None:
        wanted = {i.sha256 for s in self.spool.list(limit=10**6) for i in s.images}
        kept = {Path(name).name for name in files_under(self.world.folder)}
        assert kept == wanted

    @invariant()
    def the_database_is_sound(self) -> None:
        assert self.spool._database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"

    def teardown(self) -> None:
        self.world.kill()
        shutil.rmtree(self.world.folder.parent)


SpoolMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase
