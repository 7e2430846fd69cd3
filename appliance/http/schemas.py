"""Schemas of the HTTP interface beside the result, for OpenAPI; a test holds real answers
against them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import Field

from mammosono.appliance.output.document import Document, Model
from mammosono.appliance.values import Verdict


class Pending(Document):
    id: str
    status: Literal["queued", "reading"]


class InstalledModel(Model):
    networks: dict[str, str] = Field(
        {}, description="By modality that is read, the name of the network in the bundle."
    )
    input_sizes: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        {}, description="By modality that is read, height and width of its network's input, pixels."
    )


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
    open: bool = Field(description="There are no tokens: everybody may do everything.")
    max_images: int = Field(description="Of a modality in a study.")


PROBLEM: dict[str, Any] = {
    "description": "Refused or failed",
    "content": {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}
    },
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI: the statuses with which a route answers a problem document."""
    return {status: PROBLEM | {"description": HTTPStatus(status).phrase} for status in statuses}
