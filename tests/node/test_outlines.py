"""A known square of pixels lies at the same place in every object that shows it.

Coordinates are pixel edges, (0, 0) the outer corner of the first pixel: in the reading, in SCOORD
(PS3.3 C.18.6.1.1) and in PIXEL units of a presentation state (C.10.5.1.2) alike, so none is moved.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import highdicom
import numpy as np
import pytest
import readings
from exams import SQUARE, exam, finding
from hypothesis import given
from hypothesis import strategies as st
from images import mammogram, ultrasound
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from test_objects import named, read_back

from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.objects.capture import reduced
from mammosono.appliance.output import rle
from mammosono.appliance.values import Label, Modality, Verdict

SIZE = (256, 160)
X0, Y0, X1, Y1 = SQUARE


def square() -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[Y0:Y1, X0:X1] = True
    return mask


def written(folder: Path, kind: ObjectKind, **changes: object) -> Dataset:
    images = (mammogram("R", "MLO", **changes),)
    (ds,) = exam(folder, images=images, kinds=frozenset({kind})).write()
    return read_back(ds)


def filled(coordinates: list[float]) -> NDArray[np.bool_]:
    """The pixels whose centres lie in, or on, an outline of pixel edges."""
    points = np.array(coordinates, float).reshape(-1, 2)
    assert (points[0] == points[-1]).all()  # closed, as PS3.3 has it
    canvas = np.zeros(SIZE, np.uint8)
    # OpenCV counts from the centre of the first pixel.
    cv2.fillPoly(canvas, [np.rint(points - 0.5).astype(np.int32)], 1)
    return canvas.astype(bool)


def test_in_the_report(tmp_path: Path) -> None:
    (region,) = named(written(tmp_path, ObjectKind.REPORT), "111030")
    assert region.GraphicType == "POLYLINE"
    assert np.array_equal(filled(region.GraphicData), square())


def test_in_the_report_as_another_reader_reads_it(tmp_path: Path) -> None:
    report = highdicom.sr.Comprehensive3DSR.from_dataset(written(tmp_path, ObjectKind.REPORT))
    (group,) = report.content.get_planar_roi_measurement_groups()
    points = group.roi.value
    assert np.array_equal(filled(list(points[:, :2].ravel())), square())
    (probability,) = group.get_measurements(
        highdicom.sr.CodedConcept("111047", "DCM", "Probability of cancer")
    )
    assert probability.value == 87.65


def test_in_the_cad_report(tmp_path: Path) -> None:
    report = written(tmp_path, ObjectKind.CAD_REPORT)
    (outline,) = named(report, "111041")
    (centre,) = named(report, "111010")
    assert np.array_equal(filled(outline.GraphicData), square())
    assert list(centre.GraphicData) == [(X0 + X1) / 2, (Y0 + Y1) / 2]
    (place,) = outline.ContentSequence
    root, library, image = place.ReferencedContentItemIdentifier
    there = report.ContentSequence[library - 1].ContentSequence[image - 1]
    assert (root, there.ValueType) == (1, "IMAGE")


def test_in_the_presentation_state(tmp_path: Path) -> None:
    state = written(tmp_path, ObjectKind.PRESENTATION)
    (graphic,) = [
        graphic
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", ())
    ]
    assert (graphic.GraphicAnnotationUnits, graphic.GraphicType) == ("PIXEL", "POLYLINE")
    assert graphic.NumberOfGraphicPoints == len(graphic.GraphicData) / 2
    assert np.array_equal(filled(graphic.GraphicData), square())
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaBottomRightHandCorner) == [SIZE[1], SIZE[0]]


def test_in_the_segmentation(tmp_path: Path) -> None:
    seg = written(tmp_path, ObjectKind.SEGMENTATION)
    assert np.array_equal(np.squeeze(seg.pixel_array).astype(bool), square())


def test_in_the_segmentation_as_another_reader_reads_it(tmp_path: Path) -> None:
    # Where there is a spacing, that reader wants the thickness of a slice, which a film has not.
    ds = written(tmp_path, ObjectKind.SEGMENTATION, ImagerPixelSpacing=None)
    seg = highdicom.seg.Segmentation.from_dataset(ds)
    (source,) = [uid for *_, uid in seg.get_source_image_uids()]
    pixels = seg.get_pixels_by_source_instance([source], segment_numbers=[1])
    assert np.array_equal(np.squeeze(pixels).astype(bool), square())


def test_several_findings_have_a_segment_each(tmp_path: Path) -> None:
    one = exam(
        tmp_path, images=(mammogram("R", "MLO"),), kinds=frozenset({ObjectKind.SEGMENTATION})
    )
    one.document["images"][0]["findings"] *= 3
    (seg,) = map(read_back, one.write())
    assert [segment.SegmentNumber for segment in seg.SegmentSequence] == [1, 2, 3]
    assert seg.NumberOfFrames == 3
    assert (seg.pixel_array.astype(bool) == square()).all()


def coloured(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where something was drawn on a grey picture."""
    return np.ptp(picture[: SIZE[0], : SIZE[1]].astype(int), axis=2) > 8


