"""What the guard refuses: its leaves of the tree of mammosono.appliance.errors.

AccessError
  Unauthorised     401 unauthorised
  Forbidden        403 forbidden
  TooManyAttempts  429 too_many_attempts
"""

from __future__ import annotations

from mammosono.appliance.errors import ApplianceError


class AccessError(ApplianceError):
    """The request may be a good one, but not from this client."""


class Unauthorised(AccessError):
    code, status, title = "unauthorised", 401, "Nobody is known by this token"


class Forbidden(AccessError):
    code, status, title = "forbidden", 403, "This is not for this client"


class TooManyAttempts(AccessError):
    """retry_after_s: whole seconds after which a token is looked at again."""

    code, status, title = "too_many_attempts", 429, "Too many tokens were wrong"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
