"""Segmentation of an image: a binary segment for each finding, in the size of the image."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import SegmentationStorage

from mammosono.appliance.node.codes import ABNORMAL, BREAST, MASS, SIDES, dcm
from mammosono.appliance.node.contexts import ObjectKind
from mammosono.appliance.node.headers import COMPRESSION, copy
from mammosono.appliance.node.objects.colour import cielab
from mammosono.appliance.node.objects.evidence import series_of
from mammosono.appliance.node.objects.exam import Exam, Shown
from mammosono.appliance.node.objects.instance import (
    CREATOR,
    MANUFACTURER,
    algorithm,
    derivation,
    instance,
    plain,
    set_contributing,
    source_image,
)
from mammosono.appliance.node.uids import derived
from mammosono.appliance.output import rle
from mammosono.appliance.values import Finding


def segmentation(exam: Exam, shown: Shown, number: int) -> Dataset:
    """Of an image with at least one finding that has an outline. number: of the object in its
    series, from 1."""
    findings = [
        (place, finding)
        for place, finding in enumerate(shown.image.findings, start=1)
        if finding.contour
    ]
    ds = instance(exam, ObjectKind.SEGMENTATION, SegmentationStorage, shown.header, number)
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ContentLabel = "AI FINDINGS"
    ds.ContentDescription = plain(f"{shown.label}, research use only")[:64]
    ds.ContentCreatorName = CREATOR
    ds.DerivationDescription = derivation(exam)
    copy(shown.header, ds, ("PatientOrientation", *COMPRESSION))
    if "PatientOrientation" not in ds:
        ds.PatientOrientation = ""
    if "LossyImageCompression" not in ds:
        ds.LossyImageCompression = "00"
    set_contributing(ds, shown.header)
    ds.ReferencedSeriesSequence = [series_of(shown.header, "ReferencedInstanceSequence")]
    ds.SegmentationType, ds.SegmentsOverlap = "BINARY", "UNDEFINED"
    ds.SegmentSequence = [
        _segment(exam, shown, segment, *found) for segment, found in enumerate(findings, start=1)
    ]
    _set_frames(ds, exam, shown)
    masks = np.stack([rle.decode(finding.mask) for _, finding in findings])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames, ds.Rows, ds.Columns = masks.shape
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit, ds.PixelRepresentation = 0, 0
    ds.PixelData = pack_bits(masks.astype(np.uint8), pad=True)
    ds["PixelData"].VR = "OB"
    return ds


def _segment(exam: Exam, shown: Shown, number: int, place: int, finding: Finding) -> Dataset:
    """number: of the segment. place: of the finding in its image, from 1."""
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = plain(f"{place} {finding.label.value} {finding.score:.2f}")
    segment.SegmentDescription = plain(f"{shown.label} finding {place}, research use only")[:1024]
    segment.SegmentAlgorithmType = "AUTOMATIC"
    segment.SegmentAlgorithmName = MANUFACTURER
    segment.SegmentationAlgorithmIdentificationSequence = [algorithm(exam)]
    segment.SegmentedPropertyCategoryCodeSequence = [ABNORMAL.item()]
    segment.SegmentedPropertyTypeCodeSequence = [MASS.item()]
    region = BREAST.item()
    if shown.image.laterality is not None:
        region.AnatomicRegionModifierSequence = [SIDES[shown.image.laterality].item()]
    segment.AnatomicRegionSequence = [region]
    segment.RecommendedDisplayCIELabValue = cielab(finding.label)
    segment.TrackingID = plain(f"{shown.label} finding {place}")
    segment.TrackingUID = exam.tracking_uid(shown, place)
    return segment


def _set_frames(ds: Dataset, exam: Exam, shown: Shown) -> None:
    """A frame a segment (PS3.3 C.7.6.16, C.7.6.17), each on the whole image.

    A flat image has no place in the patient. OHIF shows nothing without spacing and orientation;
    the orientation says no more than that rows are rows.
    """
    organization = Dataset()
    organization.DimensionOrganizationUID = derived(exam.key, "dimensions", shown.instance)
    ds.DimensionOrganizationSequence = [organization]
    index = Dataset()
    index.DimensionOrganizationUID = organization.DimensionOrganizationUID
    index.DimensionIndexPointer = 0x0062000B  # Referenced Segment Number
    index.FunctionalGroupPointer = 0x0062000A  # Segment Identification Sequence
    index.DimensionDescriptionLabel = "Segment"
    ds.DimensionIndexSequence = [index]
    shared = Dataset()
    if shown.image.spacing_mm is not None:
        measures, orientation = Dataset(), Dataset()
        measures.PixelSpacing = [f"{side:.8g}" for side in shown.image.spacing_mm]
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        shared.PixelMeasuresSequence = [measures]
        shared.PlaneOrientationSequence = [orientation]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [
        _frame(shown, place) for place in range(1, len(ds.SegmentSequence) + 1)
    ]


def _frame(shown: Shown, place: int) -> Dataset:
    content, segment, derived_from = Dataset(), Dataset(), Dataset()
    content.DimensionIndexValues = [place]
    segment.ReferencedSegmentNumber = place
    derived_from.DerivationCodeSequence = [dcm("113076", "Segmentation").item()]
    source = source_image(shown.header)
    source.SpatialLocationsPreserved = "YES"
    derived_from.SourceImageSequence = [source]
    frame = Dataset()
    frame.FrameContentSequence = [content]
    frame.SegmentIdentificationSequence = [segment]
    frame.DerivationImageSequence = [derived_from]
    return frame
