"""Presentation state of an image: outlines over the image itself, to be switched on in a viewer.

Grayscale Softcopy Presentation State, or the one for colour where the image is coloured. One for
each image: images of one state must be of one size.
"""

from __future__ import annotations

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
)

from mammosono.appliance.intake.dicom_values import texts
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.headers import copy, said
from mammosono.appliance.node.objects.colour import cielab
from mammosono.appliance.node.objects.content import closed
from mammosono.appliance.node.objects.evidence import series_of
from mammosono.appliance.node.objects.exam import Exam, Shown
from mammosono.appliance.node.objects.icc import srgb
from mammosono.appliance.node.objects.instance import (
    CREATOR,
    instance,
    plain,
    reference,
    set_contributing,
    set_side,
)
from mammosono.appliance.output import wording
from mammosono.appliance.values import Finding, Label

FINDINGS, NOTICE = "FINDINGS", "NOTICE"
_GREY = ("MONOCHROME1", "MONOCHROME2")


def presentation(exam: Exam, shown: Shown, number: int) -> Dataset:
    """number: of the object in its series, from 1."""
    photometric = said(shown.header, "PhotometricInterpretation")
    grey = photometric in _GREY
    sop_class = (
        GrayscaleSoftcopyPresentationStateStorage if grey else ColorSoftcopyPresentationStateStorage
    )
    ds = instance(exam, ObjectKind.PRESENTATION, sop_class, shown.header, number)
    ds.PresentationCreationDate, ds.PresentationCreationTime = ds.ContentDate, ds.ContentTime
    del ds.ContentDate, ds.ContentTime  # a state has the other two instead
    ds.ContentLabel = "AI FINDINGS"
    ds.ContentDescription = plain(f"{shown.label}, research use only")[:64]
    ds.ContentCreatorName = CREATOR
    set_side(ds, shown)
    set_contributing(ds, shown.header)
    ds.ReferencedSeriesSequence = [series_of(shown.header, "ReferencedImageSequence")]
    ds.DisplayedAreaSelectionSequence = [_whole_image(shown)]
    ds.GraphicLayerSequence = [
        _layer(order, name) for order, name in enumerate((FINDINGS, NOTICE), start=1)
    ]
    drawn = [
        (_outline(exam, shown, place, finding), _label(place, finding))
        for place, finding in enumerate(shown.image.findings, start=1)
        if finding.contour
    ]
    ds.GraphicAnnotationSequence = [_annotation(shown, NOTICE, [], [_notice(exam, shown)])]
    if drawn:
        outlines, labels = map(list, zip(*drawn, strict=True))
        ds.GraphicAnnotationSequence.append(_annotation(shown, FINDINGS, outlines, labels))
    if grey:
        _set_grey_levels(ds, shown.header, photometric)
    else:
        ds.ICCProfile = srgb()
    return ds


def _whole_image(shown: Shown) -> Dataset:
    """Its corners are pixels, counted from 1."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [shown.image.width, shown.image.height]
    area.PresentationSizeMode = "SCALE TO FIT"
    if shown.image.spacing_mm is not None:
        area.PresentationPixelSpacing = [f"{side:.8g}" for side in shown.image.spacing_mm]
    else:
        ratio = texts(shown.header, "PixelAspectRatio")
        area.PresentationPixelAspectRatio = ratio if len(ratio) == 2 else [1, 1]
    return area


def _layer(order: int, name: str) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = name, order
    layer.GraphicLayerRecommendedDisplayCIELabValue = cielab(Label.MALIGNANT)
    return layer


def _annotation(shown: Shown, layer: str, graphics: list[Dataset], words: list[Dataset]) -> Dataset:
    annotation = Dataset()
    annotation.ReferencedImageSequence = [reference(shown.header)]
    annotation.GraphicLayer = layer
    if words:
        annotation.TextObjectSequence = words
    if graphics:
        annotation.GraphicObjectSequence = graphics
    return annotation


def _outline(exam: Exam, shown: Shown, place: int, finding: Finding) -> Dataset:
    """In pixels from the outer corner of the first, as the reading has them (C.10.5.1.2)."""
    points = closed(finding.contour)
    graphic = Dataset()
    graphic.GraphicAnnotationUnits, graphic.GraphicDimensions = "PIXEL", 2
    graphic.NumberOfGraphicPoints = len(points)
    graphic.GraphicData = [coordinate for point in points for coordinate in point]
    graphic.GraphicType, graphic.GraphicFilled = "POLYLINE", "N"
    graphic.TrackingID = plain(f"{shown.label} finding {place}")
    graphic.TrackingUID = exam.tracking_uid(shown, place)
    return graphic


def _label(place: int, finding: Finding) -> Dataset:
    """Beside the finding, where its box ends."""
    words = f"{place} {finding.label.value} {finding.score:.2f}"
    return _text(words, (finding.box[2], finding.box[1]), "PIXEL", visible="Y")


def _notice(exam: Exam, shown: Shown) -> Dataset:
    judged = f"{shown.label}: {shown.image.verdict.value}; exam: {exam.reading.verdict.value}"
    return _text(f"{wording.INTENDED_USE} {judged}", (0.02, 0.98), "DISPLAY", visible="N")


def _text(words: str, anchor: tuple[float, float], units: str, visible: str) -> Dataset:
    item = Dataset()
    item.AnchorPointAnnotationUnits = units
    item.UnformattedTextValue = plain(words)
    item.AnchorPoint = list(anchor)
    item.AnchorPointVisibility = visible
    return item


def _set_grey_levels(ds: Dataset, header: Dataset, photometric: str) -> None:
    """As the image itself says that it is shown: a state without them would say otherwise."""
    copy(header, ds, ("ModalityLUTSequence",))
    if not ds.get("ModalityLUTSequence") and said(header, "RescaleSlope"):
        copy(header, ds, ("RescaleIntercept", "RescaleSlope", "RescaleType"))
        if "RescaleType" not in ds:
            ds.RescaleType = "US"
    voi = Dataset()
    table = next(iter(_tables(header)), None)
    if table is not None:
        voi.VOILUTSequence = [table]
    elif said(header, "WindowWidth"):
        copy(header, voi, ("WindowCenter", "WindowWidth"))
        # OHIF cannot show a state that names the function which holds without a name as well.
        if said(header, "VOILUTFunction") not in ("", "LINEAR"):
            copy(header, voi, ("VOILUTFunction",))
    if voi:
        ds.SoftcopyVOILUTSequence = [voi]
    ds.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"


def _tables(header: Dataset) -> list[Dataset]:
    """The image's VOI LUTs with entries of 16 bits: in an image they may have 10 to 16, in a
    presentation state 8 or 16 (C.11.2.1.1)."""
    copied = Dataset()
    copy(header, copied, ("VOILUTSequence",))
    tables = []
    for item in copied.get("VOILUTSequence") or ():
        descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
        if descriptor is None or len(descriptor) != 3 or data is None:
            continue
        bits = int(descriptor[2])
        if 8 < bits < 16:
            levels = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.array(data)
            scaled = levels.astype(np.uint32) * 65535 // (2**bits - 1)
            entries = np.minimum(scaled, 65535).astype("<u2").tobytes()
            item["LUTData"] = DataElement(item["LUTData"].tag, "OW", entries)
            item.LUTDescriptor = [*descriptor[:2], 16]
        tables.append(item)
    return tables
