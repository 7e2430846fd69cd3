"""systemd/install on a file system below a folder; its programs of systemd only note their call."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from systemd_units import SYSTEMD

INSTALL = SYSTEMD / "install"
SETTINGS = "etc/mammosono/mammosono.env"
NEWER = "etc/systemd/system/mammosono.service.d/20-hardening-249.conf"

FAKE = """#!/bin/sh
[ "$1" != --version ] || { echo "%s"; exit; }
echo "${0##*/} $*" >> "$CALLS"
"""


class Box:
    """root: an empty file system; calls: what was asked of systemd."""

    def __init__(self, folder: Path, systemd: int = 249, docker: str = "20.10.7") -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self._calls = folder / "calls"
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.program("systemctl", f"systemd {systemd} ({systemd}.11-0ubuntu3)")
        self.program("systemd-tmpfiles", "")
        self.program("docker", f"Docker version {docker}, build 20.10.7-0ubuntu5~18.04.3")

    def program(self, name: str, version: str) -> None:
        file = self.programs / name
        file.write_text(FAKE % version)
        file.chmod(0o755)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.programs}:/usr/bin:/bin", "CALLS": str(self._calls)}
        return subprocess.run(
            [str(INSTALL), *options], env=environment, capture_output=True, text=True
        )

    def install(self, *options: str) -> str:
        done = self.run("--root", str(self.root), *options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def tree(self) -> dict[str, tuple[int, int, bytes]]:
        """Of every path its mode, time of change and bytes."""
        return {
            str(path.relative_to(self.root)): (
                path.stat().st_mode,
                path.stat().st_mtime_ns,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in self.root.rglob("*")
        }


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_it_puts_each_file_where_the_units_look_for_it(box: Box) -> None:
    box.install()
    service = (box.root / "etc/systemd/system/mammosono.service").read_text()
    for named in re.findall(r"/usr/local/lib/mammosono/\S+|(?<==)/etc/mammosono/\S+", service):
        assert (box.root / named[1:]).is_file(), named
    assert (box.root / SETTINGS).stat().st_mode & 0o777 == 0o640
    assert box.calls == [
        f"systemd-tmpfiles --root={box.root} --create mammosono.conf",
        f"systemctl --root={box.root} --quiet enable mammosono.service mammosono-node.service",
    ]


def test_a_second_run_changes_nothing(box: Box) -> None:
    box.install()
    first = box.tree()
    assert box.install() == "Nothing to change.\n"
    assert box.tree() == first


def test_it_brings_a_changed_file_and_a_changed_mode_back(box: Box) -> None:
    box.install()
    first = {path: (mode, data) for path, (mode, _, data) in box.tree().items()}
    (box.root / NEWER).write_text("[Service]\n")
    (box.root / "etc/systemd/system/mammosono.service").chmod(0o666)
    box.install()
    assert {path: (mode, data) for path, (mode, _, data) in box.tree().items()} == first


def test_the_technician_s_settings_stay(box: Box) -> None:
    box.install()
    (box.root / SETTINGS).write_text("MAMMOSONO_PORT=8001\n")
    box.install()
    assert (box.root / SETTINGS).read_text() == "MAMMOSONO_PORT=8001\n"


@pytest.mark.parametrize("options", [[], ["--uninstall"], ["--uninstall", "--purge"]])
def test_a_dry_run_writes_nothing_and_asks_nothing_of_systemd(box: Box, options: list[str]) -> None:
    assert "would run: " in box.install("--dry-run")
    assert box.tree() == {}
    box.install()
    before, calls = box.tree(), box.calls
    box.install("--dry-run", *options)
    assert (box.tree(), box.calls) == (before, calls)


def test_what_it_would_run_is_what_it_runs(box: Box) -> None:
    would = re.findall(r"would run: install .* (\S+)$", box.install("--dry-run"), re.MULTILINE)
    box.install()
    files = {path for path in box.root.rglob("*") if path.is_file()}
    assert {Path(path) for path in would} == files


def test_uninstall_leaves_the_settings_and_the_data_alone(box: Box) -> None:
    box.install()
    study = box.root / "var/lib/mammosono/spool/study"
    study.parent.mkdir(parents=True)
    study.write_text("")
    box.install("--uninstall")
    assert [str(path.relative_to(box.root)) for path in box.root.rglob("*") if path.is_file()] == [
        SETTINGS,
        "var/lib/mammosono/spool/study",
    ]
    units = "mammosono.service mammosono-node.service"
    assert box.calls[-1] == f"systemctl --root={box.root} --quiet disable {units}"
    assert box.install("--uninstall").startswith("Nothing to remove.")


def test_purge_leaves_nothing(box: Box) -> None:
    box.install()
    (box.root / "var/lib/mammosono/plans").mkdir(parents=True)
    box.install("--uninstall", "--purge")
    assert not [path for path in box.root.rglob("*") if path.is_file() or "mammosono" in path.name]


def test_a_technician_s_own_drop_in_outlives_uninstall(box: Box) -> None:
    box.install()
    own = box.root / "etc/systemd/system/mammosono.service.d/override.conf"
    own.write_text("[Service]\n")
    box.install("--uninstall")
    assert own.exists()


def test_the_newer_hardening_goes_with_the_systemd_that_knows_it(tmp_path: Path, box: Box) -> None:
    box.install()
    assert (box.root / NEWER).exists()
    box.program("systemctl", "systemd 237")
    box.install()
    assert not (box.root / NEWER).exists()


@pytest.mark.parametrize(
    ("systemd", "docker", "remedy"),
    [
        (229, "20.10.7", "use JetPack"),
        (249, "19.03.6", "apt-get install docker.io"),
        (249, "1.13.1", "apt-get install docker.io"),
    ],
)
def test_an_appliance_that_is_too_old_is_refused_with_a_remedy(
    tmp_path: Path, systemd: int, docker: str, remedy: str
) -> None:
    box = Box(tmp_path, systemd, docker)
    done = box.run("--dry-run")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert remedy in done.stderr
    assert box.calls == []


@pytest.mark.parametrize("docker", ["20.10.7", "24.0.5", "29.1.3"])
def test_a_docker_that_knows_pull_never_is_taken(tmp_path: Path, docker: str) -> None:
    done = Box(tmp_path, docker=docker).run("--dry-run")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--purge"], "--purge goes with --uninstall only"),
        (["--rot"], "unknown option --rot"),
        (["--root"], "--root needs a folder"),
        (["--root", "/no/such/folder"], "no such folder"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(box: Box, options: list[str], reason: str) -> None:
    done = box.run(*options)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {reason}")
    assert box.calls == []


def test_a_user_who_is_not_root_is_told_so(tmp_path: Path) -> None:
    box = Box(tmp_path)
    nobody = box.programs / "id"
    nobody.write_text("#!/bin/sh\necho 1000\n")
    nobody.chmod(0o755)
    done = box.run()
    assert done.returncode == 2
    assert "needs root; run: sudo" in done.stderr


def test_the_script_is_plain_sh() -> None:
    checker = shutil.which("shellcheck") or shutil.which(
        "shellcheck", path=str(Path(sys.executable).parent)
    )
    if checker is None:
        pytest.skip("no shellcheck on this machine")
    done = subprocess.run([checker, str(INSTALL)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
