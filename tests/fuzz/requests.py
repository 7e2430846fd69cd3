"""Damaged requests, byte by byte, to real appliances: one that asks for tokens, one that does not.

Every request gets an answer or an end of the connection in time, no failure but the documented
ones, and nothing of what needs a token.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
from faults.appliance import Appliance, alive
from files import picture, png
from pydantic import ValidationError

from fuzz.mutate import cut, flipped, integer, patched
from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.security import tokens
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import Tokens
from mammosono.appliance.settings import Settings

ALLOWED = (503, 507)
PATIENCE_S = 30.0
THREADS = 4
MARK = "marked-study"
"""Id of a study that only a token shows."""
QUICK = {
    "http.connection.HEAD_S": 1.0,
    "http.connection.STALL_S": 2.0,
    "http.session_routes.BODY_S": 1.0,
}

LINES = (
    "GET /v1/studies?limit=5&before=9&search=a&status=done&x=1 HTTP/1.1",
    f"GET /v1/studies/{MARK} HTTP/1.1",
    f"GET /v1/studies/{MARK}/images/0/mask.png HTTP/1.1",
    f"DELETE /v1/studies/{MARK} HTTP/1.1",
    "POST /v1/studies?wait=0 HTTP/1.1",
    "POST /v1/session HTTP/1.1",
    "DELETE /v1/session HTTP/1.1",
    "GET /v1/events HTTP/1.1",
    "GET /v1/model HTTP/1.1",
    "GET /metrics HTTP/1.1",
    "GET /readyz HTTP/1.1",
    "HEAD / HTTP/1.0",
    "OPTIONS * HTTP/1.1",
)
NAMES = (
    "Host", "Origin", "Authorization", "Cookie", "Content-Length", "Content-Type", "Expect",
    "Transfer-Encoding", "Content-Encoding", "Sec-Fetch-Site", "Connection", "Upgrade", "Range",
    "Accept", "If-None-Match", "X-Forwarded-For", "X-HTTP-Method-Override", "X-Request-Id", "\0",
)  # fmt: skip
VALUES = (
    "", " ", "[", "[::1", "[]", "[zz]", "localhost", "localhost:99999", "127.0.0.1", "evil.example",
    "127.0.0.1.evil.example", "http://[", "http://localhost", "null", "same-origin", "cross-site",
    "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "Bearer " + "x" * 600, "mammosono=x; mammosono=",
    "0", "-1", "1e9", "+5", "5, 5", "99999999999999999999", "chunked", "chunked, identity", "gzip",
    "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=b",
    "application/json", "100-continue", "h2c", "websocket", "bytes=0-", "close", "keep-alive",
    "\xff\xfe", "\x7f", "a" * 5000, "é", "%00", "\ud7ff".encode().decode("latin-1"),
)  # fmt: skip
QUERY = (
    "9223372036854775808", "-9223372036854775809", "9" * 5000, "-1", "nan", "inf", "1e309", "%00",
    "%ff", "%ed%a0%80", "a&before=", "%2e%2e%2f", "[]", "{}", "0x10", "１", "done", "\0",
)  # fmt: skip
BODIES = (
    b"",
    b'{"token": "x"}',
    b'{"token": ["x"]}',
    b'{"token": "\\ud800"}',
    b'{"token": 1e999}',
    b"[" * 4000,
    b'{"token": ' * 400,
    b"\xff\xfe\x00",
    b"--b\r\nContent-Disposition: form-data; name=ultrasound\r\n\r\nx\r\n--b--\r\n",
    b"--b\r\nContent-Disposition: form-data; name=study_id\r\n\r\n..\r\n--b--\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
)


@dataclass
class Asked:
    """answers: by status, or how it ended. wrong: by number of the request."""

    count: int = 0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, str] = field(default_factory=dict)
    lived: bool = True

    @property
    def held(self) -> bool:
        return self.lived and not self.wrong


def request(number: int) -> bytes:
    """Request `number`: the same one on any machine."""
    rng = random.Random(number)
    line, body = rng.choice(LINES), rng.choice(BODIES)
    if rng.random() < 0.4:
        method, target, version = line.split(" ")
        target = f"{target.partition('?')[0]}?{rng.choice(('limit', 'before', 'wait', 'search'))}="
        line = f"{method} {target}{rng.choice(QUERY)} {version}"
    if rng.random() < 0.1:
        line = line.replace(MARK, quote(rng.choice(QUERY + VALUES), safe="%"))
    headers = {"Host": "localhost", "Content-Length": str(len(body))}
    if rng.random() < 0.5:
        headers["Content-Type"] = rng.choice(
            ("application/json", "multipart/form-data; boundary=b")
        )
    lines = [f"{name}: {value}" for name, value in headers.items()]
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        name, value = rng.choice(NAMES), rng.choice(VALUES)
        if rng.random() < 0.7:
            lines = [each for each in lines if not each.startswith(f"{name}:")]
        lines.append(f"{name}: {value}")
    head = "\r\n".join([line, *lines]).encode("utf-8", "replace")
    data = head + b"\r\n\r\n" + body
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        data = rng.choice((flipped, cut, patched, integer))(data, rng)
    return data


def ask(
    folder: Path, count: int, first: int = 0, tell: Callable[[Asked], None] = lambda _: None
) -> Asked:
    """Send requests `first` to `first + count - 1`, each to one of two appliances."""
    asked, started = Asked(), time.monotonic()
    numbers, lock = iter(range(first, first + count)), threading.Lock()
    with (
        _appliance(folder / "closed", closed=True) as closed,
        _appliance(folder / "open") as opened,
    ):

        def work() -> None:
            while (number := _next(numbers, lock)) is not None:
                appliance = closed if number % 2 else opened
                said = _answer(appliance.port, request(number))
                wrong = _wrong(said, closed=appliance is closed)
                with lock:
                    asked.count += 1
                    asked.answers[said[0]] += 1
                    if wrong:
                        asked.wrong[number] = wrong
                    tell(asked)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asked.lived = all(each.answers("/healthz") for each in (closed, opened))
        if closed.count("done") + closed.count("failed") != 1:
            asked.wrong[-1] = "a study came or went without a token"
    asked.seconds = time.monotonic() - started
    return asked


@contextlib.contextmanager
def _appliance(folder: Path, *, closed: bool = False) -> Iterator[Appliance]:
    """One that holds the marked study."""
    folder.mkdir()
    settings = {"min_free_bytes": 0, "upload_s": 1, "max_body_bytes": 10**6, "queue_length": 4}
    appliance = Appliance(folder / "state", worker=False, constants=QUICK, **settings)
    appliance.log_to(folder / "serve.log")
    headers = {}
    if closed:
        secret = Tokens(folder / "state" / tokens.FILE).add("all", list(Role))
        headers = {"Authorization": f"Bearer {secret}"}
    appliance.start()
    try:
        appliance.until_ready()
        if closed:
            files = [("ultrasound", png(picture()))]
            place = f"{appliance.url}/v1/studies?wait=100"
            data = {"study_id": MARK}
            posted = httpx.post(place, files=files, data=data, headers=headers, timeout=120)
            assert posted.status_code == 200
        yield appliance
    finally:
        if alive(appliance.web):
            appliance.stop()


def _next(numbers: Iterator[int], lock: threading.Lock) -> int | None:
    with lock:
        return next(numbers, None)


def _answer(port: int, data: bytes) -> tuple[str, bytes]:
    """Status, or how it ended, and the head with what came beside it."""
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            client.settimeout(PATIENCE_S)
            with contextlib.suppress(ConnectionError):
                client.sendall(data)
            said = b""
            while b"\r\n\r\n" not in said:
                piece = client.recv(65536)
                if not piece:
                    break
                said += piece
            client.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                said += client.recv(65536)
    except TimeoutError:
        return "hung", b""
    except ConnectionError:
        return "cut", b""
    if not said:
        return "cut", b""
    words = said.split(None, 2)
    return words[1].decode("latin-1") if len(words) > 1 else "no status", said


def _wrong(said: tuple[str, bytes], *, closed: bool) -> str:
    """What no request may bring about; empty if it is well."""
    status, answer = said
    if status == "hung" or not (status == "cut" or status.isdigit()):
        return status
    if status.isdigit() and int(status) >= 500 and int(status) not in ALLOWED:
        return f"{status} {answer[-300:]!r}"
    if closed and (MARK.encode() in answer or b"text/event-stream" in answer):
        return f"let in: {answer[:100]!r}"
    if b"Traceback" in answer:
        return "a traceback"
    return ""


def documents(count: int, first: int, folder: Path) -> dict[int, str]:
    """Damaged token files: what was wrong, by number. A file that is there lets nobody in but who
    has a token, and what cannot be read is a StorageFailed."""
    file, wrong = folder / tokens.FILE, {}
    Tokens(file).add("ward", [Role.WORKSTATION])
    Tokens(file).add("doctor", [Role.READER])
    whole = file.read_bytes()
    for number in range(first, first + count):
        file.write_bytes(document(number, whole))
        store = Tokens(file)
        try:
            if store.find("not a token") is not None or not store.in_use:
                wrong[number] = "let in"
        except StorageFailed:
            pass
        except Exception as error:
            wrong[number] = type(error).__name__
    return wrong


NASTY = (
    None, True, [], {}, "", "é", "a" * 1000, "\0", -1, 0, 1e308, 2**70, [[]], {"a": 1}, "reader",
    "technician", "local", "2020-01-01", "99999-01-01T00:00:00+00:00", "0" * 64, "O" * 64,
)  # fmt: skip


def document(number: int, whole: bytes) -> bytes:
    """JSON document `number`: bytes damaged, or one of its values replaced."""
    rng = random.Random(number)
    if rng.random() < 0.5:
        data = whole
        for _ in range(rng.choice((1, 1, 2, 8))):
            data = rng.choice((flipped, cut, patched, integer))(data, rng)
        return data
    content = json.loads(whole)
    holder, key = rng.choice(list(_places(content)))
    holder[key] = rng.choice(NASTY)
    return json.dumps(content).encode()


def _places(value: object) -> Iterator[tuple[object, object]]:
    items: Iterator[tuple[object, object]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, inside in list(items):
        yield value, key
        yield from _places(inside)


def settings(
    count: int, first: int, put: Callable[[str, str], object], take: Callable[[str], object]
) -> dict[int, str]:
    """Settings with one that is damaged: what was wrong, by number. Each is taken, or refused."""
    wrong = {}
    names = list(Settings.model_fields)
    for number in range(first, first + count):
        rng = random.Random(number)
        name = f"MAMMOSONO_{rng.choice(names).upper()}"
        value = rng.choice((*VALUES, *QUERY, *map(str, NASTY))).replace("\0", "")
        put(name, value)
        try:
            Settings()
        except ValidationError:
            pass
        except Exception as error:
            wrong[number] = f"{name}: {type(error).__name__}"
        take(name)
    return wrong
