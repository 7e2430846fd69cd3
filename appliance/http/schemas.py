"""The documents of the HTTP interface, for OpenAPI; a test holds real answers against them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mammosono.appliance.values import Label, Modality, Verdict

Score = Annotated[float, Field(ge=0, le=1)]
Point = tuple[float, float]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Mask(Document):
    """COCO run-length encoding; decodes with pycocotools."""

    size: tuple[int, int] = Field(description="Height, width of the image in pixels.")
    counts: str


class FindingDocument(Document):
    label: Label
    score: Score = Field(description="Malignancy.")
    lesion_score: Score = Field(description="How surely this is a lesion, of either label.")
    box: tuple[float, float, float, float] = Field(
        description="x0, y0, x1, y1; half-open; pixels of the image as posted."
    )
    centroid: Point = Field(description="x, y in pixels.")
    area_px: int
    area_mm2: float | None = Field(description="Null where the pixel spacing is not known.")
    diameter_mm: float | None = Field(
        description="Longest extent; null where the pixel spacing is not known."
    )
    contour: list[Point] = Field(description="Outline of the largest part, x, y in pixels.")
    mask: Mask


class Denoise(Document):
    method: str
    parameters: dict[str, float]
    noise_before: float | None
    noise_after: float | None


class Image(Document):
    index: int = Field(description="The n of this image in /images/{n}/..., from 0.")
    modality: Modality
    width: int = Field(description="Pixels, as posted and upright.")
    height: int
    spacing_mm: tuple[float, float] | None = Field(
        None,
        description="Rows apart, columns apart, as the file says; of a mammogram at the detector "
        "or in the patient. Null where it does not say.",
    )
    sha256: str = Field(description="Of the posted file.")
    verdict: Verdict
    score: Score | None
    findings: list[FindingDocument]
    denoise: Denoise
    warnings: list[str]


class Model(Document):
    name: str
    version: str
    sha256: str
    runtime: str
    operating_points: dict[str, float] = Field(
        description="By modality, the score from which an image is positive."
    )


class Result(Document):
    id: str
    status: Literal["done"]
    verdict: Verdict = Field(
        description="Positive if either modality is; negative only if both are."
    )
    decided_by: list[Modality]
    incomplete: bool = Field(description="A modality has no image.")
    images: list[Image]
    model: Model
    timings_ms: dict[str, float]
    software: str


class Pending(Document):
    id: str
    status: Literal["queued", "reading"]


class ProblemDocument(Document):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable: branch on this.")
    instance: str | None = None
    checks: dict[str, str] | None = Field(default=None, description="Of /readyz, by part.")


class Failed(Document):
    id: str
    status: Literal["failed"]
    problem: ProblemDocument


class StudyEntry(Document):
    id: str
    status: Literal["queued", "reading", "done", "failed"]
    posted: datetime
    verdict: Verdict | None


class StudyList(Document):
    studies: list[StudyEntry] = Field(description="Newest first.")
    next: int | None = Field(description="Ask for the next page with `before` at this; or null.")


class Session(Document):
    name: str = Field(description="Of the token.")
    roles: list[Literal["workstation", "reader", "technician"]]
    open: bool = Field(description="The box has no tokens: everybody may do everything.")


PROBLEM: dict[str, Any] = {
    "description": "Refused or failed",
    "content": {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    },
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI: the statuses with which a route answers a problem document."""
    return {status: PROBLEM | {"description": HTTPStatus(status).phrase} for status in statuses}
