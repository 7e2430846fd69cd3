"""Values of design and API. All frozen; arrays inside are never written to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.identity import NOBODY, Identity

FloatImage = NDArray[np.float32]
"""[height, width]."""
BoolMask = NDArray[np.bool_]
"""[height, width]."""


class Modality(str, Enum):
    """DICOM modality codes of the two tests."""

    MG = "MG"
    US = "US"


class Label(str, Enum):
    BENIGN = "benign"
    MALIGNANT = "malignant"


class Verdict(str, Enum):
    POSITIVE = "positive"
    NEGATIVE = "negative"
    INDETERMINATE = "indeterminate"


class Laterality(str, Enum):
    """The woman's own side, as DICOM codes it."""

    RIGHT = "R"
    LEFT = "L"


class Origin(str, Enum):
    """Who says which side or view an image shows, the first to be believed first."""

    HEADER = "header"
    FORM = "form"
    FILE_NAME = "file_name"


@dataclass(frozen=True, slots=True)
class Posted:
    """What the sender says of a file beside its bytes. name: of the file, without anything that
    would not show (`file_name.cleaned`); it may be a patient's, so it is never logged."""

    name: str | None = None
    laterality: Laterality | None = None
    view: str | None = None


BYTES_ALONE = Posted()
"""Nothing was said of the file."""


class Effect(Enum):
    """What a caution takes from a verdict."""

    NONE = "warned of"
    NO_NEGATIVE = "never negative"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True, slots=True)
class Caution:
    """What the reader of a result has to know of an image or of a study.

    code: stable, for programs. text: one sentence for people, of nobody's identity.
    effect: NO_NEGATIVE, what would be negative is indeterminate; NO_VERDICT, it is in any case.
    """

    code: str
    text: str
    effect: Effect = Effect.NONE


Box = tuple[float, float, float, float]
"""x0, y0, x1, y1; half-open; float pixels of the image as posted."""

Spacing = tuple[float, float]
"""Distance of pixel centres in mm: of rows, of columns."""

_SAME_SCALE = 1e-3


def alike(a: Spacing, b: Spacing) -> bool:
    """Whether two spacings agree to a part in a thousand."""
    return all(math.isclose(x, y, rel_tol=_SAME_SCALE) for x, y in zip(a, b, strict=True))


@dataclass(frozen=True, slots=True)
class ScaledRegion:
    """A rectangle of a picture that has a scale of its own: x0, y0, x1, y1, half-open, px.

    spacing_mm: None if it is not calibrated.
    """

    box: tuple[int, int, int, int]
    spacing_mm: Spacing | None


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """One decoded picture as posted, upright, grey, full bit depth.

    pixels: uint8 or uint16, [height, width], bright = dense (MONOCHROME1 already inverted).
    bits: significant bits of a pixel, 8 to 16.
    window: (low, high) pixel values shown as black and white, low < high.
    spacing_mm: (row, column) distance of pixel centres in the patient or at the detector, if it is
    known and the same all over the picture.
    regions: the only places where there are millimetres at all; None if spacing_mm holds anywhere.
    sha256: of the posted bytes.
    warnings: what the file tells the reader of the result to mind.
    laterality, view: which breast, and its projection as DICOM codes it ("CC", "MLO"), with its
        modifiers behind it, if known.
    laterality_from, view_from: who says so. name: as of Posted.
    identity: whose it is as the file says.
    coarseness: px of the picture as posted, along a side, that one of `pixels` stands for; it has
        its own size in `posted_size` where that is more than 1.
    """

    modality: Modality
    pixels: NDArray[Any]
    bits: int
    window: tuple[float, float]
    spacing_mm: Spacing | None
    sha256: str
    warnings: tuple[Caution, ...] = ()
    laterality: Laterality | None = None
    view: str | None = None
    identity: Identity = NOBODY
    laterality_from: Origin | None = None
    view_from: Origin | None = None
    name: str | None = None
    regions: tuple[ScaledRegion, ...] | None = None
    coarseness: int = 1
    posted_size: tuple[int, int] | None = None

    def spacing_within(self, box: tuple[int, int, int, int]) -> Spacing | None:
        """The spacing of what lies in `box` (x0, y0, x1, y1, half-open px): in the regions, if
        there are any, only of what lies in one of them and touches none of another scale."""
        if self.regions is None:
            return self.spacing_mm
        around = [region.spacing_mm for region in self.regions if _contains(region.box, box)]
        touched = [region.spacing_mm for region in self.regions if _overlap(region.box, box)]
        first = next((spacing for spacing in around if spacing is not None), None)
        if first is None or not all(each is not None and alike(first, each) for each in touched):
            return None
        return first

    def without_pixels(self) -> SourceImage:
        """All that is known of the picture but its grey levels, at no cost of memory."""
        nothing = np.broadcast_to(self.pixels.dtype.type(0), self.pixels.shape)
        return replace(self, pixels=nothing)

    @property
    def height(self) -> int:
        return int((self.posted_size or self.pixels.shape)[0])

    @property
    def width(self) -> int:
        return int((self.posted_size or self.pixels.shape)[1])


