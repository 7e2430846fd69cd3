"""Who gets in, and to what: over a real socket, with a token of each role."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from service_bench import FakeReader, problem, running, study, until

from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.http.app import create_app
from mammosono.appliance.security import tokens
from mammosono.appliance.security.dependencies import Needs, Public
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.throttle import FREE
from mammosono.appliance.security.tokens import Tokens
from mammosono.appliance.settings import Settings

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("POST", "/v1/session"),
    ("DELETE", "/v1/session"),
}
"""What is answered without a token. The page's own files come on top: they hold nobody's data."""

W, R, T = Role.WORKSTATION, Role.READER, Role.TECHNICIAN
ROLES = {
    ("POST", "/v1/studies"): {W},
    ("GET", "/v1/studies"): {W, R},
    ("GET", "/v1/studies/{study_id}"): {W, R},
    ("GET", "/v1/studies/{study_id}/images/{index}/{kind}.png"): {W, R},
    ("DELETE", "/v1/studies/{study_id}"): {W, T},
    ("GET", "/v1/events"): {W, R},
    ("GET", "/v1/session"): {W, R, T},
    ("GET", "/v1/model"): {W, R, T},
    ("GET", "/metrics"): {T},
}
PAGE = ("/", "/static/")


def declared() -> dict[tuple[str, str], list[Needs | Public]]:
    """Of every route of the application, what stands before it."""
    found: dict[tuple[str, str], list[Needs | Public]] = {}
    for route in iter_route_contexts(create_app(Settings()).routes):
        # What is none, a mounted folder or a websocket, could not say who may use it.
        assert isinstance(route.original_route, APIRoute), route.path
        dependencies = [
            dependency.call
            for dependency in route.dependant.dependencies
            if isinstance(dependency.call, Needs | Public)
        ]
        for method in route.methods:
            assert (method, route.path) not in found
            found[method, route.path] = dependencies
    assert set(found) >= PUBLIC | set(ROLES)
    return found


def test_every_route_says_once_who_may_use_it() -> None:
    for route, dependencies in declared().items():
        assert len(dependencies) == 1, route


def test_only_health_signing_in_and_the_page_need_no_token() -> None:
    for (method, path), (dependency,) in declared().items():
        if isinstance(dependency, Public):
            own_file = method == "GET" and (path == PAGE[0] or path.startswith(PAGE[1]))
            assert own_file or (method, path) in PUBLIC, (method, path)


def test_the_roles_are_those_of_the_table() -> None:
    found = declared()
    for route, roles in ROLES.items():
        (dependency,) = found[route]
        assert isinstance(dependency, Needs)
        assert dependency.roles == roles, route


@dataclass
class WithTokens:
    """An appliance with a token of each role and of two workstations; a client of each, and one
    without a token."""

    state: Path
    client: httpx.Client
    secrets: dict[str, str]
    clients: dict[str, httpx.Client]

    def __getitem__(self, name: str) -> httpx.Client:
        return self.clients[name]


@pytest.fixture(scope="module")
def reader() -> FakeReader:
    return FakeReader()


@pytest.fixture(scope="module")
def appliance(reader: FakeReader, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithTokens]:
    state = tmp_path_factory.mktemp("state")
    kept = Tokens(state / tokens.FILE)
    roles = {"ward-1": W, "ward-2": W, "doctor": R, "tech": T}
    secrets = {name: kept.add(name, [role]) for name, role in roles.items()}
    with running(reader, state=state) as anybody:
        clients = {
            name: httpx.Client(
                base_url=anybody.base_url,
                timeout=60,
                headers={"Authorization": f"Bearer {secret}"},
            )
            for name, secret in secrets.items()
        }
        yield WithTokens(state, anybody, secrets, clients)
        for client in clients.values():
            client.close()


@pytest.fixture(scope="module")
def of_ward_1(appliance: WithTokens) -> str:
    """Path of a study that ward-1 posted."""
    answer = appliance["ward-1"].post("/v1/studies", **study(data={"study_id": "of-ward-1"}))
    assert answer.status_code == 200
    return "/v1/studies/of-ward-1"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "unauthorised"),
        ({"Authorization": "Bearer wrong"}, "unauthorised"),
        ({"Authorization": "Bearer"}, "unauthorised"),
        ({"Authorization": "Basic d2FyZC0xOng="}, "unauthorised"),
        ({"Authorization": "Bearer " + "x" * 5000}, "unauthorised"),
        ({"Cookie": "mammosono=wrong"}, "unauthorised"),
    ],
    ids=["none", "wrong", "empty", "password", "endless", "cookie"],
)
def test_without_a_token_that_is_known_nobody_gets_in(
    appliance: WithTokens, of_ward_1: str, headers: dict[str, str], code: str
) -> None:
    # One path for each: what is wrong is told before what is asked for is looked at.
    answer = appliance.client.get(of_ward_1, headers=headers)
    assert answer.headers["www-authenticate"] == "Bearer"
    problem(answer, 401, code)


def test_no_route_but_the_public_ones_answers_without_a_token(appliance: WithTokens) -> None:
    for (method, path), (dependency,) in declared().items():
        path = path.format_map({"study_id": "x", "index": 0, "kind": "mask", "name": "x"})
        if isinstance(dependency, Needs):
            problem(appliance.client.request(method, path), 401, "unauthorised")


def test_a_body_is_not_read_before_the_token_was(appliance: WithTokens) -> None:
    files = list((appliance.state / "spool" / "incoming").iterdir())
    problem(appliance.client.post("/v1/studies", **study()), 401, "unauthorised")
    problem(appliance["tech"].post("/v1/studies", **study()), 403, "forbidden")
    assert list((appliance.state / "spool" / "incoming").iterdir()) == files == []


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("doctor", "POST", "/v1/studies"),
        ("doctor", "DELETE", "/v1/studies/of-ward-1"),
        ("doctor", "GET", "/metrics"),
        ("tech", "GET", "/v1/studies"),
        ("tech", "GET", "/v1/studies/of-ward-1"),
        ("tech", "GET", "/v1/studies/of-ward-1/images/0/mask.png"),
        ("tech", "GET", "/v1/events"),
        ("ward-1", "GET", "/metrics"),
    ],
)
def test_a_token_of_another_role_is_forbidden(
    appliance: WithTokens, of_ward_1: str, name: str, method: str, path: str
) -> None:
    with appliance[name].stream(method, path) as answer:
        assert answer.status_code == 403  # events, were they allowed, would never end
        answer.read()
    assert "role" in problem(answer, 403, "forbidden")["detail"]


def test_a_workstation_sees_its_own_studies_and_a_reader_all(
    appliance: WithTokens, of_ward_1: str
) -> None:
    appliance["ward-2"].post("/v1/studies", **study(data={"study_id": "of-ward-2"}))

    def listed(name: str) -> set[str]:
        return {entry["id"] for entry in appliance[name].get("/v1/studies").json()["studies"]}

    assert listed("ward-1") == {"of-ward-1"}
    assert listed("ward-2") == {"of-ward-2"}
    assert listed("doctor") >= {"of-ward-1", "of-ward-2"}
    for name in ("ward-1", "doctor"):
        assert appliance[name].get(of_ward_1).status_code == 200
        assert appliance[name].get(f"{of_ward_1}/images/0/mask.png").status_code == 200


def test_another_s_study_cannot_be_told_from_none(appliance: WithTokens, of_ward_1: str) -> None:
    other = appliance["ward-2"]
    tails = ("GET", ""), ("GET", "?wait=60"), ("GET", "/images/0/mask.png"), ("DELETE", "")
    for method, tail in tails:
        theirs = other.request(method, of_ward_1 + tail)
        none = other.request(method, "/v1/studies/none" + tail)
        problem(theirs, 404, "unknown_study")
        assert theirs.json() == none.json()
    assert appliance["ward-1"].get(of_ward_1).status_code == 200
    # Only that the id is taken can be found out, by trying to take it.
    taken = other.post("/v1/studies", **study(data={"study_id": "of-ward-1"}))
    assert "result" not in problem(taken, 409, "study_conflict")


def test_a_workstation_deletes_its_own_and_a_technician_any(appliance: WithTokens) -> None:
    for name, deleter in (("a", "ward-1"), ("b", "tech")):
        appliance["ward-1"].post("/v1/studies", **study(data={"study_id": name}))
        assert appliance[deleter].delete(f"/v1/studies/{name}").status_code == 204
        problem(appliance["doctor"].get(f"/v1/studies/{name}"), 404, "unknown_study")


def events(client: httpx.Client, heard: list[Any], listening: threading.Event) -> None:
    with client, client.stream("GET", "/v1/events") as stream:
        for line in stream.iter_lines():
            listening.set()
            if line.startswith("data: "):
                heard.append(json.loads(line[6:]))


def test_events_tell_a_workstation_of_its_own_studies_and_end_with_its_token(
    appliance: WithTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammosono.appliance.http.event_routes.BEAT_S", 0.1)
    kept = Tokens(appliance.state / tokens.FILE)
    secrets = {"ward-3": kept.add("ward-3", [W]), "doctor-2": kept.add("doctor-2", [R])}
    heard: dict[str, list[Any]] = {name: [] for name in secrets}
    threads = []
    for name, secret in secrets.items():
        on = threading.Event()
        headers = {"Authorization": f"Bearer {secret}"}
        client = httpx.Client(base_url=appliance.client.base_url, timeout=60, headers=headers)
        threads.append(threading.Thread(target=events, args=(client, heard[name], on)))
        threads[-1].start()
        assert on.wait(60)
    posting = {"ward-1": appliance.secrets["ward-1"], "ward-3": secrets["ward-3"]}
    for name, secret in posting.items():
        headers = {"Authorization": f"Bearer {secret}"}
        post = study(data={"study_id": f"event-{name}"}, headers=headers)
        assert appliance.client.post("/v1/studies", **post).status_code == 200
    until(lambda: {e["id"] for e in heard["doctor-2"]} == {"event-ward-1", "event-ward-3"})
    until(lambda: any(event["status"] == "done" for event in heard["ward-3"]))
    assert {event["id"] for event in heard["ward-3"]} == {"event-ward-3"}
    for name, thread in zip(secrets, threads, strict=True):
        kept.revoke(name)
        thread.join(60)
        assert not thread.is_alive()


def test_who_waits_for_a_study_gets_nothing_once_the_token_is_revoked(
    appliance: WithTokens, reader: FakeReader
) -> None:
    kept = Tokens(appliance.state / tokens.FILE)
    bearing = {"Authorization": f"Bearer {kept.add('ward-4', [W])}"}
    reader.gate.clear()
    try:
        client = appliance.client
        place = client.post("/v1/studies?wait=0", headers=bearing, **study()).headers["location"]
        answers: list[httpx.Response] = []
        waiting = threading.Thread(
            target=lambda: answers.append(client.get(f"{place}?wait=60", headers=bearing))
        )
        waiting.start()
        time.sleep(0.3)
        kept.revoke("ward-4")
        reader.gate.set()
        waiting.join(60)
        problem(answers[0], 401, "unauthorised")
    finally:
        reader.gate.set()


def test_a_token_may_have_several_roles(appliance: WithTokens) -> None:
    secret = Tokens(appliance.state / tokens.FILE).add("both", [W, R])
    bearing = {"Authorization": f"Bearer {secret}"}
    posted = appliance.client.post("/v1/studies", headers=bearing, **study())
    assert posted.status_code == 200
    assert len(appliance.client.get("/v1/studies", headers=bearing).json()["studies"]) > 1


# -- signing in on the page


@pytest.fixture
def browser(appliance: WithTokens) -> Iterator[httpx.Client]:
    """Signed in as doctor and ward-1 in one, with a cookie and nothing else."""
    with httpx.Client(base_url=appliance.client.base_url, timeout=60) as client:
        yield client


def own_page(client: httpx.Client) -> dict[str, str]:
    return {"Origin": str(client.base_url).rstrip("/")}


def sign_in(appliance: WithTokens, browser: httpx.Client, name: str) -> httpx.Response:
    body = {"token": appliance.secrets[name]}
    return browser.post("/v1/session", json=body, headers=own_page(browser))


def test_the_page_signs_in_with_a_token_and_gets_a_cookie_no_script_can_read(
    appliance: WithTokens, browser: httpx.Client
) -> None:
    problem(browser.get("/v1/session"), 401, "unauthorised")
    answer = sign_in(appliance, browser, "doctor")
    assert answer.json() == {"name": "doctor", "roles": ["reader"], "open": False, "max_images": 24}
    set_cookie = answer.headers["set-cookie"].lower()
    assert all(part in set_cookie for part in ("httponly", "samesite=strict", "path=/"))
    assert "secure" not in set_cookie  # over plain HTTP the browser would not send it back
    assert browser.get("/v1/session").json()["name"] == "doctor"
    assert browser.get("/v1/studies").status_code == 200
    assert browser.delete("/v1/session").status_code == 204
    assert browser.get("/v1/studies").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=["unknown", "other origin", "sandbox", "cross-site", "same-site", "none"],
)
def test_a_cookie_changes_nothing_for_another_site(
    appliance: WithTokens, browser: httpx.Client, headers: dict[str, str]
) -> None:
    sign_in(appliance, browser, "ward-1")
    problem(browser.post("/v1/studies", headers=headers, **study()), 403, "forbidden")
    problem(browser.delete("/v1/studies/x", headers=headers), 403, "forbidden")
    if headers:
        token = {"token": appliance.secrets["tech"]}
        problem(browser.post("/v1/session", json=token, headers=headers), 403, "forbidden")
        problem(browser.delete("/v1/session", headers=headers), 403, "forbidden")
    assert browser.get("/v1/session").json()["name"] == "ward-1"


def test_a_cookie_serves_the_appliance_s_own_page(
    appliance: WithTokens, browser: httpx.Client
) -> None:
    sign_in(appliance, browser, "ward-1")
    for own in (own_page(browser), {"Sec-Fetch-Site": "same-origin"}):
        assert browser.post("/v1/studies", headers=own, **study()).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"token": 3}', b'{"token": "a\\nb"}', b"[" * 4000, b"x" * 9000],
    ids=["none", "half", "list", "text", "number", "line end", "deep", "long"],
)
def test_a_sign_in_that_is_none_is_refused(appliance: WithTokens, body: bytes) -> None:
    problem(appliance.client.post("/v1/session", content=body), 400, "malformed_request")


# -- failures are counted, and written down


def test_wrong_tokens_are_held_back_and_right_ones_are_not(
    reader: FakeReader, tmp_path: Path
) -> None:
    kept = Tokens(tmp_path / tokens.FILE)
    right = {"Authorization": f"Bearer {kept.add('ward-1', [W])}"}
    wrong = {"Authorization": "Bearer wrong"}
    with running(reader, state=tmp_path) as client:
        codes = [client.get("/v1/model", headers=wrong).status_code for _ in range(FREE + 10)]
        assert codes == [401] * (FREE + 1) + [429] * 9
        held = client.post("/v1/session", json={"token": "wrong"})
        problem(held, 429, "too_many_attempts")
        assert int(held.headers["retry-after"]) >= 1
        assert client.get("/v1/model", headers=right).status_code == 200
        # Without any token nothing was tried.
        problem(client.get("/v1/model"), 401, "unauthorised")
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    failed = [line for line in lines if "User Authentication" in line]
    assert len(failed) == FREE + 1
    assert "127.0.0.1" in failed[0]
    assert "wrong" not in failed[0]


# -- an appliance without tokens


def test_without_tokens_everybody_on_this_machine_may_do_everything(reader: FakeReader) -> None:
    with running(reader) as client:
        assert client.get("/v1/session").json() == {
            "name": "local",
            "roles": ["reader", "technician", "workstation"],
            "open": True,
            "max_images": 24,
        }
        assert "no tokens" in client.get("/readyz").json()["checks"]["access"]
        assert client.post("/v1/studies", **study()).status_code == 200


def test_the_first_token_closes_the_appliance_and_the_last_one_revoked_does_not_open_it(
    reader: FakeReader, tmp_path: Path
) -> None:
    with running(reader, state=tmp_path) as client:
        assert client.get("/v1/studies").status_code == 200
        kept = Tokens(tmp_path / tokens.FILE)
        kept.add("ward-1", [W])
        problem(client.get("/v1/studies"), 401, "unauthorised")
        kept.revoke("ward-1")
        problem(client.get("/v1/studies"), 401, "unauthorised")
        (tmp_path / tokens.FILE).unlink()
        problem(client.get("/v1/studies"), 401, "unauthorised")
        assert "token forget" in client.get("/readyz").json()["checks"]["access"]
        (tmp_path / tokens.FILE).write_text("{")
        problem(client.get("/v1/studies"), 503, "storage_failed")
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("lost", ["removed", "a link that leads nowhere"])
def test_a_token_file_that_is_lost_lets_nobody_in_at_the_next_start(
    reader: FakeReader, tmp_path: Path, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / tokens.FILE
    kept = {"Authorization": f"Bearer {Tokens(file).add('doctor', [R])}"}
    content = file.read_bytes()
    file.unlink()
    if lost == "a link that leads nowhere":
        file.symlink_to(tmp_path / "nowhere")
    with running(reader, ready=False, state=tmp_path) as client:
        for headers in ({}, kept, {"Host": "127.0.0.1"}, {"Cookie": "mammosono=x"}):
            assert client.get("/v1/studies", headers=headers).status_code in (401, 503)
            assert client.post("/v1/studies", headers=headers, **study()).status_code in (401, 503)
        answer = problem(client.get("/readyz"), 503, "storage_failed")
        assert "token forget" in answer["checks"]["access"]
        problem(client.get("/v2/health/ready"), 503, "service_unavailable")
        assert client.get("/healthz").status_code == 200
        assert "token forget" in caplog.text
        # Put back, it holds again.
        file.unlink(missing_ok=True)
        file.write_bytes(content)
        assert client.get("/v1/studies", headers=kept).status_code == 200
        problem(client.get("/v1/studies"), 401, "unauthorised")


@pytest.mark.parametrize("kept", [0, 40])
def test_with_a_token_file_that_is_damaged_the_service_does_not_start(
    reader: FakeReader, tmp_path: Path, kept: int
) -> None:
    file = tmp_path / tokens.FILE
    Tokens(file).add("doctor", [R])
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(StorageFailed, match="token forget"), running(reader, state=tmp_path):
        pass


def test_tokens_of_an_earlier_version_are_remembered_from_the_first_start_on(
    reader: FakeReader, tmp_path: Path
) -> None:
    Tokens(tmp_path / tokens.FILE).add("doctor", [R])
    (tmp_path / tokens.RECORD).unlink()  # no earlier version wrote it
    for _ in range(2):
        with running(reader, ready=False, state=tmp_path) as client:
            assert client.get("/v1/studies").status_code == 401
        (tmp_path / tokens.FILE).unlink(missing_ok=True)


def test_a_lost_token_file_is_made_good_by_another_token_or_by_saying_so(
    reader: FakeReader, tmp_path: Path
) -> None:
    file = tmp_path / tokens.FILE
    Tokens(file).add("doctor", [R])
    file.unlink()
    with pytest.raises(StorageFailed, match="lost"):
        Tokens(file).find("x")
    secret = Tokens(file).add("tech", [T])
    found = Tokens(file).find(secret)
    assert found is not None
    file.unlink()
    Tokens(file).forget()
    with running(reader, state=tmp_path) as client:
        assert client.get("/v1/studies").status_code == 200


def test_an_open_appliance_answers_no_name_that_the_internet_could_have_given_it(
    reader: FakeReader,
) -> None:
    with running(reader) as client:
        for name in ("evil.example", "evil.example:8000", "10.0.0.1", "127.0.0.1.evil.example"):
            problem(client.get("/v1/studies", headers={"Host": name}), 403, "forbidden")
        for name in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
            assert client.get("/v1/studies", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize("name", ["[", "[::1", "[]", "[zz]"])
def test_a_host_that_is_none_is_refused_as_malformed(reader: FakeReader, name: str) -> None:
    with running(reader) as client:
        problem(client.get("/v1/studies", headers={"Host": name}), 400, "malformed_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://["},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_an_open_appliance_takes_nothing_from_another_site(
    reader: FakeReader, headers: dict[str, str]
) -> None:
    with running(reader) as client:
        problem(client.post("/v1/studies", headers=headers, **study()), 403, "forbidden")
        problem(client.delete("/v1/studies/x", headers=headers), 403, "forbidden")
