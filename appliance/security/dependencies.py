"""How a route says who may use it: `who: Annotated[Principal, needs(Role.READER)]`."""

# FastAPI reads these annotations as they are: no `from __future__ import annotations` here.

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from mammosono.appliance.security.access import COOKIE, Guard
from mammosono.appliance.security.roles import Principal, Role

# Only for the OpenAPI document: the guard reads both itself.
_Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(scheme_name="token", description="For programs.", auto_error=False)),
]
_Cookie = Annotated[
    str | None,
    Depends(
        APIKeyCookie(
            name=COOKIE,
            scheme_name="session",
            description="For the page, set by POST /v1/session.",
            auto_error=False,
        )
    ),
]


class Needs:
    """Admits who has one of the roles. Raises AccessError for everybody else."""

    def __init__(self, roles: frozenset[Role]) -> None:
        self.roles = roles

    async def __call__(self, request: Request, _: _Bearer, __: _Cookie) -> Principal:
        guard: Guard = request.app.state.guard
        return await guard.admit(request, self.roles)


class Public:
    """Admits everybody, a token or none."""

    def __call__(self) -> None:
        return None


def needs(*roles: Role) -> Any:
    """The dependency of a route for who has one of these roles; all roles if none is named."""
    return Depends(Needs(frozenset(roles or Role)))


def anyone() -> Any:
    """The dependency of a route that tells nothing worth a token."""
    return Depends(Public())
