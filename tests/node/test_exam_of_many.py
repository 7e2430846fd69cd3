"""A real exam: four mammograms and twelve stills of two days, by storescu to the node and the PACS,
read by the appliance, what is made of it committed to by the PACS."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import demo_pacs
import images
import orthanc
import pytest
from counterparts import until
from node_bench import LOCAL, needs_dcmtk, run
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from test_objects import named

from mammosono.appliance.node.codes import VERDICTS
from mammosono.appliance.node.outbox import FOLDER, Outbox
from mammosono.appliance.values import Label, Modality, Verdict

pytestmark = [needs_dcmtk, pytest.mark.slow]

STILLS = 12


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[demo_pacs.AtWork, Path]]:
    if why := orthanc.missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("round")
    with demo_pacs.at_work(folder) as working:
        yield working, folder


def films(who: dict[str, str], label: Label | None) -> list[Dataset]:
    return [
        images.mammogram(
            side, view, seed=seed,
            pixels=images.drawn(Modality.MG, seed, 640, 400, label)[:, :: 1 if side == "L" else -1],
            InstanceNumber=seed, **who,
        )
        for seed, (side, view) in enumerate((*product("LR", ("CC", "MLO")),), 1)
    ]  # fmt: skip


def stills(who: dict[str, str], label: Label | None, count: int = STILLS) -> list[Dataset]:
    return [
        images.ultrasound(number, pixels=images.drawn(Modality.US, number, 320, 420, label), **who)
        for number in range(1, count + 1)
    ]


def store(port: int, called: str, files: list[Path]) -> None:
    done = run("storescu", "-R", "-aet", "MODALITY", "-aec", called, LOCAL, str(port),
               *map(str, files), timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr


def sent(at: tuple[demo_pacs.AtWork, Path], *associations: list[Dataset]) -> list[Path]:
    """To the PACS and to the node, shuffled; in the given order, the files."""
    working, folder = at
    (folder / "in").mkdir(exist_ok=True)
    all_files = []
    for objects in associations:
        files = [images.save(ds, folder / "in") for ds in objects]
        all_files += files
        shuffled = random.Random(5).sample(files, len(files))
        store(working.pacs.port, "PACS", shuffled)
        store(working.box_port, "MAMMOSONO", shuffled)
    return all_files


def came_back(at: tuple[demo_pacs.AtWork, Path], patient: str) -> list[Dataset]:
    """All that the PACS has of the patient, once it has committed to what the node sent."""
    working, folder = at
    outbox = Outbox(folder / "state" / FOLDER)
    before = len({entry.case for entry in outbox.entries()})
    until(lambda: len({entry.case for entry in outbox.entries()}) > before, 300)
    until(lambda: demo_pacs.is_done(outbox), 120)
    outbox.close()
    return [ds for ds in _all(working.pacs) if ds.PatientID == patient]


def _all(pacs: orthanc.Orthanc) -> Iterator[Dataset]:
    for each in pacs.get("/instances"):
        yield dcmread(DicomBytesIO(pacs.bytes(f"/instances/{each}/file")))


def referenced(ds: Dataset) -> set[str]:
    return {str(each.value) for each in ds.iterall() if each.keyword == "ReferencedSOPInstanceUID"}


def verdict_of(report: Dataset) -> Verdict:
    (item,) = named(report, "fused-verdict")
    stated = item.ConceptCodeSequence[0].CodeValue
    return next(verdict for verdict, code in VERDICTS.items() if code.value == stated)


def read_by_hand(files: list[Path]) -> dict[str, Any]:
    words = []
    for file in files:
        words += ["-m" if dcmread(file).Modality == "MG" else "-u", str(file)]
    done = subprocess.run(
        [demo_pacs.COMMAND, "read", "--json", *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_every_image_has_its_objects_and_the_verdict_is_that_of_mammosono_read(
    at: tuple[demo_pacs.AtWork, Path],
) -> None:
    who = {"patient": "WHOLE", "name": "Muster^Whole"}
    given = [*films(who, Label.MALIGNANT), *stills(who, Label.BENIGN)]
    files = sent(at, given[:4], given[4:])
    held = came_back(at, "WHOLE")
    counted = Counter((ds.StudyInstanceUID, ds.Modality) for ds in held)
    mg, us = given[0].StudyInstanceUID, given[-1].StudyInstanceUID
    assert counted == {
        (mg, "MG"): 4, (mg, "OT"): 4, (mg, "PR"): 4, (mg, "SR"): 1,
        (us, "US"): STILLS, (us, "OT"): STILLS, (us, "PR"): STILLS, (us, "SR"): 1,
    }  # fmt: skip
    there = {ds.SOPInstanceUID for ds in held}
    for ds in held:
        assert referenced(ds) <= there, ds.SOPClassUID.name
        assert referenced(ds) or ds.Modality in ("MG", "US")
    by_hand = read_by_hand(files)
    for report in (ds for ds in held if ds.Modality == "SR"):
        assert verdict_of(report).value == by_hand["verdict"]
        found = sum(len(image["findings"]) for image in by_hand["images"])
        assert len(named(report, "125007")) == found > 0


def test_an_image_that_cannot_be_read_is_named_and_there_is_no_negative(
    at: tuple[demo_pacs.AtWork, Path],
) -> None:
    who = {"patient": "SHORT", "name": "Muster^Short"}
    given = [*films(who, None), *stills(who, None, 2)]
    short = given[-1]
    short.PixelData = short.PixelData[: len(short.PixelData) // 2]
    sent(at, given[:4], given[4:])
    held = came_back(at, "SHORT")
    assert Counter(ds.Modality for ds in held) == {"MG": 4, "US": 2, "OT": 5, "PR": 5, "SR": 2}
    for report in (ds for ds in held if ds.Modality == "SR"):
        assert verdict_of(report) is not Verdict.NEGATIVE
        (item,) = named(report, "not-read")
        assert item.TextValue.startswith("ultrasound image 2 of series 1: ")
        assert len(item.TextValue) > len("ultrasound image 2 of series 1: ")
