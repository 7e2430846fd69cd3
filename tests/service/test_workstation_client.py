"""The workstation's client: what it sends while a study waits, and what it makes of odd answers."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_bench import FakeReader, png, running, until
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.output.printable import printable
from mammosono.appliance.security import tls
from mammosono.appliance.values import Modality
from mammosono.appliance.workstation import client as client_module
from mammosono.appliance.workstation.client import (
    ApplianceClient,
    ClientError,
    Files,
    PostRefused,
    Unavailable,
    connect,
)

FILM_BYTES = 300_000


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A pair; the film is long, so that it shows in what is sent."""
    (tmp_path / "a_mg.png").write_bytes(png(1) + bytes(FILM_BYTES))
    (tmp_path / "a_us.png").write_bytes(png(2))
    return [(Modality.MG, tmp_path / "a_mg.png"), (Modality.US, tmp_path / "a_us.png")]


def _url(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


class Wire:
    """A proxy on a free port that counts the bytes sent to the appliance.

    lost: how many of the answers to a post it loses, with the connection."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target, self.sent, self.posts, self.lost = target, 0, 0, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = _url(self._server)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                state = {"post": False}
                for each in ((near, far, True, state), (far, near, False, state)):
                    threading.Thread(target=self._pump, args=each, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, out: bool, state: dict[str, bool]
    ) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                if out:
                    self.sent += len(data)
                    if data.startswith((b"POST", b"GET")):
                        state["post"] = data.startswith(b"POST")
                        self.posts += state["post"]
                elif state["post"] and self.lost:
                    self.lost -= 1
                    source.shutdown(socket.SHUT_RDWR)
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(data)


@contextlib.contextmanager
def wired(reader: FakeReader, **settings: Any) -> Iterator[tuple[Wire, ApplianceClient]]:
    with running(reader, **settings) as http:
        wire = Wire((http.base_url.host, http.base_url.port or 0))
        with ApplianceClient(wire.url) as here:
            yield wire, here
            reader.gate.set()
        wire.close()


def reading(
    client: ApplianceClient, files: Files, study_id: str
) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.read(files, study_id)))
    thread.start()
    return thread, answers


def test_images_are_sent_once_however_long_their_study_waits(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "WAIT_S", 0.2)
    monkeypatch.setattr(client_module, "PAUSE_S", 0.0)
    reader = FakeReader()
    reader.gate.clear()
    with wired(reader) as (wire, here):
        thread, answers = reading(here, files, "s-1")
        until(lambda: wire.sent > FILM_BYTES)
        time.sleep(2)
        reader.gate.set()
        thread.join(60)
        assert answers[0]["status"] == "done"
        assert wire.posts == 1
        assert wire.sent < FILM_BYTES + 20_000


def test_a_study_whose_answer_was_lost_is_asked_for_and_not_posted_again(files: Files) -> None:
    with wired(FakeReader()) as (wire, here):
        wire.lost = 1
        with pytest.raises(Unavailable):
            here.read(files, "s-1")
        assert here.read(files, "s-1")["status"] == "done"
        assert wire.posts == 1


def test_a_full_queue_gets_the_images_once_it_has_a_place(files: Files, tmp_path: Path) -> None:
    reader = FakeReader()
    reader.gate.clear()
    with (
        wired(reader, queue_length=1) as (wire, here),
        ApplianceClient(wire.url) as other,
        contextlib.ExitStack() as opened,
    ):
        others: list[tuple[threading.Thread, list[Any]]] = []
        for number in range(2):  # one is being read, one waits
            path = tmp_path / f"{number}.png"
            path.write_bytes(png(10 + number))
            one = opened.enter_context(ApplianceClient(wire.url))
            others.append(reading(one, [(Modality.US, path)], f"o-{number}"))
            until(lambda n=number: f"o-{n}" in _listed(other))
            time.sleep(0.3)
        before, posts = wire.sent, wire.posts
        for _ in range(5):
            with pytest.raises(Unavailable) as error:
                here.read(files, "s-1")
            assert error.value.retry_after_s
        assert wire.posts == posts + 1
        assert wire.sent - before < FILM_BYTES + 20_000
        reader.gate.set()
        for thread, _ in others:
            thread.join(60)
        assert here.read(files, "s-1")["status"] == "done"


def _listed(client: ApplianceClient) -> list[str]:
    studies = client._http.get("/v1/studies").json()["studies"]
    return [one["id"] for one in studies]


def test_a_study_of_other_images_under_the_same_id_is_never_taken_for_these(
    files: Files, tmp_path: Path
) -> None:
    with wired(FakeReader()) as (_, here):
        here.read(files, "s-1")
        (tmp_path / "other.png").write_bytes(png(7))
        others = [
            [(Modality.US, tmp_path / "other.png")],
            [(Modality.US, path) for _, path in files],
            files[:1],
        ]
        for other in others:
            with pytest.raises(PostRefused, match="study_conflict"):
                here.read(other, "s-1")


@pytest.mark.parametrize("study_id", ["..", ".", "a/b", "a?wait=9", "x" * 65, "../../healthz"])
def test_an_id_that_is_none_asks_for_nothing_else(files: Files, study_id: str) -> None:
    with wired(FakeReader()) as (_, here), pytest.raises(PostRefused, match="invalid_study_id"):
        here.read(files, study_id)


def test_a_wrong_token_is_no_fault_of_the_study(files: Files, tmp_path: Path) -> None:
    from mammosono.appliance.security import tokens
    from mammosono.appliance.security.roles import Role

    tokens.Tokens(tmp_path / "state" / tokens.FILE).add("ward", [Role.WORKSTATION])
    with (
        running(FakeReader(), state=tmp_path / "state") as http,
        ApplianceClient(str(http.base_url), "wrong") as here,
        pytest.raises(Unavailable, match="unauthorised"),
    ):
        here.read(files, "s-1")


# Odd servers


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], None], *, reads: bool = True) -> Iterator[str]:
    """URL of a server that reads a request, unless `answer` does, answers, and closes."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with contextlib.suppress(OSError), connection:
                    if reads:
                        connection.recv(65536)
                    answer(connection)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield _url(server)
    finally:
        server.close()


def body(content: bytes, head: bytes = HEAD) -> Callable[[socket.socket], None]:
    length = b"Content-Length: %d\r\n\r\n" % len(content)
    return lambda connection: connection.sendall(head + length + content)


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n[")
    while True:
        connection.sendall(b"0," * 32768)


def trickling(connection: socket.socket) -> None:
    """For ten seconds, so that a client without a deadline fails the test and does not hang it."""
    connection.sendall(HEAD + b"\r\n[")
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        connection.sendall(b"0,")
        time.sleep(0.05)


def status(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + line, *fields, b""))


DONE = {"id": "s-1", "status": "done", "verdict": "negative"}
ODD: dict[str, tuple[Callable[[socket.socket], None], str]] = {
    "html": (body(b"<html>Sign in</html>"), "JSON"),
    "html of an error": (body(b"<h1>Bad gateway", status(b"502 Bad Gateway")), "502"),
    "nothing": (body(b""), "JSON"),
    "a list": (body(b"[]"), "JSON"),
    "deep": (body(b"[" * 100_000), "JSON"),
    "no number": (body(b'{"id": "s-1", "status": "done", "verdict": NaN}'), "JSON"),
    "a huge number": (body(b"1" * 1_000_000), "JSON"),
    "no text": (body(b"\xff\xfe\xff"), "JSON"),
    "redirect": (body(b"", status(b"302 Found", b"Location: http://127.0.0.1:1/")), "302"),
    "redirect to nowhere": (body(b"", status(b"301 Moved", b"Location: http://[")), "answers|URL"),
    "compressed": (body(b"x", HEAD + b"Content-Encoding: gzip\r\n"), "compressed"),
    "another study": (body(json.dumps({**DONE, "id": "s-2"}).encode()), "another study"),
    "no verdict": (body(json.dumps({**DONE, "verdict": "?"}).encode()), "no result"),
    "no status": (body(b'{"id": "s-1"}'), "no result"),
    "failed without a reason": (body(b'{"id": "s-1", "status": "failed", "problem": 1}'), "reason"),
    "no reason": (body(b'{"detail": "no"}', status(b"403 Forbidden")), "reason"),
    "no http": (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9\r\n"), "HTTPS"),
    "endless": (endless, "64 MiB"),
    "trickling": (trickling, "longer than"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_appliance_is_said_so_in_one_line_and_held_in_little_memory(
    files: Files, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, words = ODD[name]
    monkeypatch.setattr(client_module, "MOST_ANSWER_BYTES", 2**20)
    monkeypatch.setattr(client_module, "ANSWER_S", 0.5)
    with answering(answer) as url, ApplianceClient(url) as here:
        tracemalloc.start()
        try:
            # To be asked for a study that failed is to have it posted again.
            read = here._post if name == "failed without a reason" else here.read
            with pytest.raises(Unavailable, match=words.replace("64 MiB", "1 MiB")) as error:
                read(files, "s-1")
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()
    assert str(error.value).isprintable()


def test_a_redirect_is_never_followed_with_the_token(files: Files) -> None:
    asked: list[bytes] = []

    def note(connection: socket.socket) -> None:
        asked.append(b"asked")

    with answering(note) as elsewhere:
        location = b"Location: " + elsewhere.encode()
        for code in (b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"):
            with (
                answering(body(b"", status(code, location))) as url,
                ApplianceClient(url, "secret") as here,
                pytest.raises(Unavailable, match="not followed"),
            ):
                here.read(files, "s-1")
    assert asked == []


def test_control_characters_of_a_server_reach_nobody(files: Files) -> None:
    words = {"title": "\x1b[31mred", "detail": "two\nlines\x07", "code": "x\x9b"}
    refusing = body(json.dumps(words).encode(), status(b"422 Unprocessable"))
    with answering(refusing) as url, ApplianceClient(url) as here:
        with pytest.raises(PostRefused) as error:
            here.read(files)
        assert all(text.isprintable() for text in (str(error.value), *error.value.problem["title"]))
    document = {**DONE, "images": [{"warnings": ["\x1b]0;title\x07"]}]}
    with answering(body(json.dumps(document).encode())) as url, ApplianceClient(url) as here:
        assert here._post(files, "s-1")["images"][0]["warnings"] == ["?]0;title?"]


@pytest.mark.parametrize(
    ("after", "seconds"),
    [("5", 5.0), ("999999999", 600.0), ("9" * 40, None), ("²", None), ("-1", None), ("soon", None)],
)
def test_retry_after_is_a_number_of_seconds_and_never_for_ever(
    files: Files, after: str, seconds: float | None
) -> None:
    full = json.dumps({"title": "Full", "detail": "wait", "code": "queue_full"}).encode()
    head = status(b"429 Too Many Requests", b"Retry-After: " + after.encode())
    with answering(body(full, head)) as url, ApplianceClient(url) as here:
        with pytest.raises(Unavailable) as error:
            here.read(files)
        assert error.value.retry_after_s == seconds


def test_who_answers_at_once_that_a_study_waits_is_not_asked_without_a_pause(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an appliance that knows no wait does."""
    asked = 0

    def pending(connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        state = "queued" if asked < 5 else "done"
        body(json.dumps({**DONE, "status": state}).encode())(connection)

    monkeypatch.setattr(client_module, "PAUSE_S", 0.2)
    with answering(pending) as url, ApplianceClient(url) as here:
        begun = time.monotonic()
        assert here._post(files, "s-1")["status"] == "queued"
        while here._wait("s-1")["status"] != "done":
            pass
        assert time.monotonic() - begun >= 0.6


@pytest.mark.parametrize("url", ["appliance:8000", "ftp://a", "http://", "", "https:/a"])
def test_an_address_that_is_none_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ClientError, match="https://ADDRESS:PORT"):
        connect(url)


@pytest.mark.parametrize("token", ["", "söcret", "two\nlines", "a\x00b"])
def test_a_token_that_is_none_is_an_error_at_once(token: str) -> None:
    with pytest.raises(ClientError, match="token"):
        connect("https://127.0.0.1:9", token)


def test_no_password_of_an_address_is_repeated(files: Files) -> None:
    with (
        ApplianceClient("http://user:secret@127.0.0.1:9") as here,
        pytest.raises(Unavailable) as error,
    ):
        here.read(files)
    assert "secret" not in str(error.value)


def test_a_certificate_that_is_not_trusted_says_what_to_give(files: Files, tmp_path: Path) -> None:
    made = tls.self_made(tmp_path / "tls", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    done = body(json.dumps(DONE).encode())

    def speak_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as safe:
            safe.recv(65536)
            done(safe)
            safe.unwrap()

    with answering(speak_tls, reads=False) as plain:
        secure = plain.replace("http:", "https:")
        with ApplianceClient(secure, ca=made.certificate) as here:
            assert here._ask("GET", "/v1/studies/s-1").document == DONE
        with ApplianceClient(secure) as here, pytest.raises(Unavailable, match="--ca"):
            here.read(files)
        with ApplianceClient(plain) as here, pytest.raises(Unavailable, match="https://"):
            here.read(files)
    with (
        answering(done, reads=False) as plain,
        ApplianceClient(plain.replace("http:", "https:")) as here,
        pytest.raises(Unavailable, match="http://"),
    ):
        here.read(files)


# The commands


def test_post_says_how_to_go_on_when_the_appliance_goes_away(files: Files) -> None:
    command = ["post", "--url", "http://127.0.0.1:9", "-m", str(files[0][1])]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "--study post-" in result.stderr


def test_post_says_in_one_line_that_a_token_file_is_none(files: Files, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00")
    command = ["post", "--url", "http://127.0.0.1:9", "-m", str(files[0][1])]
    result = CliRunner().invoke(app, [*command, "--token-file", str(tmp_path / "token")])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("name", ["[red]film.txt", "\x1b[31m.txt", "two\nlines.txt"])
def test_watch_writes_any_file_name_as_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(b"?")
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("mammosono.appliance.commands.workstation.time.sleep", sleep)
    command = ["watch", str(tmp_path), "--url", "http://127.0.0.1:9", "--settle", "0"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    _, left, _ = result.stderr.splitlines()
    assert "neither a DICOM mammogram" in left
    assert left.isprintable()
    assert printable(name) in left
