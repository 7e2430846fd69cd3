"""What a reading becomes in the outbox: the same bytes whenever it is written, with the images that
were not read by name and the report of the version before."""

from __future__ import annotations

import errno
import hashlib
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import images
import pytest
from exams import exam
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage
from test_objects import named, of_class

from mammosono.appliance.node.destinations import Destination, Stow
from mammosono.appliance.node.outbox import Outbox
from mammosono.appliance.node.store import LeftOut, NodeStore, Status, StoredReading
from mammosono.appliance.node.uids import Written
from mammosono.appliance.node.writing import writer
from mammosono.appliance.values import Modality
from mammosono.engines.disk import write_whole

PACS = Destination("pacs", Stow("http://127.0.0.1:1", None, None))
OTHER = replace(PACS, name="other")
READ_AT = 1_795_000_000.0


def reading(folder: Path, given: tuple[Dataset, ...], **changes: Any) -> StoredReading:
    one = exam(folder, images=given)
    made = StoredReading(
        case="ab" * 32, version=1, patient="p", content="c", study_id="node-1",
        images=tuple((Modality(ds.Modality), each.path or Path())
                     for ds, each in zip(given, one.sources, strict=True)),
        left_out=(), no_negative=(), side="", forced=False, status=Status.READ, problem="",
        document=one.document, read_at=READ_AT, at=0.0, written=False,
    )  # fmt: skip
    return replace(made, **changes)


GIVEN = (images.mammogram("R", "MLO"), images.ultrasound(1))


def put(box: Outbox, one: StoredReading, before: Written | None = None) -> Written:
    write = writer(box, (PACS, OTHER), lambda key: box.folder / "no" / key)
    written = write(one, before)
    assert written is not None
    return written


def kept(box: Outbox) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (box.folder / "objects").iterdir()}


def reports(box: Outbox) -> list[Dataset]:
    files = sorted((box.folder / "objects").iterdir())
    return of_class([dcmread(file) for file in files], Comprehensive3DSRStorage)


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def test_written_again_after_a_kill_it_is_the_same_bytes(tmp_path: Path, box: Outbox) -> None:
    one = reading(tmp_path, GIVEN)
    put(box, one)
    first = kept(box)
    for file in first:  # as if none of it had come to the disk
        (box.folder / "objects" / file).unlink()
    put(box, one)
    assert kept(box) == first
    assert len(box.entries()) == 2 * len(first) == 12
    for ds in map(dcmread, (box.folder / "objects").iterdir()):
        assert ds.SeriesDate == "20261118"


def test_a_later_version_names_the_report_before_where_that_was_sent(
    tmp_path: Path, box: Outbox
) -> None:
    first = put(box, reading(tmp_path, GIVEN))
    before = {ds.StudyInstanceUID: ds for ds in reports(box)}
    assert not any("PredecessorDocumentsSequence" in ds for ds in before.values())
    late = images.ultrasound(1, study="third")
    put(box, reading(tmp_path, (*GIVEN, images.ultrasound(2), late), version=2), first)
    after = [ds for ds in reports(box) if ds not in before.values()]
    assert len(after) == 3
    for ds in after:
        if ds.StudyInstanceUID == late.StudyInstanceUID:
            assert "PredecessorDocumentsSequence" not in ds
            continue
        (study,) = ds.PredecessorDocumentsSequence
        (series,) = study.ReferencedSeriesSequence
        (instance,) = series.ReferencedSOPSequence
        named_ = before[study.StudyInstanceUID]
        assert study.StudyInstanceUID == ds.StudyInstanceUID
        assert series.SeriesInstanceUID == named_.SeriesInstanceUID
        assert instance.ReferencedSOPInstanceUID == named_.SOPInstanceUID


def test_images_that_were_left_out_are_named(tmp_path: Path, box: Outbox) -> None:
    place = "000000000002.000000000007"
    left_out = (
        LeftOut("k1", Modality.US, "multi_frame", failed=False, side="L", place=place),
        LeftOut("k2", Modality.MG, "corrupt_dicom", failed=True, side="R", place="."),
    )
    put(box, reading(tmp_path, GIVEN, left_out=left_out))
    for report in reports(box):
        assert [item.TextValue for item in named(report, "not-read")] == [
            "L ultrasound image 7 of series 2: a clip or a stack of slices",
            "R mammogram: corrupt_dicom",
        ]


@pytest.mark.parametrize("damage", [b"", b"no DICOM at all"])
def test_an_image_that_the_appliance_could_not_read_is_named_with_its_reason(
    damage: bytes, tmp_path: Path, box: Outbox
) -> None:
    one = reading(tmp_path, (*GIVEN, images.mammogram("L", "CC")))
    assert one.document is not None
    (_, failed) = one.images[2]
    if damage:
        failed.write_bytes(damage)
    one.document["images"][2] = {
        "index": 2, "modality": "MG", "sha256": hashlib.sha256(failed.read_bytes()).hexdigest(),
        "laterality": "L", "laterality_from": "header", "view": "CC", "view_from": "header",
        "verdict": None, "score": None, "findings": [],
        "warnings": ["The pixels are damaged; export it again."], "reasons": ["corrupt_dicom"],
    }  # fmt: skip
    written = put(box, one)
    assert len(written.reports) == len(reports(box)) == 2
    called = "L CC mammogram" + ("" if damage else " image 1 of series 1")
    for report in reports(box):
        (item,) = named(report, "not-read")
        assert item.TextValue == f"{called}: The pixels are damaged; export it again"


def test_what_was_written_is_remembered_by_version_and_without_uids(tmp_path: Path) -> None:
    store = NodeStore(tmp_path)
    one = reading(tmp_path, GIVEN)
    for version in (1, 2, 3):
        store._db.execute(
            "INSERT INTO readings (case_key, version, patient, content, study_id, images, left_out,"
            " no_negative, side, forced, status, at) "
            "VALUES (?, ?, 'p', 'c', 's', '[]', '[]', '[]', '', 0, 'waiting', 0)",
            (one.case, version),
        )
    first, third = replace(one, version=1), replace(one, version=3)
    assert store.written_before(third) is None
    store.mark_written(first, Written("key", ("a", "b")))
    store.mark_written(replace(one, version=2), None)
    assert store.written_before(third) == Written("key", ("a", "b"))
    assert store.written_before(first) is None
    store.close()


def test_a_disk_that_is_full_half_way_leaves_nothing_and_the_next_try_all(
    tmp_path: Path, box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = reading(tmp_path, GIVEN)
    whole = Outbox(tmp_path / "whole")
    put(whole, one)
    tries = itertools.count()

    def full(path: str, data: bytes, mode: int) -> None:
        if next(tries) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, data, mode)

    monkeypatch.setattr("mammosono.appliance.node.outbox.write_whole", full)
    with pytest.raises(OSError, match="No space"):
        put(box, one)
    assert kept(box) == {}
    assert box.entries() == []
    put(box, one)
    assert kept(box) == kept(whole)
