"""What every answer carries, whoever asks for what."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import httpx
import pytest
from service_bench import FakeReader, running, study

from mammosono.appliance.http.request_id import request_id
from mammosono.appliance.http.security_headers import POLICY

CAP = 100_000


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(FakeReader(), max_body_bytes=CAP) as client:
        yield client


@pytest.fixture(scope="module")
def answers(client: httpx.Client) -> list[httpx.Response]:
    """Of every kind: a result, a picture, no content, refusals by the framework and by us."""
    posted = client.post("/v1/studies", **study(data={"study_id": "s"}))
    return [
        posted,
        client.get("/v1/studies/s/images/0/mask.png"),
        client.get("/healthz"),
        client.get("/nowhere"),
        client.put("/v1/studies"),
        client.get("/v1/studies?limit=0"),
        client.post("/v1/studies", content=bytes(CAP + 1)),
        client.get("/v1/studies", headers={"Host": "evil.example"}),
        client.delete("/v1/studies/s"),
    ]


def test_every_answer_tells_browsers_what_not_to_do(answers: list[httpx.Response]) -> None:
    assert [answer.status_code for answer in answers] == [
        *(200, 200, 200, 404, 405, 422, 413, 403, 204)
    ]
    wanted = {
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }
    for answer in answers:
        assert wanted.items() <= dict(answer.headers).items(), answer.url


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert set(" ".join(rules.values()).split()) == {"'none'", "'self'", "blob:"}


def test_no_other_site_is_let_in(client: httpx.Client) -> None:
    origin = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
    for answer in (
        client.options("/v1/studies/s", headers=origin),
        client.get("/v1/model", headers=origin),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_every_answer_has_an_id_of_its_own_and_none_from_the_client(
    client: httpx.Client, answers: list[httpx.Response]
) -> None:
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
    sent = client.get("/healthz", headers={"X-Request-Id": "Doe^Jane"})
    assert sent.headers.get_list("x-request-id")[0] != "Doe^Jane"
    assert len(sent.headers.get_list("x-request-id")) == 1


def test_a_log_line_can_be_given_the_id_of_its_request(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str | None] = []

    class Noting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if "unexpected" in record.getMessage():
                seen.append(request_id.get())
            return True

    def fail(*_: object) -> None:
        raise KeyError

    caplog.handler.addFilter(noting := Noting())
    monkeypatch.setattr("mammosono.appliance.studies.queue.StudyQueue.delete", fail)
    answer = client.delete("/v1/studies/x")
    caplog.handler.removeFilter(noting)
    assert answer.status_code == 500
    assert seen == [answer.headers["x-request-id"]]
    assert request_id.get() is None
