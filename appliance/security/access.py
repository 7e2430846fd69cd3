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
from mammosono.appliance.security.sessions import Sessions, key_of
from mammosono.appliance.security.throttle import Throttle
from mammosono.appliance.security.tokens import Token, Tokens

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
        self._throttle, self._sessions = Throttle(), Sessions()
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
        who = self._by_session(request) if secret is None else await self.recognise(request, secret)
        if not roles & who.roles:
            needed = " or ".join(sorted(role.value for role in roles))
            raise Forbidden(f"This needs a token of role {needed}.")
        return who

    async def recognise(self, request: Request, secret: str) -> Principal:
        """The owner of a token. Raises Unauthorised or TooManyAttempts; a failure is audited."""
        token = self._tokens.find(secret) if len(secret) <= _LONGEST_TOKEN else None
        address = address_of(request)
        if token is not None:
            return Principal(token.name, token.roles, address, token.sha256)
        left = math.ceil(self._throttle.failed(address))
        if left:
            raise TooManyAttempts("Wait the seconds of Retry-After before you try again.", left)
        await self._audit.sign_in_failed(address)
        raise Unauthorised("The token is not known here; it may have been revoked.")

    def is_current(self, who: Principal) -> bool:
        """Whether an open stream may go on: not once its token was revoked, though another may have
        its name by now, nor once its session has ended."""
        if who.name == LOCAL:
            return self.open
        if who.session and self._sessions.find(who.session) is None:
            return False
        token = self._token(who.token)
        return token is not None and (token.name, token.roles) == (who.name, who.roles)

    async def sign_in(self, request: Request, secret: str) -> tuple[Principal, str]:
        """The owner of a token, and the id of a new session in place of the one that the browser
        had. Raises as `recognise` does."""
        who = await self.recognise(request, secret)
        self.sign_out(request)
        return who, self._sessions.begin(who.token)

    def sign_out(self, request: Request) -> None:
        """End the session of the request's cookie, if there is one."""
        session_id = request.cookies.get(cookie_name(request))
        if session_id is not None:
            self._sessions.end(key_of(session_id))

    def _by_session(self, request: Request) -> Principal:
        """Raises Unauthorised; a session that is not known is not counted as a guess at a token.
        Raises Forbidden for a change that another site may have asked for."""
        session_id = request.cookies.get(cookie_name(request))
        if session_id is None:
            raise Unauthorised("Send Authorization: Bearer TOKEN, or sign in on the page.")
        session = self._sessions.find(key_of(session_id))
        token = self._token(session.token) if session is not None else None
        if session is None or token is None:
            raise Unauthorised("The session has ended; sign in again.")
        if request.method not in _SAFE and not same_origin(request):
            raise Forbidden(
                "Only the appliance's own page may do this with a cookie; send the token."
            )
        address = address_of(request)
        return Principal(token.name, token.roles, address, token.sha256, session.key)

    def _token(self, sha256: str) -> Token | None:
        return next((token for token in self._tokens.all() if token.sha256 == sha256), None)

    def _anybody(self, request: Request) -> Principal:
        host = _host_name(request.headers.get("host", "localhost"))
        if self._own_name_only and not is_loopback(host):
            raise Forbidden("Ask for localhost; for other names: mammosono token add")
        if request.method not in _SAFE and same_origin(request) is False:
            raise Forbidden("Only the appliance's own page may do this from a browser.")
        return Principal(LOCAL, frozenset(Role), address_of(request))


def cookie_name(connection: HTTPConnection) -> str:
    """Of the session's cookie. Cookies know no port: services of one host would overwrite each
    other's. What begins with __Host- browsers take and send over HTTPS alone, from this host alone.
    """
    server = connection.scope.get("server") or ("", 0)
    name = f"{COOKIE}-{server[1]}"
    return f"__Host-{name}" if is_encrypted(connection) else name


def is_encrypted(connection: HTTPConnection) -> bool:
    return bool(connection.scope["scheme"] == "https")


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
