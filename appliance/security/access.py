"""Authentication and authorisation of requests: by bearer token or by the page's cookie."""

from __future__ import annotations

import logging
import math
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from mammosono.appliance.errors import Forbidden, MalformedRequest, TooManyAttempts, Unauthorised
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.security.exposure import is_loopback
from mammosono.appliance.security.roles import LOCAL, Principal, Role
from mammosono.appliance.security.throttle import Throttle
from mammosono.appliance.security.tokens import Tokens

logger = logging.getLogger(__name__)

COOKIE = "mammosono"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST_TOKEN = 512


class AccessControl:
    """Access control by token.

    tokens_optional: whether everybody may do everything as long as no token was ever added.
    own_name_only: whether an appliance without tokens answers only to names of this machine.
    Otherwise a page of the internet could have its own name resolved to 127.0.0.1 (DNS rebinding)
    and read studies in the browser of anyone who opens it.
    """

    def __init__(
        self, tokens: Tokens, audit: AuditWriter, *, tokens_optional: bool, own_name_only: bool
    ) -> None:
        self._tokens, self._audit = tokens, audit
        self._tokens_optional, self._own_name_only = tokens_optional, own_name_only
        self._throttle = Throttle()
        self._remembered = False

    @property
    def in_use(self) -> bool:
        """Whether a token was ever added. Raises StorageFailed if the token file cannot be read."""
        in_use = self._tokens.in_use
        if in_use and not self._remembered:
            self._remembered = True
            try:
                self._tokens.remember()
            except OSError as error:
                logger.error("that tokens are in use cannot be recorded: %s", error.strerror)
        return in_use

    def check(self) -> None:
        """Raises StorageFailed if nobody gets in since the token file is lost or unreadable."""
        self._tokens.all()

    @property
    def open(self) -> bool:
        """Whether no token is asked for. Raises StorageFailed if the token file cannot be read."""
        return self._tokens_optional and not self.in_use

    async def admit(self, request: Request, roles: frozenset[Role]) -> Principal:
        """The client, if it has one of `roles`. Raises AccessError, StorageFailed, or
        MalformedRequest for a Host that is none."""
        if self.open:
            return self._anybody(request)
        secret = bearer(request)
        by_cookie = secret is None
        if secret is None:
            secret = request.cookies.get(COOKIE)
        if secret is None:
            raise Unauthorised("Send Authorization: Bearer TOKEN, or sign in on the page.")
        who = await self.recognise(request, secret)
        if by_cookie and request.method not in _SAFE and not same_origin(request):
            raise Forbidden(
                "Only the appliance's own page may do this with a cookie; send the token."
            )
        if not roles & who.roles:
            needed = " or ".join(sorted(role.value for role in roles))
            raise Forbidden(f"This needs a token of role {needed}.")
        return who

    async def recognise(self, request: Request, secret: str) -> Principal:
        """The owner of a token. Raises Unauthorised or TooManyAttempts; a failure is audited."""
        token = self._tokens.find(secret) if len(secret) <= _LONGEST_TOKEN else None
        address = address_of(request)
        if token is not None:
            return Principal(token.name, token.roles, address)
        left = math.ceil(self._throttle.failed(address))
        if left:
            raise TooManyAttempts("Wait the seconds of Retry-After before you try again.", left)
        await self._audit.sign_in_failed(address)
        raise Unauthorised("The token is not known here; it may have been revoked.")

    def is_current(self, who: Principal) -> bool:
        """Whether an open stream may go on: not once its token was revoked."""
        if who.name == LOCAL:
            return self.open
        return any(t.name == who.name and t.roles == who.roles for t in self._tokens.all())

    def _anybody(self, request: Request) -> Principal:
        host = _host_name(request.headers.get("host", "localhost"))
        if self._own_name_only and not is_loopback(host):
            raise Forbidden("Ask for localhost; for other names: mammosono token add")
        if request.method not in _SAFE and same_origin(request) is False:
            raise Forbidden("Only the appliance's own page may do this from a browser.")
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
    """Whether the appliance's own page sent the request, by the browser's headers; None without."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = connection.headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc == connection.headers.get("host")
        except ValueError:  # it is no URL
            return False
    return None


def _host_name(host: str) -> str:
    """The name in a Host header, without its port. Raises MalformedRequest."""
    try:
        return urlsplit("//" + host).hostname or ""
    except ValueError:
        raise MalformedRequest("Send a Host header that is a name or an address.") from None
