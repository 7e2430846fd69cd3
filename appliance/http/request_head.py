"""Check of a request's line and headers as a whole, for what the parser lets through."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from mammosono.appliance.errors import ApplianceError, HeadersTooLarge, MalformedRequest
from mammosono.appliance.http.problems import refuse

MAX_HEAD_BYTES = 16 * 1024
"""Of a request's line and headers; a browser sends 1 to 2 KiB."""
TOO_LARGE = "Send less than 16 KiB of headers."


class RequestHead:
    """ASGI middleware: refuses a head that is too large, of another version of HTTP, or that can be
    understood in two ways, and ends the connection, so that nothing behind it is taken for a
    request (RFC 9112, 2.3 and 6.1).

    The parser bounds a head that arrives in pieces; one that arrives at once it takes whole.

    A Range is passed over, as RFC 9110, 14.2 permits: files are small, and answered whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _fault(scope) if scope["type"] == "http" else None
        if error is None:
            if scope["type"] == "http":
                scope["headers"] = [each for each in scope["headers"] if each[0] != b"range"]
            await self.app(scope, receive, send)
            return
        response = refuse(error)
        response.headers["Connection"] = "close"
        await response(scope, receive, send)


def _fault(scope: Scope) -> ApplianceError | None:
    names = [name for name, _ in scope["headers"]]
    size = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > MAX_HEAD_BYTES:
        return HeadersTooLarge(TOO_LARGE)
    if scope["http_version"] not in ("1.0", "1.1"):
        return MalformedRequest("Send the request as HTTP/1.1 or HTTP/1.0.")
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            return MalformedRequest("Send Content-Length or Transfer-Encoding, not both.")
        if scope["http_version"] == "1.0":
            return MalformedRequest("Send Transfer-Encoding with HTTP/1.1 only.")
    return None
