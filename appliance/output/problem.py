"""Problem document (RFC 9457) of a refusal or a failure, with a stable code."""

from __future__ import annotations

import logging
import traceback
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from mammosono.appliance.errors import ApplianceError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """RFC 9457 section 3.1, and `code`, the part that a program should branch on."""

    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None

    def document(self) -> dict[str, Any]:
        members = {"type": f"urn:mammosono:problem:{self.code}", **asdict(self)}
        return {name: value for name, value in members.items() if value is not None}


def from_error(error: ApplianceError, instance: str | None = None) -> Problem:
    return Problem(error.title, error.status, str(error) or error.title, error.code, instance)


def from_unexpected(error: BaseException) -> Problem:
    """The problem of an unforeseen failure; logged under the id that `instance` carries.

    Neither holds the exception's message: a library may have quoted a patient's data in it.
    """
    instance = uuid.uuid4().urn
    logger.error("%s: unexpected %s at %s", instance, type(error).__name__, _places(error))
    return Problem(
        title=ApplianceError.title,
        status=ApplianceError.status,
        detail="An unexpected failure, logged under the id in `instance`; try again.",
        code=ApplianceError.code,
        instance=instance,
    )


def _places(error: BaseException) -> str:
    """The call stack, innermost first, as module:line; no source text and no folder."""
    frames = list(traceback.walk_tb(error.__traceback__))
    places = (f"{frame.f_globals.get('__name__')}:{line}" for frame, line in reversed(frames))
    return " < ".join(places) or "no frame"
