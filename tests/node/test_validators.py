"""Every object satisfies its IOD, and every report its template, as programs of others judge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exams import exam
from images import coloured, mammogram, save, ultrasound
from pydicom.dataset import Dataset
from test_objects import read_back
from validators import as_text, iod_errors, template_errors

from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.objects import Source
from mammosono.appliance.values import Modality, Verdict

UNREAD = (
    (ultrasound(7, side="L"), "a clip", False),
    (mammogram("L", "CC"), "it could not be decoded", True),
)


def window_table() -> Dataset:
    """A VOI LUT of 12 bits."""
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table["LUTDescriptor"].VR = "US"
    table.LUTData = np.arange(4096, dtype="<u2").tobytes()
    table["LUTData"].VR = "OW"
    return table


IMAGES: dict[str, Any] = {
    "mammograms": lambda: (mammogram("R", "MLO"), mammogram("L", "CC")),
    "ultrasound": lambda: (ultrasound(1), ultrasound(2, side="L")),
    "pair": None,
    "colour": lambda: (coloured(ultrasound(1, side="L")),),
    "inverted": lambda: (
        mammogram(
            "R", "MLO", PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
        ),
    ),
    "window table": lambda: (
        mammogram("R", "MLO", VOILUTSequence=[window_table()], WindowCenter=None, WindowWidth=None),
    ),
    "sigmoid window": lambda: (mammogram("R", "MLO", VOILUTFunction="SIGMOID"),),
    "several windows": lambda: (
        mammogram("R", "MLO", WindowCenter=[2048, 1000], WindowWidth=[4096, 2000]),
    ),
    "no spacing": lambda: (mammogram("R", "MLO", ImagerPixelSpacing=None),),
    "lossy": lambda: (
        mammogram(
            "R",
            "MLO",
            LossyImageCompression="01",
            LossyImageCompressionRatio=[12.5],
            LossyImageCompressionMethod=["ISO_10918_1"],
        ),
    ),
}


@pytest.mark.parametrize("which", IMAGES)
@pytest.mark.parametrize("verdict", Verdict)
def test_iods(which: str, verdict: Verdict, tmp_path: Path) -> None:
    made = IMAGES[which]
    objects = exam(tmp_path, verdict, images=made and made(), unread=UNREAD).write()
    found = {ds.SeriesDescription: iod_errors(save(ds, tmp_path)) for ds in objects}
    assert found == {name: [] for name in found}


@pytest.mark.parametrize("verdict", Verdict)
def test_reports_are_read_by_another(verdict: Verdict, tmp_path: Path) -> None:
    kinds = frozenset({ObjectKind.REPORT, ObjectKind.CAD_REPORT})
    for ds in exam(tmp_path, verdict, unread=UNREAD, kinds=kinds).write():
        said = as_text(save(ds, tmp_path))
        assert "PRELIMINARY" in said
        assert "research use only" in said or "Not for diagnosis" in said
        if ds.SOPClassUID.endswith(".34"):
            assert verdict.value.capitalize() in said


LOST = Source(None, None, "it was damaged", failed=True, modality=Modality.MG)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "verdict", "lost"),
    [
        (ObjectKind.REPORT, Verdict.POSITIVE, ()),
        (ObjectKind.REPORT, Verdict.NEGATIVE, ()),
        (ObjectKind.REPORT, Verdict.INDETERMINATE, (LOST,)),
        (ObjectKind.CAD_REPORT, Verdict.POSITIVE, ()),
        (ObjectKind.CAD_REPORT, Verdict.NEGATIVE, ()),
    ],
)
def test_templates(
    kind: ObjectKind, verdict: Verdict, lost: tuple[Source, ...], tmp_path: Path
) -> None:
    unread = UNREAD if not lost else ()
    ds, *_ = exam(tmp_path, verdict, unread=unread, lost=lost, kinds=frozenset({kind})).write()
    assert template_errors(save(ds, tmp_path)) == []


@pytest.mark.slow
def test_the_judge_of_templates_notices_a_finding_without_what_it_must_have(tmp_path: Path) -> None:
    ds, *_ = exam(tmp_path, kinds=frozenset({ObjectKind.CAD_REPORT})).write()
    ds = read_back(ds)
    del ds.ContentSequence[2].ContentSequence[0].ContentSequence[0]  # the rendering intent
    assert template_errors(save(ds, tmp_path))


def test_the_judge_of_iods_notices_a_missing_attribute(tmp_path: Path) -> None:
    ds, *_ = exam(tmp_path, kinds=frozenset({ObjectKind.REPORT})).write()
    del ds.CompletionFlag
    assert iod_errors(save(ds, tmp_path))
