"""Dockerfile.l4t, as far as it can be judged without a Jetson."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile.l4t").read_text("utf-8")


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction, continuation lines joined, remarks left out."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(i for i, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def environment() -> dict[str, str]:
    return {
        name: value
        for word, rest in last_stage()
        if word == "ENV"
        for name, value in re.findall(r"(\w+)=(\S+)", rest)
    }


def test_hadolint_finds_nothing():
    beside = Path(sys.executable).parent / "hadolint"
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed")
    seen = subprocess.run(
        [program, "--no-color", str(ROOT / "Dockerfile.l4t")], capture_output=True, text=True
    )
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("bases", "build", "run", "built"),
    [
        ("tagged", "", "", True),
        ("pinned", "", "", False),
        ("pinned", "@sha256:ab", "", False),
        ("pinned", "", "@sha256:ab", False),
        ("pinned", "@sha256:ab", "@sha256:ab", True),
    ],
)
def test_an_image_that_must_have_pinned_bases_is_built_with_their_digests_alone(
    bases: str, build: str, run: str, built: bool
) -> None:
    (check,) = [rest for word, rest in instructions() if word == "RUN" and "BASES" in rest]
    given = {"BASES": bases, "BASE_BUILD_DIGEST": build, "BASE_RUN_DIGEST": run}
    shell = ["bash", "-euo", "pipefail", "-c", check]
    ended = subprocess.run(shell, env=os.environ | given, capture_output=True, text=True)
    assert (ended.returncode == 0) == built
    assert built or "BASE_RUN_DIGEST" in ended.stderr


def test_bases_have_exact_tags_and_a_place_for_a_digest():
    arguments = dict(re.findall(r"^ARG (BASE_\w+)=(.*)$", TEXT, re.MULTILINE))
    for stage in ("BUILD", "RUN"):
        assert re.fullmatch(
            r"nvcr\.io/nvidia/l4t-[a-z]+:r\d+\.\d+\.\d+\S*", arguments[f"BASE_{stage}"]
        )
        assert arguments[f"BASE_{stage}_DIGEST"] == ""
        assert f"FROM ${{BASE_{stage}}}${{BASE_{stage}_DIGEST}}" in TEXT


def test_whatever_is_fetched_is_checked_against_a_hash():
    runs = [rest for word, rest in instructions() if word == "RUN"]
    fetched = [rest for rest in runs if "curl -" in rest]
    assert len(fetched) == 1
    assert "sha256sum -c" in fetched[0]
    assert re.search(r"^ARG PYTHON_SHA256=[0-9a-f]{64}$", TEXT, re.MULTILINE)
    for command in re.findall(r"-m pip (?:install|wheel)[^&]*", " ".join(runs)):
        assert "--require-hashes" in command or "--no-index" in command, command
    assert not re.search(r"index-url|trusted-host|find-links|git clone|ADD ", TEXT)


def test_every_lock_that_it_names_is_there_for_both_pythons():
    names = set(re.findall(r"/locks/([\w.${}-]+)\.lock", TEXT))
    assert "service" in names
    for python in ("3.6", "3.10"):
        for name in names:
            assert (
                ROOT / ".ci" / "l4t" / f"{name.replace('${WORKER_PYTHON}', python)}.lock"
            ).exists()


def test_no_feature_of_buildkit_since_jetpack_4_lends_cuda_to_the_classic_builder_only():
    assert not re.search(
        r"--mount=|--chmod|<<|^# *syntax=|COPY .*--link|ADD .*--checksum", TEXT, re.MULTILINE
    )


def test_the_last_stage_has_no_compiler_and_no_pip():
    installed = " ".join(rest for word, rest in last_stage() if word == "RUN")
    assert not re.search(r"g\+\+|gcc|make|-dev\b|build-essential|\bpip\b", installed)
    assert "pip uninstall --yes" in TEXT


def test_it_runs_as_a_user_of_its_own_in_group_video():
    text = " ".join(rest for _, rest in last_stage())
    assert re.search(r"useradd --uid 10001 --gid 10001 --groups video", text)
    users = [rest for word, rest in last_stage() if word == "USER"]
    # A number would drop the group video.
    assert users == ["mammosono"]


def test_one_volume_holds_all_that_is_written():
    assert [rest for word, rest in last_stage() if word == "VOLUME"] == ["/var/lib/mammosono"]
    state = {v for k, v in environment().items() if k in ("MAMMOSONO_STATE", "MAMMOSONO_PLANS")}
    assert len(state) == 2
    assert all(path.startswith("/var/lib/mammosono") for path in state)


def test_the_health_check_asks_readyz_with_a_python_that_the_image_has():
    (rest,) = [rest for word, rest in last_stage() if word == "HEALTHCHECK"]
    command = json.loads(rest.partition("CMD ")[2])
    assert command[0] == "/opt/mammosono/python/bin/python3.11"
    assert "/readyz" in command[-1]
    compile(command[-1], "healthcheck", "exec")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_ready_from_not_ready(serving_status, status, code):
    (rest,) = [rest for word, rest in last_stage() if word == "HEALTHCHECK"]
    program = json.loads(rest.partition("CMD ")[2])[-1]
    with serving_status(status) as port:
        here = program.replace("/opt/mammosono/watch", str(ROOT / "systemd"))
        command = [sys.executable, "-I", "-c", here.replace("8000", str(port))]
        asked = subprocess.run(command, env={"MAMMOSONO_TLS": "off"}, timeout=60, check=False)
    assert asked.returncode == code


def test_the_health_check_of_a_port_where_nobody_answers_fails():
    (rest,) = [rest for word, rest in last_stage() if word == "HEALTHCHECK"]
    program = json.loads(rest.partition("CMD ")[2])[-1]
    here = program.replace("/opt/mammosono/watch", str(ROOT / "systemd")).replace("8000", "1")
    asked = subprocess.run([sys.executable, "-I", "-c", here], timeout=60, check=False)
    assert asked.returncode == 1


@pytest.fixture
def serving_status():
    """serving_status(status) -> context manager: a port of this machine that answers that."""
    import threading
    from contextlib import contextmanager
    from http.server import BaseHTTPRequestHandler, HTTPServer

    @contextmanager
    def serving(status: int):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Answer) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server.server_port
            finally:
                server.shutdown()
                thread.join()

    return serving


def test_every_setting_that_it_makes_is_one_that_the_service_knows():
    from mammosono.appliance.settings import Settings

    made = {
        n.removeprefix("MAMMOSONO_").lower() for n in environment() if n.startswith("MAMMOSONO_")
    }
    assert made
    assert made <= set(Settings.model_fields)


def test_its_commands_are_those_of_the_project():
    assert [rest for word, rest in last_stage() if word in ("ENTRYPOINT", "CMD")] == [
        '["mammosono"]',
        '["serve"]',
    ]
    for module, name in re.findall(
        r'^mammosono\S* = "([\w.]+):(\w+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    ):
        assert callable(getattr(importlib.import_module(module), name))


def test_labels_say_what_it_is_and_what_it_is_not_for():
    (rest,) = [rest for word, rest in last_stage() if word == "LABEL"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.([\w.]+)="([^"]*)"', rest))
    assert {"title", "description", "licenses", "version", "revision", "base.name"} <= set(labels)
    assert "Not for diagnosis" in labels["description"]


def test_what_it_copies_is_let_through_to_docker():
    let_through = {
        line[1:].split("/")[0]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, _ = rest.split()
            assert {source.split("/")[0] for source in sources} <= let_through


def test_the_version_is_the_projects():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f"ARG VERSION={version[1]}\n" in TEXT
