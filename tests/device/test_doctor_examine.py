"""The service's port, and all of it together on the three boxes."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from doctor_hosts import answering, listening, nano, orin, pc, plant
from test_doctor_engine import MODULES, ORIN, X1, assert_line, built

from mammosono.appliance.doctor import Host, State, examine, service
from mammosono.appliance.doctor.host import Owner, Ran
from mammosono.appliance.doctor.service import Service, exposure, port
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.settings import Settings
from mammosono.engines.bundle import open_bundle

READY = (200, '{"status": "ready", "checks": {"reader": "ok"}}')
TOPICS = [
    "L4T and JetPack", "Power mode", "Power supply", "Clocks", "Temperature", "Free memory",
    "Swap", "Free disk", "Time", "Device nodes", "GPU", "Python", "TensorRT", "Bundle", "Plans",
    "Engine", "Permissions", "Certificate", "Tokens", "Audit log", "DICOM outbox",
    "DICOM certificates", "Port", "Exposure",
]  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of this machine."""
    monkeypatch.setenv("MAMMOSONO_STATE", str(tmp_path / "state"))


def serving(host: Host, answer: tuple[int, str] | None, port_: int = 8000) -> Host:
    plant(host.root, {"proc/net/tcp": listening(22, port_)})
    return replace(host, get=lambda _: answer)


def with_python(host: Host, modules: dict[str, str], device=None, version: str = "3.6.9") -> Host:
    """The host whose Python has these modules and this GPU."""
    answer = {"version": version, "modules": modules, "broken": {}}
    answer |= {"device": device._asdict()} if device else {"no_device": "none; buy one"}
    return answering(host, python=Ran(0, json.dumps(answer)), nvpmodel=None)


# The port


def test_a_port_that_nobody_listens_on_is_free(tmp_path: Path) -> None:
    host = replace(pc(tmp_path), get=lambda url: pytest.fail(f"asked {url}"))
    assert service.ask(host, "127.0.0.1", 8000, tls=False) == Service()
    assert_line(port(Service(), 8000), State.OK, "8000 is free")
    assert_line(port(Service(), 0), State.NOTE, "the system chooses")


@pytest.mark.parametrize("table", ["proc/net/tcp", "proc/net/tcp6"])
def test_the_running_service_is_known_by_its_answer(tmp_path: Path, table: str) -> None:
    host = replace(pc(tmp_path, {table: listening(8000)}), get=lambda _: READY)
    seen = service.ask(host, "127.0.0.1", 8000, tls=False)
    assert seen == Service(taken=True, ours=True, ready=True)
    assert_line(port(seen, 8000), State.OK, "answers there and is ready")


def test_a_service_that_is_not_ready_says_why(tmp_path: Path) -> None:
    problem = {"type": "urn:mammosono:problem:engine_unavailable", "detail": "no plan for trunk"}
    seen = service.ask(
        serving(pc(tmp_path), (503, json.dumps(problem))), "127.0.0.1", 8000, tls=False
    )
    assert_line(port(seen, 8000), State.FAIL, "no plan for trunk", remedy="systemctl restart")


@pytest.mark.parametrize(
    "answer", [None, (200, "<html>"), (404, '{"detail": "Not Found"}'), (200, "[1]"), (200, "null")]
)
def test_another_program_on_the_port_fails(tmp_path: Path, answer: tuple[int, str] | None) -> None:
    seen = service.ask(serving(pc(tmp_path), answer), "127.0.0.1", 8000, tls=False)
    assert_line(port(seen, 8000), State.FAIL, "another program", remedy="MAMMOSONO_PORT")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "://127.0.0.1:8000/readyz"),
        ("0.0.0.0", "://127.0.0.1:8000/readyz"),
        ("::", "://[::1]:8000/readyz"),
        ("fe80::2", "://[fe80::2]:8000/readyz"),
        ("box.lan", "://box.lan:8000/readyz"),
    ],
)
def test_the_service_is_asked_where_it_listens(tmp_path: Path, address: str, url: str) -> None:
    asked = []
    host = replace(serving(pc(tmp_path), None), get=lambda url: asked.append(url))
    for tls in (False, True):
        service.ask(host, address, 8000, tls=tls)
    assert asked == ["http" + url, "https" + url]


@pytest.mark.parametrize(
    ("host", "tokens", "tls", "state", "words"),
    [
        ("127.0.0.1", False, False, State.OK, "this machine alone"),
        ("::1", False, False, State.OK, "this machine alone"),
        ("localhost", False, False, State.OK, "this machine alone"),
        ("0.0.0.0", False, False, State.WARN, "the network (no tokens, no TLS)"),
        ("::", True, False, State.WARN, "with tokens, no TLS"),
        ("10.1.2.3", False, True, State.WARN, "no tokens, with TLS"),
        ("box.lan", True, True, State.OK, "with tokens, with TLS"),
    ],
)
def test_beyond_the_machine_it_takes_tokens_and_tls(
    host: str, tokens: bool, tls: bool, state: State, words: str
) -> None:
    line = exposure(host, container=False, tokens=tokens, tls=tls)
    assert_line(line, state, words, remedy="" if state is State.OK else "MAMMOSONO_HOST=127.0.0.1")


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_a_container_leaves_to_its_host_who_reaches_it(tmp_path: Path, mark: str) -> None:
    assert service.in_container(pc(tmp_path / "box", {mark: ""}))
    assert not service.in_container(pc(tmp_path / "host"))
    line = exposure("0.0.0.0", container=True, tokens=False, tls=False)
    assert_line(line, State.NOTE, "its host decides", remedy="docker port mammosono")
    line = exposure("10.1.2.3", container=True, tokens=False, tls=False)
    assert_line(line, State.WARN, "reached from the network")