def _contains(outer: tuple[int, int, int, int], inner: tuple[int, int, int, int]) -> bool:
    return all(o <= i for o, i in zip(outer[:2], inner[:2], strict=True)) and all(
        i <= o for o, i in zip(outer[2:], inner[2:], strict=True)
    )


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@dataclass(frozen=True, slots=True)
class Rle:
    """COCO run-length mask: `size` = (height, width), `counts` = COCO's compressed string."""

    size: tuple[int, int]
    counts: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One detected region, in pixels of the image as posted.

    score: malignancy in [0, 1]; the label is malignant where it reaches the operating point.
    lesion_score: how sure the network is that this is a lesion at all, of either kind.
    contour: outer outline of the mask's largest part, (x, y) points, closed implicitly.
    diameter_mm: longest extent of the mask (maximum Feret diameter).
    """

    label: Label
    score: float
    lesion_score: float
    box: Box
    centroid: tuple[float, float]
    area_px: int
    area_mm2: float | None
    diameter_mm: float | None
    contour: tuple[tuple[float, float], ...]
    mask: Rle


@dataclass(frozen=True, slots=True)
class DenoiseRecord:
    """What was done to the noise: method, its parameters, noise before and after.

    Noise is the standard deviation of the high-frequency residual in the units of the working
    image; None where it cannot be estimated.
    """

    method: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    noise_before: float | None = None
    noise_after: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an image's score is made of: probabilities of malignancy of the whole image, and of its
    most malignant region, 0 where there is none."""

    whole_image: float
    region: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of a raw score's log-odds: P(malignant) = sigmoid(intercept + slope logit(raw))."""

    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class BreastScoring:
    """How a breast seen in several views is scored: the mean of their raw scores, calibrated.

    operating_point: lowest probability of a positive breast.
    """

    calibration: Calibration
    operating_point: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """How the images of one modality are scored, and from where on one is positive.

    head_weight: share of the whole image in the raw score; the rest is the region's.
    region_floor: lowest lesion score of a region that counts, shown as a finding or not.
    operating_point: lowest score of a positive image. calibration: None where scores are raw.
    breast: None where each image is judged by itself.
    """

    head_weight: float
    region_floor: float
    operating_point: float
    calibration: Calibration | None = None
    breast: BreastScoring | None = None


@dataclass(frozen=True, slots=True)
class ImageKind:
    """What an image looks like: probabilities, which add up to 1."""

    mammogram: float
    ultrasound: float
    other: float

    def of(self, modality: Modality) -> float:
        return self.mammogram if modality is Modality.MG else self.ultrasound


@dataclass(frozen=True, slots=True)
class ImageReading:
    """The appliance's answer for one image. `score` is the image's malignancy score in [0, 1].

    verdict: where its breast was judged by several views, the breast's.
    warnings, reasons: the sentences of its cautions, and their codes in the same order.
    spacing_mm, laterality, view, laterality_from, view_from, name: as of SourceImage.
    kind: None where the model cannot tell.
    """

    index: int
    modality: Modality
    width: int
    height: int
    sha256: str
    verdict: Verdict
    score: float | None
    findings: tuple[Finding, ...]
    denoise: DenoiseRecord
    warnings: tuple[str, ...] = ()
    spacing_mm: tuple[float, float] | None = None
    laterality: Laterality | None = None
    view: str | None = None
    evidence: Evidence | None = None
    kind: ImageKind | None = None
    reasons: tuple[str, ...] = ()
    laterality_from: Origin | None = None
    view_from: Origin | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class UnreadImage:
    """A posted file that could not be read as an image: it has neither picture nor verdict.

    index, sha256, laterality, view, laterality_from, view_from, name: as of ImageReading.
    warnings, reasons: why it was not read, the sentence and the code of its IntakeError.
    identity: whose it is, as far as its header can still be read.
    """

    modality: Modality
    sha256: str
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    index: int = 0
    laterality: Laterality | None = None
    view: str | None = None
    laterality_from: Origin | None = None
    view_from: Origin | None = None
    name: str | None = None
    identity: Identity = NOBODY


@dataclass(frozen=True, slots=True)
class BreastReading:
    """One breast judged by its views together. images: their indices."""

    laterality: Laterality
    images: tuple[int, ...]
    score: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """8-bit grey pictures of one image, [height, width] as posted: what was read, and denoised."""

    original: NDArray[np.uint8]
    denoised: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered.

    operating_points, networks (which one reads it), input_sizes ((height, width) of that network's
    input), scoring: by the code of each modality that the model reads.
    """

    name: str
    version: str
    sha256: str
    runtime: str
    operating_points: Mapping[str, float]
    networks: Mapping[str, str] = field(default_factory=dict)
    input_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    scoring: Mapping[str, Scoring] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to a study.

    decided_by: the modalities whose verdict decided the fused one.
    incomplete: of a modality no image was read.
    images, pictures: of those read. unread: the others, which stand between them by their index.
    timings_ms: wall milliseconds by step, summed over images; "total" is the whole reading.
    breasts: those that were judged by several views together.
    warnings: sentences on the study as a whole. reasons: their codes, then those of its being
        indeterminate.
    """

    verdict: Verdict
    decided_by: tuple[Modality, ...]
    incomplete: bool
    images: tuple[ImageReading, ...]
    pictures: tuple[Pictures, ...]
    model: ModelInfo
    timings_ms: Mapping[str, float]
    breasts: tuple[BreastReading, ...] = ()
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    unread: tuple[UnreadImage, ...] = ()

    @property
    def in_order(self) -> tuple[ImageReading | UnreadImage, ...]:
        """All images as posted, read or not."""
        return tuple(sorted((*self.images, *self.unread), key=lambda image: image.index))
