"""Sessions of the page: what the cookie holds, what it opens, and when that ends."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from service_bench import FakeReader, problem, running, study, until

from mammosono.appliance.security import tokens
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.sessions import LONGEST_S, MOST_OF_TOKEN, Sessions, key_of
from mammosono.appliance.security.tokens import Tokens

W, R, T = Role.WORKSTATION, Role.READER, Role.TECHNICIAN


@dataclass
class Box:
    client: httpx.Client
    kept: Tokens
    open: ExitStack

    @property
    def port(self) -> int:
        port = self.client.base_url.port
        assert port is not None
        return port

    def browser(self, cookies: dict[str, str] | None = None) -> httpx.Client:
        own = {"Origin": str(self.client.base_url).rstrip("/")}
        client = httpx.Client(base_url=self.client.base_url, timeout=60, headers=own)
        client.cookies.update(cookies or {})
        return self.open.enter_context(client)

    def signed_in(self, secret: str) -> httpx.Client:
        browser = self.browser()
        assert browser.post("/v1/session", json={"token": secret}).status_code == 200
        return browser


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    kept = Tokens(tmp_path / tokens.FILE)
    kept.add("tech", [T])
    with running(FakeReader(), state=tmp_path) as client, ExitStack() as opened:
        yield Box(client, kept, opened)


def test_the_cookie_is_not_the_token_and_its_name_is_bound_to_the_port(box: Box) -> None:
    secret = box.kept.add("doctor", [R, W])
    first, second = (dict(box.signed_in(secret).cookies) for _ in range(2))
    name = f"mammosono-{box.port}"
    assert list(first) == list(second) == [name]
    assert len({secret, first[name], second[name]}) == 3
    assert secret not in first[name]
    # Neither does the token open anything as a cookie, nor the session as a token.
    for cookies in ({name: secret}, {"mammosono": secret}, {"mammosono": first[name]}):
        assert box.browser(cookies).get("/v1/studies").status_code == 401
    bearing = {"Authorization": f"Bearer {first[name]}"}
    assert box.client.get("/v1/studies", headers=bearing).status_code == 401
    problem(box.client.post("/v1/session", json={"token": first[name]}), 401, "unauthorised")


def test_a_session_serves_lists_pictures_and_posts(box: Box) -> None:
    browser = box.signed_in(box.kept.add("ward", [W]))
    assert browser.post("/v1/studies", **study(data={"study_id": "a"})).status_code == 200
    assert browser.get("/v1/studies/a/images/0/overlay.png").status_code == 200
    assert [entry["id"] for entry in browser.get("/v1/studies").json()["studies"]] == ["a"]
    assert browser.get("/v1/session").json()["name"] == "ward"


def test_after_sign_out_the_session_is_dead_and_the_token_is_not(box: Box) -> None:
    secret = box.kept.add("doctor", [R])
    browser, other = box.signed_in(secret), box.signed_in(secret)
    stolen = dict(browser.cookies)
    assert box.browser(stolen).get("/v1/studies").status_code == 200
    assert browser.delete("/v1/session").status_code == 204
    assert dict(browser.cookies) == {}
    problem(box.browser(stolen).get("/v1/studies"), 401, "unauthorised")
    assert other.get("/v1/studies").status_code == 200
    bearing = {"Authorization": f"Bearer {secret}"}
    assert box.client.get("/v1/studies", headers=bearing).status_code == 200


def test_who_signs_in_again_leaves_no_session_behind(box: Box) -> None:
    browser = box.signed_in(box.kept.add("doctor", [R]))
    before = dict(browser.cookies)
    browser.post("/v1/session", json={"token": box.kept.add("ward", [W])})
    assert browser.get("/v1/session").json()["name"] == "ward"
    assert box.browser(before).get("/v1/session").status_code == 401


@pytest.mark.parametrize("again", [None, [R], [W]], ids=["revoked", "rotated", "another role"])
def test_a_session_ends_with_its_very_token(box: Box, again: list[Role] | None) -> None:
    browser = box.signed_in(box.kept.add("doctor", [R]))
    box.kept.revoke("doctor")
    if again:
        box.kept.add("doctor", again)
    problem(browser.get("/v1/studies"), 401, "unauthorised")


def test_a_session_that_is_not_known_is_no_guess_at_a_token(box: Box) -> None:
    name = f"mammosono-{box.port}"
    codes = {box.browser({name: f"x{n}"}).get("/v1/studies").status_code for n in range(12)}
    assert codes == {401}
    problem(box.client.post("/v1/session", json={"token": "wrong"}), 401, "unauthorised")


def test_a_host_that_is_none_is_no_failure_where_there_are_tokens(box: Box) -> None:
    for method, path in (("GET", "/v1/studies"), ("DELETE", "/v1/session")):
        connection = http.client.HTTPConnection("127.0.0.1", box.port, timeout=60)
        connection.request(method, path, headers={"Host": "["})
        assert connection.getresponse().status < 500
        connection.close()


# -- event streams


def stream_of(client: httpx.Client, ended: threading.Event) -> threading.Thread:
    """A thread that listens; it is listening when this returns."""
    listening = threading.Event()

    def listen() -> None:
        with client.stream("GET", "/v1/events") as stream:
            for _ in stream.iter_lines():
                listening.set()
        ended.set()

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(60)
    return thread


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammosono.appliance.http.event_routes.BEAT_S", 0.1)


@pytest.mark.parametrize("by", ["token", "session"])
@pytest.mark.usefixtures("quick")
def test_the_stream_of_a_token_that_was_replaced_under_its_name_ends(box: Box, by: str) -> None:
    secrets = {name: box.kept.add(name, [R]) for name in ("doctor", "other")}
    ended = {name: threading.Event() for name in secrets}
    threads = []
    for name, secret in secrets.items():
        client = box.signed_in(secret) if by == "session" else box.browser()
        if by == "token":
            client.headers["Authorization"] = f"Bearer {secret}"
        threads.append(stream_of(client, ended[name]))
    box.kept.revoke("doctor")
    box.kept.add("doctor", [R])
    assert ended["doctor"].wait(60)
    assert not ended["other"].wait(1)
    box.kept.revoke("other")
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.usefixtures("quick")
def test_the_stream_of_a_session_ends_when_it_is_signed_out(box: Box) -> None:
    browser, ended = box.signed_in(box.kept.add("doctor", [R])), threading.Event()
    same = box.browser(dict(browser.cookies))
    thread = stream_of(browser, ended)
    assert same.delete("/v1/session").status_code == 204
    until(ended.is_set)
    thread.join(60)


# -- how long, and how many


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_ends_after_a_working_day_however_it_is_used() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    key = key_of(sessions.begin("a" * 64))
    for _ in range(11):
        clock.now += LONGEST_S / 12
        assert sessions.find(key) is not None
    clock.now += LONGEST_S / 12
    assert sessions.find(key) is None
    sessions.begin("a" * 64)
    assert len(sessions._sessions) == 1


def test_one_token_cannot_end_the_sessions_of_another_nor_fill_the_memory() -> None:
    sessions = Sessions()
    of_another = key_of(sessions.begin("b" * 64))
    keys = [key_of(sessions.begin("a" * 64)) for _ in range(MOST_OF_TOKEN + 3)]
    assert [sessions.find(key) is None for key in keys] == [True] * 3 + [False] * MOST_OF_TOKEN
    assert sessions.find(of_another) is not None


def test_an_id_has_256_bits_and_is_kept_as_its_hash_alone() -> None:
    sessions = Sessions()
    ids = {sessions.begin("a" * 64) for _ in range(8)}
    assert len(ids) == 8
    assert all(len(session_id) == 43 for session_id in ids)
    assert not any(session_id in repr(sessions._sessions) for session_id in ids)