def test_in_the_picture(tmp_path: Path) -> None:
    drawn = coloured(written(tmp_path, ObjectKind.CAPTURE).pixel_array)
    drawn[:Y0] = False  # its label stands above
    rows, columns = np.nonzero(drawn)
    line = 1  # of the outline's width, outside of the mask at most
    assert abs(rows.max() - (Y1 - 1)) <= line
    assert abs(columns.min() - X0) <= line
    assert abs(columns.max() - (X1 - 1)) <= line
    assert drawn[Y0:Y1, X0:X1].mean() > 0.8


@pytest.mark.parametrize("times", [9, 13])
def test_in_the_reduced_picture_of_a_large_image(times: int, tmp_path: Path) -> None:
    pixels = np.kron(mammogram("R", "MLO").pixel_array, np.ones((times, times), int)) // 16
    mg = mammogram("R", "MLO", pixels=pixels.astype(np.uint8))
    one = exam(tmp_path, images=(mg,), kinds=frozenset({ObjectKind.CAPTURE}))
    (ds,) = one.write()
    picture = ds.pixel_array
    assert max(picture.shape) <= 2048
    drawn = np.ptp(picture.astype(int), axis=2) > 8
    scale = picture.shape[1] / mg.Columns
    below = round(Y0 * scale) + 2
    words = round(mg.Rows * scale) - 2
    rows, columns = np.nonzero(drawn[below:words])
    line = 5
    assert abs(rows.max() + below - Y1 * scale) <= line
    assert abs(columns.min() - X0 * scale) <= line


@given(width=st.integers(20, 160), height=st.integers(30, 256))
def test_a_mask_is_reduced_with_its_image(width: int, height: int) -> None:
    across, down = width / SIZE[1], height / SIZE[0]
    read = readings.image(
        0, Modality.MG, Verdict.POSITIVE, (finding(SIZE, Label.MALIGNANT, 0.9, None),), size=SIZE
    )
    small = reduced(read, width, height)
    (found,) = small.findings
    rows, columns = np.nonzero(rle.decode(found.mask))
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    exact = (X0 * across, Y0 * down, X1 * across, Y1 * down)
    assert found.box == pytest.approx(exact)
    assert edges == pytest.approx(exact, abs=0.51)


def test_a_finding_of_one_pixel_is_not_lost_when_its_image_is_reduced() -> None:
    dot = readings.finding(Label.MALIGNANT, 0.9, centre=(3.5, 5.5), radius=0.6, size=SIZE)
    read = readings.image(0, Modality.MG, Verdict.POSITIVE, (dot,), size=SIZE)
    assert rle.decode(reduced(read, 40, 64).findings[0].mask).any()


def test_in_ultrasound_as_in_mammograms(tmp_path: Path) -> None:
    objects = exam(tmp_path, images=(ultrasound(1),)).write()
    outlines = [list(item.GraphicData) for ds in objects for item in named(ds, "111030")]
    outlines += [
        list(graphic.GraphicData)
        for ds in objects
        for annotation in ds.get("GraphicAnnotationSequence", ())
        for graphic in annotation.get("GraphicObjectSequence", ())
    ]
    assert outlines[0] == outlines[1]
    assert (min(outlines[0][::2]), max(outlines[0][1::2])) == (X0 + 0.5, Y1 - 0.5)
