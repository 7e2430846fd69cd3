"""FastAPI dependencies for access: `who: Annotated[Principal, needs(Role.READER)]`."""

# FastAPI reads these annotations as they are: no `from __future__ import annotations` here.

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from mammosono.appliance.security.access import COOKIE, AccessControl
from mammosono.appliance.security.roles import Principal, Role

# Only for the OpenAPI document: AccessControl reads both itself.
_Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(scheme_name="token", description="For programs.", auto_error=False)),
]
_Cookie = Annotated[
    str | None,
    Depends(
        APIKeyCookie(
            name=f"{COOKIE}-8000",
            scheme_name="session",
            description="For the page, set by POST /v1/session. The number is the port that the "
            "service listens on; over HTTPS the name begins with __Host-.",
            auto_error=False,
        )
    ),
]


class Needs:
    """Dependency that admits clients with one of the roles; raises AccessError for all others."""

    def __init__(self, roles: frozenset[Role]) -> None:
        self.roles = roles

    async def __call__(self, request: Request, _: _Bearer, __: _Cookie) -> Principal:
        access: AccessControl = request.app.state.access
        return await access.admit(request, self.roles)


class Public:
    """Dependency that admits every client, with or without a token."""

    def __call__(self) -> None:
        return None


def needs(*roles: Role) -> Any:
    """Dependency of a route for clients with one of these roles; any role if none is given."""
    return Depends(Needs(frozenset(roles or Role)))


def anyone() -> Any:
    """Dependency of a public route."""
    return Depends(Public())