# The host itself


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()
        self.wfile.write(b"yes")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_this_machine_asks_over_http(url: str) -> None:
    get = Host().get
    assert get(f"{url}/readyz") == (200, "yes")
    assert get(f"{url}/") == (503, "yes")
    assert get("http://127.0.0.1:1/readyz") is None
    assert get("not a url") is None


def test_this_machine_runs_commands_with_its_own_python_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Host().run
    monkeypatch.setenv("PYTHONPATH", "/for/our/python/alone")
    ask = "import os, sys; sys.stdout.write(os.environ.get('PYTHONPATH', '-')); sys.exit(3)"
    assert run((sys.executable, "-S", "-c", ask), 60) == Ran(3, "-", "")
    assert run(("/no/such/command",), 5) is None
    slow = run((sys.executable, "-S", "-c", "import time; time.sleep(60)"), 0.2)
    assert slow is not None
    assert slow.status == 124


def test_this_machine_knows_files_disk_and_clock(tmp_path: Path) -> None:
    host = Host(tmp_path)
    plant(tmp_path, {"a/b": " 12\n", "a/c": "-5", "a/d": "twelve", "a/e": ""})
    assert [host.number(f"a/{name}") for name in "bcdef"] == [12, -5, None, None, None]
    assert host.glob("a/[bc]") == ["a/b", "a/c"]
    assert host.text("no/such") == ""
    (tmp_path / "a/b").chmod(0o640)
    seen = host.owner(tmp_path / "a/b")
    assert isinstance(seen, Owner)
    assert (seen.mode, seen.uid) == (0o640, host.uid)
    assert host.owner(tmp_path / "no") is None
    room = host.disk(tmp_path)
    assert room is not None
    assert 0 < room[0] <= room[1]
    assert host.disk(tmp_path / "no") is None
    assert host.synchronised() in (True, False, None)


# All of it


def test_a_nano_where_all_is_well_has_no_warning(tmp_path: Path) -> None:
    folder = built(tmp_path / "plans", open_bundle(SHIPPED), X1)
    host = serving(with_python(nano(tmp_path / "root"), MODULES, X1), READY)
    kept = {"var/lib/nvpmodel/status": "pmode:0000"}
    plant(host.root, kept)
    lines = examine(Settings(plans=folder, worker_python="/usr/bin/python3.6"), host)
    assert [line.topic for line in lines] == TOPICS
    assert {line.topic: line for line in lines if line.state in (State.FAIL, State.WARN)} == {}


def test_an_orin_whose_plans_were_built_by_another_tensorrt_is_told_to_build(
    tmp_path: Path,
) -> None:
    folder = built(tmp_path / "plans", open_bundle(SHIPPED), ORIN._replace(tensorrt="8.6.2"))
    modules = {"numpy": "1.26.4", "tensorrt": "10.3.0", "pycuda": "2025.1"}
    host = serving(with_python(orin(tmp_path / "root"), modules, ORIN, "3.10.12"), READY)
    lines = examine(Settings(plans=folder), host)
    wrong = {line.topic: line for line in lines if line.state is State.FAIL}
    assert set(wrong) == {"Plans"}
    assert "TensorRT 8.6.2, not 10.3.0" in wrong["Plans"].observation


def test_a_pc_has_notes_where_a_jetson_has_lines(tmp_path: Path) -> None:
    modules = {"numpy": "2.4.6", "onnxruntime": "1.28.0"}
    host = serving(with_python(pc(tmp_path), modules, version="3.11.7"), READY)
    lines = examine(Settings(), host)
    assert [line.topic for line in lines] == TOPICS
    states = {line.topic: line.state for line in lines}
    assert not {State.FAIL, State.WARN} & set(states.values())
    notes = {"L4T and JetPack", "Power mode", "Power supply", "Clocks", "Device nodes"}
    assert {topic for topic in notes if states[topic] is State.NOTE} == notes


def test_an_appliance_opened_to_the_network_is_warned(tmp_path: Path) -> None:
    modules = {"numpy": "2.4.6", "onnxruntime": "1.28.0"}
    host = serving(with_python(pc(tmp_path), modules, version="3.11.7"), READY)
    lines = examine(Settings(host="0.0.0.0"), host)
    assert [line.topic for line in lines if line.state is State.WARN] == ["Exposure"]


def test_a_check_that_breaks_does_not_hide_the_others(tmp_path: Path) -> None:
    odd = {"sys/devices/system/cpu/online": "all of them\n"}
    host = serving(with_python(nano(tmp_path, odd), MODULES, X1), READY)
    lines = examine(Settings(worker_python="/usr/bin/python3.6"), host)
    assert len(lines) == len(TOPICS)
    broken = next(line for line in lines if line.topic == "This command")
    assert_line(broken, State.FAIL, "frequencies itself failed: ValueError", remedy="report it")
