"""Presentation contexts: which SOP classes the node takes and sends, in which transfer syntaxes.

The listener, the sender and the conformance statement all read these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pydicom.uid import (
    JPEG2000,
    UID,
    ColorSoftcopyPresentationStateStorage,
    Comprehensive3DSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MammographyCADSRStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

VERIFICATION = UID("1.2.840.10008.1.1")
STORAGE_COMMITMENT = UID("1.2.840.10008.1.20.1")
STORAGE_COMMITMENT_INSTANCE = UID("1.2.840.10008.1.20.1.1")
"""The one well-known instance to which commitment requests go (PS3.4, J.3.5)."""
STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
STUDY_ROOT_MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")

UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
COMPRESSED = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
)
"""What the intake decodes; big endian is retired, and a deflated data set may be a bomb."""

LARGEST_PDU = 128 * 1024
"""Bytes of one P-DATA-TF PDU that the node takes, and proposes to take."""


class Use(str, Enum):
    """What becomes of an image that is taken."""

    READ = "read"
    EXCLUDED = "taken, not read"
    SWITCH = "taken and read where the configuration says so, else refused"


@dataclass(frozen=True, slots=True)
class ImageContext:
    """A storage SOP class that the listener takes, as SCP."""

    name: str
    sop_class: UID
    use: Use
    syntaxes: tuple[UID, ...] = UNCOMPRESSED + COMPRESSED


MAMMOGRAM = ImageContext(
    "Digital Mammography X-Ray Image, For Presentation",
    DigitalMammographyXRayImageStorageForPresentation,
    Use.READ,
)
UNPROCESSED_MAMMOGRAM = ImageContext(
    "Digital Mammography X-Ray Image, For Processing",
    DigitalMammographyXRayImageStorageForProcessing,
    Use.EXCLUDED,
)
ULTRASOUND = ImageContext("Ultrasound Image", UltrasoundImageStorage, Use.READ)
CLIP = ImageContext("Ultrasound Multi-frame Image", UltrasoundMultiFrameImageStorage, Use.EXCLUDED)
CAPTURE = ImageContext("Secondary Capture Image", SecondaryCaptureImageStorage, Use.SWITCH)

IMAGES = (MAMMOGRAM, UNPROCESSED_MAMMOGRAM, ULTRASOUND, CLIP, CAPTURE)
"""Excluded images are taken all the same: a modality whose image is refused may stop its whole
send."""


class ObjectKind(str, Enum):
    """The word of `objects` in dicom.toml."""

    CAPTURE = "sc"
    REPORT = "sr"
    PRESENTATION = "pr"
    CAD_REPORT = "cad_sr"
    SEGMENTATION = "seg"


DEFAULT_OBJECTS = (ObjectKind.CAPTURE, ObjectKind.REPORT, ObjectKind.PRESENTATION)


@dataclass(frozen=True, slots=True)
class ObjectContext:
    """A storage SOP class that the sender proposes, as SCU."""

    kind: ObjectKind
    name: str
    sop_class: UID
    syntaxes: tuple[UID, ...] = UNCOMPRESSED


OBJECTS = (
    ObjectContext(ObjectKind.CAPTURE, "Secondary Capture Image", SecondaryCaptureImageStorage),
    ObjectContext(ObjectKind.REPORT, "Comprehensive 3D SR", Comprehensive3DSRStorage),
    ObjectContext(
        ObjectKind.PRESENTATION,
        "Grayscale Softcopy Presentation State",
        GrayscaleSoftcopyPresentationStateStorage,
    ),
    # Of images in colour, as some ultrasound is.
    ObjectContext(
        ObjectKind.PRESENTATION,
        "Color Softcopy Presentation State",
        ColorSoftcopyPresentationStateStorage,
    ),
    ObjectContext(ObjectKind.CAD_REPORT, "Mammography CAD SR", MammographyCADSRStorage),
    ObjectContext(ObjectKind.SEGMENTATION, "Segmentation", SegmentationStorage),
)
KIND_OF = {context.sop_class: context.kind for context in OBJECTS}


def images(*, captures: bool) -> tuple[ImageContext, ...]:
    """What the listener takes. captures: secondary captures as well, where an archive keeps
    mammograms as such."""
    return tuple(each for each in IMAGES if captures or each.use is not Use.SWITCH)
