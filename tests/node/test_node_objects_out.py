"""Exams in, results out into their studies in Orthanc: the whole round, as a user starts it."""

from __future__ import annotations

from pathlib import Path

import demo_pacs
import orthanc
import pytest
from counterparts import until

from mammosono.appliance.node.outbox import FOLDER, Outbox

pytestmark = pytest.mark.slow


def test_a_phantom_exam_comes_back_with_its_objects_and_twice_is_once(tmp_path: Path) -> None:
    if why := orthanc.missing():
        pytest.skip(why)
    with demo_pacs.at_work(tmp_path) as at:
        exam = demo_pacs.phantom_exam()
        demo_pacs.send(tmp_path / "to-pacs", at.pacs.port, "PACS", exam)
        demo_pacs.send(tmp_path / "to-node", at.box_port, "MAMMOSONO", exam)
        outbox = Outbox(tmp_path / "state" / FOLDER)
        until(lambda: demo_pacs.is_done(outbox), 300)
        held = at.pacs.get("/instances?expand")
        by_study: dict[str, list[str]] = {}
        for instance in held:
            tags = at.pacs.get(f"/instances/{instance['ID']}/simplified-tags")
            assert (tags["PatientID"], tags["PatientName"]) == ("DEMO", "Phantom^Demo")
            by_study.setdefault(tags["StudyInstanceUID"], []).append(tags["Modality"])
        assert sorted(map(sorted, by_study.values())) == [
            ["MG", "OT", "PR", "SR"],
            ["OT", "PR", "SR", "US"],
        ]
        assert by_study.keys() == {each.StudyInstanceUID for each in exam}
        demo_pacs.send(tmp_path / "again", at.box_port, "MAMMOSONO", exam)
        (case,) = {entry.case for entry in outbox.entries()}
        assert outbox.send_again(case) == 6
        until(lambda: demo_pacs.is_done(outbox), 300)
        assert at.pacs.instances() == len(held) == 8
        outbox.close()
        for log in (tmp_path / "node.log", tmp_path / "serve.log"):
            for word in ("Phantom", "DEMO", *(each.SOPInstanceUID for each in exam)):
                assert word not in log.read_text(), (log.name, word)
