"""Who a request is from, and whether it may."""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from mammosono.appliance.security.audit_writer import Trail
from mammosono.appliance.security.errors import Forbidden, TooManyAttempts, Unauthorised
from mammosono.appliance.security.exposure import is_loopback
from mammosono.appliance.security.roles import LOCAL, Principal, Role
from mammosono.appliance.security.throttle import Attempts
from mammosono.appliance.security.tokens import Tokens

COOKIE = "mammosono"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST_TOKEN = 512


class Guard:
    """Recognises clients by their tokens.

    unguarded: whether everybody may do everything as long as no token was ever added.
    own_name_only: whether such a box answers only to names of this machine: without that, a page
    of the internet could have its own name resolved to 127.0.0.1 and read studies in the browser
    of whoever looks at it.
    """

    def __init__(
        self, tokens: Tokens, trail: Trail, *, unguarded: bool, own_name_only: bool
    ) -> None:
        self._tokens, self._trail = tokens, trail
        self._unguarded, self._own_name_only = unguarded, own_name_only
        self._attempts = Attempts()

    @property
    def in_use(self) -> bool:
        """Whether a token was ever added. Raises StorageFailed if that cannot be told."""
        return self._tokens.in_use

    @property
    def open(self) -> bool:
        """Whether no token is asked for. Raises StorageFailed if that cannot be told."""
        return self._unguarded and not self.in_use

    async def admit(self, request: Request, roles: frozenset[Role]) -> Principal:
        """Who asks, if one of `roles` is theirs. Raises AccessError or StorageFailed."""
        if self.open:
            return self._anybody(request)
        secret = bearer(request)
        by_cookie = secret is None
        if secret is None:
            secret = request.cookies.get(COOKIE)
        if secret is None:
            raise Unauthorised("Send Authorization: Bearer TOKEN, or sign in on the box's page.")
        who = await self.recognise(request, secret)
        if by_cookie and request.method not in _SAFE and not same_origin(request):
            raise Forbidden("Only the box's own page may do this with a cookie; send the token.")
        if not roles & who.roles:
            needed = " or ".join(sorted(role.value for role in roles))
            raise Forbidden(f"This needs a token of role {needed}.")
        return who

    async def recognise(self, request: Request, secret: str) -> Principal:
        """Whose token it is. Raises Unauthorised or TooManyAttempts; a failure is written down."""
        token = self._tokens.find(secret) if len(secret) <= _LONGEST_TOKEN else None
        address = address_of(request)
        if token is not None:
            return Principal(token.name, token.roles, address)
        left = math.ceil(self._attempts.failed(address))
        if left:
            raise TooManyAttempts("Wait the seconds of Retry-After before you try again.", left)
        await self._trail.sign_in_failed(address)
        raise Unauthorised("The token is not known here; it may have been revoked.")

    def still_knows(self, who: Principal) -> bool:
        """Whether a stream that was begun may go on: not when its token was revoked since."""
        if who.name == LOCAL:
            return self.open
        return any(t.name == who.name and t.roles == who.roles for t in self._tokens.all())

    def _anybody(self, request: Request) -> Principal:
        host = urlsplit("//" + request.headers.get("host", "localhost")).hostname or ""
        if self._own_name_only and not is_loopback(host):
            raise Forbidden("Ask for localhost; for other names: mammosono token add")
        if request.method not in _SAFE and same_origin(request) is False:
            raise Forbidden("Only the box's own page may do this from a browser.")
        return Principal(LOCAL, frozenset(Role), address_of(request))


def bearer(connection: HTTPConnection) -> str | None:
    """The token of the Authorization header. Raises Unauthorised for another scheme."""
    header = connection.headers.get("authorization")
    if header is None:
        return None
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorised("Send the token as Authorization: Bearer TOKEN.")
    return secret.strip()


def address_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def same_origin(connection: HTTPConnection) -> bool | None:
    """Whether a page of this box sent the request, by what browsers say; None if none says."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = connection.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == connection.headers.get("host")
    return None
