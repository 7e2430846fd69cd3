"""What the shipped model finds in an exam, as the objects have it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from exams import EVERYTHING, READ_AT
from images import drawn, mammogram, save, ultrasound
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage
from test_objects import named, of_class
from validators import iod_errors

from mammosono.appliance.intake import read_image
from mammosono.appliance.node.codes import VERDICTS
from mammosono.appliance.node.objects import Options, Source, write
from mammosono.appliance.output.document import Result
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Label, Modality

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.open()


def read(reader: Reader, images: Sequence[Dataset], folder: Path) -> tuple[Result, list[Dataset]]:
    files = [save(ds, folder) for ds in images]
    sources = [
        read_image(file.read_bytes(), Modality(ds.Modality))
        for file, ds in zip(files, images, strict=True)
    ]
    result = Result.of("case", reader.read(sources))
    kept = [Source(file, index) for index, file in enumerate(files)]
    return result, write(result.document(), kept, Options(READ_AT, EVERYTHING))


@pytest.mark.parametrize("label", [Label.MALIGNANT, None], ids=["lesions", "none"])
def test_verdict_findings_and_iods(label: Label | None, reader: Reader, tmp_path: Path) -> None:
    films = drawn(Modality.MG, 11, 1024, 640, label)
    images = [
        mammogram("L", "MLO", pixels=films),
        mammogram("L", "CC", pixels=drawn(Modality.MG, 12, 1024, 640, label)),
        ultrasound(1, side="L", pixels=drawn(Modality.US, 11, 480, 560, label)),
        ultrasound(2, pixels=drawn(Modality.US, 12, 480, 560, label)),
    ]
    result, objects = read(reader, images, tmp_path)
    found = sum(len(image.findings) for image in result.images)
    assert bool(found) or label is None
    for report in of_class(objects, Comprehensive3DSRStorage):
        (verdict,) = named(report, "fused-verdict")
        assert verdict.ConceptCodeSequence[0].CodeValue == VERDICTS[result.verdict].value
        assert len(named(report, "125007")) == found
    errors = {ds.SeriesDescription: iod_errors(save(ds, tmp_path)) for ds in objects}
    assert errors == {name: [] for name in errors}
