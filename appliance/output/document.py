"""Result document: one schema that writes a reading as JSON, checks it and reads it back.

HTTP answers are described by the same models. A field of a document has the name of the value's
field it is made of, so nothing here copies one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from mammosono.appliance import __version__
from mammosono.appliance.values import (
    BreastReading,
    ImageReading,
    Label,
    Laterality,
    Modality,
    ModelInfo,
    Origin,
    Reading,
    UnreadImage,
    Verdict,
)

SOFTWARE = f"mammosono {__version__}"


def _decimals(digits: int) -> BeforeValidator:
    return _rounding(lambda number: round(number, digits))


def _significant(digits: int) -> BeforeValidator:
    return _rounding(lambda number: float(f"{number:.{digits}g}"))


def _rounding(rounded: Callable[[float], float]) -> BeforeValidator:
    # Before the bounds are checked: a probability that is 1 but for its last bit is 1.
    return BeforeValidator(lambda value: rounded(value) if isinstance(value, float) else value)


Score = Annotated[float, Field(ge=0, le=1), _decimals(4)]
Pixels = Annotated[float, _decimals(2)]
Millimetres = Annotated[float, _decimals(2)]
Milliseconds = Annotated[float, _decimals(1)]
RoundedSpacing = Annotated[float, _significant(6)]
Noise = Annotated[float, _decimals(4)]
# They span magnitudes: a gain of 0.003, a search window of 11.
Parameter = Annotated[float, _significant(4)]
Point = tuple[Pixels, Pixels]


class Document(BaseModel):
    """Frozen; holds no NaN or infinity, which JSON cannot hold, and no unknown field."""

    model_config = ConfigDict(
        extra="forbid", from_attributes=True, frozen=True, allow_inf_nan=False
    )


class Mask(Document):
    """COCO run-length encoding; decodes with pycocotools."""

    size: tuple[int, int] = Field(description="Height, width of the image in pixels.")
    counts: str


class FindingDocument(Document):
    label: Label
    score: Score = Field(description="Malignancy.")
    lesion_score: Score = Field(description="How surely this is a lesion, of either label.")
    box: tuple[Pixels, Pixels, Pixels, Pixels] = Field(
        description="x0, y0, x1, y1; half-open; pixels of the image as posted."
    )
    centroid: Point = Field(description="x, y in pixels.")
    area_px: int
    area_mm2: Millimetres | None = Field(description="Null where the pixel spacing is not known.")
    diameter_mm: Millimetres | None = Field(
        description="Longest extent; null where the pixel spacing is not known."
    )
    contour: tuple[Point, ...] = Field(description="Outline of the largest part, x, y in pixels.")
    mask: Mask


class Denoise(Document):
    method: str
    parameters: dict[str, Parameter]
    noise_before: Noise | None
    noise_after: Noise | None


class EvidenceDocument(Document):
    whole_image: Score = Field(description="Malignancy of the image as a whole.")
    region: Score = Field(description="Of its most malignant region, shown as a finding or not.")


class Kind(Document):
    """What the picture looks like: probabilities, which add up to 1."""

    mammogram: Score
    ultrasound: Score = Field(description="Of the breast.")
    other: Score


class Image(Document):
    index: int = Field(description="The n of this image in /images/{n}/..., from 0.")
    modality: Modality
    width: int = Field(description="Pixels, as posted and upright.")
    height: int
    spacing_mm: tuple[RoundedSpacing, RoundedSpacing] | None = Field(
        None,
        description="Rows apart, columns apart, as the file says; of a mammogram at the detector "
        "or in the patient. Null where it does not say.",
    )
    sha256: str = Field(description="Of the posted file.")
    name: str | None = Field(None, description="Of the posted file, to be shown; no key.")
    laterality: Laterality | None = Field(None, description="Which breast, where it is known.")
    laterality_from: Origin | None = Field(None, description="Who says so.")
    view: str | None = Field(
        None,
        description="Projection as DICOM codes it, its modifiers behind it, where it is known.",
    )
    view_from: Origin | None = Field(None, description="Who says so.")
    kind: Kind | None = Field(None, description="Null where the model cannot tell.")
    verdict: Verdict = Field(
        description="Of the image; of its breast where several views were judged together."
    )
    score: Score | None = Field(description="Malignancy of this image by itself.")
    evidence: EvidenceDocument | None = Field(
        None, description="What the score is made of, see the model's scoring."
    )
    findings: tuple[FindingDocument, ...]
    denoise: Denoise
    warnings: tuple[str, ...] = Field(description="Sentences, for people.")
    reasons: tuple[str, ...] = Field(
        (), description="The code of each warning, in their order; docs/scope.md lists them."
    )


class NotRead(Document):
    """A posted file that could not be read as an image, in its place among the others."""

    index: int = Field(description="Its place; it has no pictures.")
    modality: Modality
    sha256: str = Field(description="Of the posted file.")
    name: str | None = Field(None, description="Of the posted file, to be shown; no key.")
    laterality: Laterality | None = Field(None, description="Which breast, where it is known.")
    laterality_from: Origin | None = Field(None, description="Who says so.")
    view: str | None = Field(None, description="As of an image that was read.")
    view_from: Origin | None = Field(None, description="Who says so.")
    verdict: None = Field(None, description="Null: not read.")
    score: None = None
    findings: tuple[()] = ()
    warnings: tuple[str, ...] = Field(description="Why, in a sentence.")
    reasons: tuple[str, ...] = Field(description="Why: the code, as of a refusal.")


class Breast(Document):
    laterality: Laterality
    images: tuple[int, ...] = Field(description="The index of each of its views.")
    score: Score = Field(description="Malignancy of the breast by all of them.")
    verdict: Verdict


class CalibrationDocument(Document):
    slope: float
    intercept: float


class BreastScoringDocument(Document):
    calibration: CalibrationDocument
    operating_point: float


class ScoringDocument(Document):
    """raw = head_weight * whole_image + (1 - head_weight) * region; the score is raw, or with a
    calibration 1 / (1 + exp(-(intercept + slope * log(raw / (1 - raw)))); a breast's is that of the
    mean of its images' raw values, with its own calibration."""

    head_weight: float
    region_floor: float = Field(description="Lowest lesion score of a region that counts.")
    operating_point: float = Field(description="Lowest score of a positive image.")
    calibration: CalibrationDocument | None
    breast: BreastScoringDocument | None


class Model(Document):
    name: str
    version: str
    sha256: str
    runtime: str
    operating_points: dict[str, float] = Field(
        description="By modality, the score from which an image is positive."
    )
    scoring: dict[str, ScoringDocument] = Field(
        {}, description="By modality, how scores are made of the evidence."
    )


_IMAGES = TypeAdapter(tuple[ImageReading, ...])
_UNREAD = TypeAdapter(tuple[UnreadImage, ...])
_BREASTS = TypeAdapter(tuple[BreastReading, ...])
_MODEL = TypeAdapter(ModelInfo)


class Result(Document):
    """A finished study.

    Scores have 4 decimals, pixels and millimetres 2, milliseconds 1. Boxes, centroids and
    contours are (x, y) in pixel edges of the image as posted; masks are COCO RLE.
    """

    id: str
    status: Literal["done"]
    verdict: Verdict = Field(
        description="Positive if either modality is; negative only if both are and all was read."
    )
    decided_by: tuple[Modality, ...]
    incomplete: bool = Field(description="A modality has no image that was read.")
    images: tuple[Image | NotRead, ...] = Field(description="All that were posted.")
    breasts: tuple[Breast, ...] = Field((), description="Those judged by several views together.")
    warnings: tuple[str, ...] = Field((), description="Sentences on the study as a whole.")
    reasons: tuple[str, ...] = Field(
        (), description="The code of each of these, then why it is indeterminate beside them."
    )
    model: Model
    timings_ms: dict[str, Milliseconds]
    software: str

    @classmethod
    def of(cls, study_id: str, reading: Reading) -> Result:
        """The document of a reading. Raises ValueError if a number in it is not finite."""
        points = reading.model.operating_points
        # As precise as the scores that are held against them; /v1/model gives them whole.
        rounded = {code: round(point, 4) for code, point in points.items()}
        return cls(
            id=study_id,
            status="done",
            verdict=reading.verdict,
            decided_by=reading.decided_by,
            incomplete=reading.incomplete,
            images=tuple(_image(image) for image in reading.in_order),
            model=Model.model_validate(replace(reading.model, operating_points=rounded)),
            timings_ms=dict(reading.timings_ms),
            software=SOFTWARE,
            breasts=tuple(Breast.model_validate(breast) for breast in reading.breasts),
            warnings=reading.warnings,
            reasons=reading.reasons,
        )

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Result:
        """A document as JSON gave it, perhaps of a newer appliance: further fields are passed over.

        Raises ValueError if it is no result document, or says a word that is not known.
        """
        return cls.model_validate(document, extra="ignore")

    def document(self) -> dict[str, Any]:
        """JSON-ready, keys in reading order."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """JSON text in ASCII."""
        return json.dumps(self.document(), allow_nan=False)

    def reading(self) -> Reading:
        """The reading that the document was made of, rounded, and without its pictures."""
        return Reading(
            verdict=self.verdict,
            decided_by=self.decided_by,
            incomplete=self.incomplete,
            images=_IMAGES.validate_python(
                [image.model_dump() for image in self.images if isinstance(image, Image)]
            ),
            pictures=(),
            model=_MODEL.validate_python(self.model.model_dump()),
            timings_ms=self.timings_ms,
            breasts=_BREASTS.validate_python([breast.model_dump() for breast in self.breasts]),
            warnings=self.warnings,
            reasons=self.reasons,
            unread=_UNREAD.validate_python(
                [
                    image.model_dump(exclude={"verdict", "score", "findings"})
                    for image in self.images
                    if isinstance(image, NotRead)
                ]
            ),
        )


def _image(image: ImageReading | UnreadImage) -> Image | NotRead:
    kind = Image if isinstance(image, ImageReading) else NotRead
    return kind.model_validate(image)
