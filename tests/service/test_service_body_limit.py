from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from mammosono.appliance.errors import BodyTooLarge
from mammosono.appliance.http.body_limit import BodyLimit

CAP = 10


class Reads:
    """An application that reads the whole body."""

    def __init__(self) -> None:
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            self.body += message["body"]
            more = message["more_body"]


def post(app: Reads, chunks: list[bytes], **headers: str) -> tuple[list[Message], int]:
    """What was sent back, and how many chunks were taken from the client."""
    sent: list[Message] = []
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"body": chunks[taken - 1], "more_body": taken < len(chunks)}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": raw}
    asyncio.run(BodyLimit(app, CAP)(scope, receive, send))
    return sent, taken


def test_a_body_as_large_as_the_cap_passes_whole() -> None:
    for headers in ({"content_length": str(CAP)}, {}):
        app = Reads()
        assert post(app, [b"12345", b"", b"67890"], **headers) == ([], 3)
        assert app.body == b"1234567890"


def test_a_declared_length_over_the_cap_is_answered_without_reading_a_byte() -> None:
    app = Reads()
    sent, taken = post(app, [b"x"], content_length=str(CAP + 1))
    assert (sent[0]["status"], taken, app.body) == (413, 0, b"")


@pytest.mark.parametrize("headers", [{}, {"content_length": "1"}])
def test_a_body_that_passes_the_cap_on_its_way_is_cut_off_there(headers: dict[str, str]) -> None:
    app = Reads()
    with pytest.raises(BodyTooLarge, match="at most 10 bytes"):
        post(app, [b"1234567890", b"1", b"never read"], **headers)
    assert app.body == b"1234567890"


def test_what_is_no_request_passes_untouched() -> None:
    passed: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(scope)

    async def unused(*_: object) -> Message:
        raise AssertionError

    asyncio.run(BodyLimit(app, CAP)({"type": "lifespan"}, unused, unused))  # type: ignore[arg-type]
    assert passed == [{"type": "lifespan"}]
