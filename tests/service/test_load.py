"""The load run drives a real service; what it tells of it is arithmetic."""

from __future__ import annotations

import io
import json

import httpx
import pytest
from rich.console import Console
from service_bench import FakeReader, running
from typer.testing import CliRunner

from mammosono.tools.benchmarks import load as load_module
from mammosono.tools.benchmarks.load import Level, Load, Overhead, as_dict, as_rich, run_load
from mammosono.tools.cli import app

pytestmark = pytest.mark.slow

LOAD = Load(
    1234.0,
    (
        Level(1, 30.0, (0.2, 0.2, 0.4), 0, 0),
        Level(16, 60.0, (1.0,) * 30, 10, 0),
    ),
    Overhead((210.0, 220.0, 230.0), (200.0, 210.0, 200.0)),
)


def test_levels_say_how_many_and_how_long() -> None:
    one, many = LOAD.levels
    assert one.pairs_per_minute == 6
    assert one.percentile(50) == pytest.approx(0.2)
    assert many.pairs_per_minute == 30
    assert many.rejected_share == 0.25


def test_the_service_is_compared_with_the_bare_reader_by_medians() -> None:
    assert LOAD.overhead is not None
    assert LOAD.overhead.share == pytest.approx(0.1)


def test_people_and_machines_are_told_the_same() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(as_rich(LOAD))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "the service adds +10.0%" in text
    assert "25%" in text
    assert json.loads(json.dumps(as_dict(LOAD)))["levels"][1]["pairs_per_minute"] == 30


def test_an_appliance_is_driven_and_what_it_rejects_is_counted() -> None:
    with running(FakeReader(), queue_length=1) as client:
        url = str(client.base_url)
        load = run_load(
            lambda: httpx.Client(base_url=url, timeout=60), [1, 6], 1.0, 0, lambda *_: None
        )
    assert load.health_per_second > 1
    assert load.overhead is None
    alone, many = load.levels
    assert alone.latencies_s
    assert (alone.rejected, alone.errors, many.errors) == (0, 0, 0)
    assert many.rejected > 0
    assert load.sound


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, text="Bad gateway"),
        httpx.Response(200, text="<html>Sign in</html>"),
        httpx.Response(202, json={"id": "s", "status": "queued"}),
        httpx.Response(429, headers={"Retry-After": "soon"}),
    ],
    ids=["502", "a page", "not read", "never a place"],
)
def test_what_answers_in_a_dead_appliance_s_place_has_read_nothing(
    answer: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "HEALTH_S", 0.1)

    def respond(request: httpx.Request) -> httpx.Response:
        return answer if request.method == "POST" else httpx.Response(200)

    def client() -> httpx.Client:
        return httpx.Client(base_url="http://appliance", transport=httpx.MockTransport(respond))

    load = run_load(client, [2], 0.3, 0, lambda *_: None)
    assert load.levels[0].latencies_s == ()
    assert not load.sound


def test_a_report_that_is_not_sound_is_printed_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    unsound = Load(1.0, (Level(1, 30.0, (0.2,), 0, 1),), None)
    for load, code in ((unsound, 2), (LOAD, 0)):
        monkeypatch.setattr(load_module, "run_load", lambda *_, load=load: load)
        result = CliRunner().invoke(app, ["load", "--json"])
        assert (result.exit_code, "levels" in result.stdout) == (code, True)


def test_a_client_that_loses_the_appliance_is_an_error_and_not_a_green_report() -> None:
    posts = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal posts
        posts += request.method == "POST"
        if posts > 3:
            raise httpx.ConnectError("connection refused")
        return httpx.Response(200)

    def client() -> httpx.Client:
        return httpx.Client(base_url="http://appliance", transport=httpx.MockTransport(answer))

    with pytest.raises(httpx.ConnectError):
        run_load(client, [2], 1.0, 0, lambda *_: None)
