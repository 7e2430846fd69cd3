"""STOW-RS: objects by HTTP, one a request, so that one that is refused refuses no other
(PS3.18, 10.5)."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Iterator

import httpx

from mammosono.appliance.node.association import Rejected
from mammosono.appliance.node.destinations import Stow
from mammosono.appliance.node.outcome import STORED, Became, Outcome, of_status
from mammosono.appliance.node.probe import CONNECT_S, Unreachable, client_context, probe

ANSWER_S = 120.0
MOST_ANSWER_BYTES = 2**20
_TOKEN = re.compile(r"[\x21-\x7e]+")
_FAILED, _REASON = "00081198", "00081197"
_BUSY = (408, 425, 429)
_OF_THE_OBJECT = (400, 409, 413, 415, 422)


@contextlib.contextmanager
def connect(way: Stow) -> Iterator[httpx.Client]:
    """Raises Unreachable if a file cannot be used."""
    headers = {"Accept": "application/dicom+json", "Accept-Encoding": "identity"}
    if way.token_file is not None:
        headers["Authorization"] = f"Bearer {_token(way)}"
    with httpx.Client(
        headers=headers,
        verify=client_context(way.tls) if way.tls else True,
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        trust_env=False,
    ) as client:
        yield client


def store(client: httpx.Client, way: Stow, data: bytes) -> Outcome:
    """Post one object, DICOM Part 10. Raises Unreachable; Rejected if it is not about it."""
    boundary = f"mammosono-{secrets.token_hex(16)}"
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = head + data + f"\r\n--{boundary}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    status, document = ask(client, way, "POST", "/studies", body, {"Content-Type": kind})
    if status == 200 or (status == 202 and document is not None):
        return _failure(document) or STORED
    if status == 409 and (failed := _failure(document)):
        return failed
    if status in _OF_THE_OBJECT:
        return Outcome(Became.NEVER, f"the destination refuses it, HTTP {status}")
    return Outcome(Became.LATER, f"the destination answers oddly, HTTP {status}")


def ask(
    client: httpx.Client,
    way: Stow,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, object]:
    """HTTP status and JSON document, if it is one. Raises Unreachable, Rejected."""
    try:
        with client.stream(method, way.url + path, content=body, headers=headers) as response:
            answer = bytearray()
            for piece in response.iter_raw():
                answer += piece
                if len(answer) > MOST_ANSWER_BYTES:
                    raise Unreachable("its answer has no end", "is that the address of a PACS?")
    except httpx.HTTPError as error:
        address = httpx.URL(way.url)
        port = address.port or (443 if address.scheme == "https" else 80)
        probe(address.host, port, way.tls)
        raise Unreachable(
            f"the connection fails: {type(error).__name__}", "its log may say more"
        ) from None
    status = response.status_code
    if status in (401, 403):
        raise Rejected(
            f"the destination does not let us in, HTTP {status}",
            "put a token that it knows into token_file",
        )
    if status in (404, 405, 410) or 300 <= status < 400:
        raise Rejected(
            f"there is no STOW-RS at the address, HTTP {status}",
            "correct stow; it is the address without /studies",
        )
    if status in _BUSY or status >= 500:
        raise Unreachable(f"the destination cannot store now, HTTP {status}", "its log says why")
    try:
        return status, json.loads(answer)
    except (ValueError, RecursionError):
        return status, None


def _failure(document: object) -> Outcome | None:
    """Of the one object that was posted; None if it did not fail (PS3.18, I.2)."""
    try:
        (failed,) = document[_FAILED]["Value"]  # type: ignore[index]
        return of_status(int(failed[_REASON]["Value"][0]) or 0x0110)
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _token(way: Stow) -> str:
    assert way.token_file is not None
    try:
        token = way.token_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not _TOKEN.fullmatch(token):
        raise Unreachable(
            "token_file holds no token that can be read",
            "write the token into it, readable by the node's user",
        )
    return token
