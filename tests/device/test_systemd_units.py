"""The units of systemd/: known to the oldest systemd they meet, and a container that is held."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from systemd_units import SYSTEMD, command, directives, docker_run, environment, values

SERVICE = SYSTEMD / "mammosono.service"
BUILD = SYSTEMD / "mammosono-build-engine.service"
NODE = SYSTEMD / "mammosono-node.service"
HARDENING = SYSTEMD / "10-hardening.conf"
NEWER = SYSTEMD / "20-hardening-249.conf"
ALL = pytest.mark.parametrize("unit", [SERVICE, BUILD, NODE], ids=lambda unit: unit.stem)
BOTH = pytest.mark.parametrize("unit", [SERVICE, BUILD], ids=lambda unit: unit.stem)

BEFORE_200 = {
    "After",
    "CapabilityBoundingSet",
    "ConditionPathExists",
    "Conflicts",
    "Description",
    "Documentation",
    "Environment",
    "EnvironmentFile",
    "ExecStart",
    "ExecStartPre",
    "ExecStopPost",
    "KillMode",
    "KillSignal",
    "LimitCORE",
    "NoNewPrivileges",
    "NotifyAccess",
    "PartOf",
    "PrivateNetwork",
    "PrivateTmp",
    "Restart",
    "RestartSec",
    "SuccessExitStatus",
    "SyslogIdentifier",
    "SystemCallFilter",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "WantedBy",
    "Wants",
    "WatchdogSec",
}
SINCE = {
    "RequiresMountsFor": 201,
    "PrivateDevices": 209,
    "SystemCallArchitectures": 209,
    "SystemCallErrorNumber": 209,
    "RestrictAddressFamilies": 211,
    "ProtectHome": 214,
    "ProtectSystem": 214,
    "TasksMax": 227,
    "StartLimitBurst": 229,
    "StartLimitIntervalSec": 230,
    "MemoryDenyWriteExecute": 231,
    "MemoryMax": 231,
    "RestrictRealtime": 231,
    "ProtectControlGroups": 232,
    "ProtectKernelModules": 232,
    "ProtectKernelTunables": 232,
    "RestrictNamespaces": 233,
    "KeyringMode": 235,
    "LockPersonality": 235,
    "PrivateMounts": 239,
    "ProtectHostname": 242,
    "RestrictSUIDSGID": 242,
    "ProtectKernelLogs": 244,
    "ProtectClock": 245,
    "ProcSubset": 247,
    "ProtectProc": 247,
    "PrivateIPC": 248,
}
"""The version of systemd that introduced the directive."""

VALUE_SINCE = {
    **dict.fromkeys(["@clock", "@cpu-emulation", "@debug", "@keyring", "@module", "@mount"], 231),
    **dict.fromkeys(["@obsolete", "@privileged", "@raw-io", "@resources"], 231),
    **{"strict": 232, "@reboot": 233, "@swap": 233, "@system-service": 239},
}
"""As SINCE, of values that came later than their directive."""


def newest(file: Path) -> int:
    """The version of systemd that the file needs."""
    versions = [0]
    for name, value in directives(file):
        assert name in BEFORE_200 or name in SINCE, f"since when does systemd know {name}?"
        versions.append(SINCE.get(name, 199))
        for word in value.replace("~", " ").split():
            if name == "SystemCallFilter" and word.startswith("@"):
                versions.append(VALUE_SINCE[word])
            elif name == "ProtectSystem":
                versions.append(VALUE_SINCE.get(word, 0))
    return max(versions)


@pytest.mark.parametrize("file", [SERVICE, BUILD, NODE, HARDENING], ids=lambda file: file.name)
def test_systemd_237_knows_every_directive(file: Path) -> None:
    assert newest(file) <= 237


def test_the_drop_in_for_newer_ones_is_installed_only_where_all_of_it_is_known() -> None:
    assert 237 < newest(NEWER) <= 249
    assert "HARDENING=249 " in (SYSTEMD / "install").read_text()


def test_the_allow_list_of_calls_replaces_the_deny_list() -> None:
    # Without the reset systemd would take @system-service out of the list of what is denied.
    assert values(HARDENING, "SystemCallFilter")[0].startswith("~")
    assert values(NEWER, "SystemCallFilter")[:2] == ["", "@system-service"]


@ALL
def test_the_container_can_do_little_and_write_little(unit: Path) -> None:
    options = docker_run(command(unit)).options
    assert options["--read-only"] == [""]
    assert options["--user"] == ["10001:10001"]
    assert options["--cap-drop"] == ["ALL"]
    assert options["--security-opt"] == ["no-new-privileges"]
    assert int(options["--pids-limit"][0]) <= 256
    # A core file would hold a patient's image.
    assert options["--ulimit"] == ["core=0"]
    assert options["--pull"] == ["never"]
    assert not {"--privileged", "--cap-add", "--volume", "-v", "--pid", "--ipc"} & set(options)
    assert all(":rw,noexec,nosuid,nodev,size=" in tmpfs for tmpfs in options["--tmpfs"])
    for mount in options["--mount"]:
        assert "target=/var/lib/mammosono" in mount or mount.endswith(",readonly")


@BOTH
def test_the_gpu_is_given_on_a_jetson_and_left_out_when_told(unit: Path) -> None:
    options = docker_run(command(unit)).options
    assert options["--runtime"] == ["nvidia"]
    assert options["--group-add"] == ["44"]
    options = docker_run(command(unit, CONTAINER_DEVICE="")).options
    assert not {"--runtime", "--group-add"} & set(options)


def test_both_units_show_the_same_device_to_the_container() -> None:
    # A plan is refused where machine, L4T or GPU differ from those it was built with.
    assert environment(SERVICE)["CONTAINER_DEVICE"] == environment(BUILD)["CONTAINER_DEVICE"]
    facts = [
        {mount for mount in docker_run(command(unit)).options["--mount"] if "readonly" in mount}
        for unit in (SERVICE, BUILD)
    ]
    assert facts[1] <= facts[0]
    assert any("/etc/machine-id" in mount for mount in facts[1])


def test_only_the_build_can_write_plans() -> None:
    # A plan is code: one that a captured service could write would outlive its restart.
    plans = "type=bind,source=/var/lib/mammosono/plans,target=/var/lib/mammosono/plans"
    assert f"{plans},readonly" in docker_run(command(SERVICE)).options["--mount"]
    assert plans in docker_run(command(BUILD)).options["--mount"]
    # The service could not make the lock that it has to take.
    tmpfiles = (SYSTEMD / "mammosono.tmpfiles.conf").read_text()
    assert "f /var/lib/mammosono/plans/.lock 0600 10001 10001 -" in tmpfiles


def test_the_service_has_a_memory_limit_that_swap_does_not_widen() -> None:
    options = docker_run(command(SERVICE, CONTAINER_MEMORY="5g")).options
    assert options["--memory"] == options["--memory-swap"] == ["5g"]
    # And when the whole machine runs out, it goes before the appliance's own programs.
    assert int(options["--oom-score-adj"][0]) > 0


def test_the_node_has_a_memory_limit_and_goes_before_the_service_when_the_machine_runs_out() -> (
    None
):
    options = docker_run(command(NODE, NODE_MEMORY="2g")).options
    assert options["--memory"] == options["--memory-swap"] == ["2g"]
    service = docker_run(command(SERVICE)).options
    assert int(options["--oom-score-adj"][0]) > int(service["--oom-score-adj"][0])


def test_the_node_starts_only_where_it_is_set_up_and_on_the_service_s_state() -> None:
    assert values(NODE, "ConditionPathExists") == ["/var/lib/mammosono/dicom.toml"]
    run = docker_run(command(NODE))
    assert (run.options["--entrypoint"], run.arguments) == (["mammosono"], ["node", "run"])
    # Docker's own network would show the host's address in place of the sender's.
    assert run.options["--network"] == ["host"]
    state = "type=bind,source=/var/lib/mammosono,target=/var/lib/mammosono"
    plans = "type=bind,source=/var/lib/mammosono/plans,target=/var/lib/mammosono/plans,readonly"
    assert {state, plans} <= set(run.options["--mount"])
    assert "MAMMOSONO_STATE=/var/lib/mammosono" in run.options["--env"]


def test_the_service_listens_where_the_settings_say() -> None:
    words = command(SERVICE, MAMMOSONO_HOST="192.0.2.7", MAMMOSONO_PORT="8443")
    run = docker_run(words)
    assert run.options["--publish"] == ["192.0.2.7:8443:8000"]
    assert words[words.index("/usr/local/lib/mammosono/watch_container.py") + 1 :][:2] == [
        "192.0.2.7",
        "8443",
    ]
    # After --env-file, and docker lets --env win: within the container the address is fixed.
    assert {"MAMMOSONO_HOST=0.0.0.0", "MAMMOSONO_PORT=8000"} <= set(run.options["--env"])
    assert docker_run(command(SERVICE)).options["--publish"] == ["127.0.0.1:8000:8000"]


def test_the_units_start_the_commands_of_the_image() -> None:
    service, build = docker_run(command(SERVICE)), docker_run(command(BUILD))
    assert service.image == build.image == "mammosono:l4t"
    assert (service.options["--entrypoint"], service.arguments) == (["mammosono"], ["serve"])
    assert build.options["--entrypoint"] == ["mammosono-tools"]
    assert build.arguments == ["build-engine", "/opt/mammosono/mammosono/engines/bundles/default"]
    assert build.options["--network"] == ["none"]


@ALL
def test_what_a_killed_client_left_is_removed_before_and_after(unit: Path) -> None:
    sweep = f"-/usr/bin/docker rm --force {unit.stem}"
    assert docker_run(command(unit)).options["--name"] == [unit.stem]
    assert values(unit, "ExecStartPre") == values(unit, "ExecStopPost") == [sweep]


def test_the_build_has_the_device_to_itself() -> None:
    assert values(BUILD, "Conflicts") == ["mammosono.service"]
    assert any("mammosono.service" in after for after in values(BUILD, "After"))
    assert values(BUILD, "TimeoutStartSec") == ["6h"]


def test_the_service_comes_after_docker_and_the_clock_and_comes_back() -> None:
    assert values(SERVICE, "After")[0].split() == ["docker.service", "time-sync.target"]
    assert values(SERVICE, "Restart") == ["always"]
    # A start that fails at once is given up; a watchdog that fires again and again is not: from one
    # start to the next takes at least as long as the watchdog waits.
    starts, interval_s, restart_s, watchdog_s = (
        int(values(SERVICE, name)[0])
        for name in ("StartLimitBurst", "StartLimitIntervalSec", "RestartSec", "WatchdogSec")
    )
    assert starts * restart_s < interval_s < starts * (restart_s + watchdog_s)


def test_the_service_is_given_longer_to_stop_than_it_takes() -> None:
    from mammosono.appliance.http.server import DRAIN_S

    assert int(values(SERVICE, "TimeoutStopSec")[0]) > DRAIN_S


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A file system with the units as installed on systemd 249, and what they refer to."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    units = tmp_path / "etc/systemd/system"
    for unit in (SERVICE, BUILD, NODE):
        drop_ins = units / f"{unit.name}.d"
        drop_ins.mkdir(parents=True)
        shutil.copy(unit, units)
        for drop_in in (HARDENING, NEWER):
            shutil.copy(drop_in, drop_ins)
    for target in ("basic", "multi-user", "shutdown", "sysinit", "time-sync"):
        (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for program in ("docker", "python3"):
        file = tmp_path / "usr/bin" / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    return tmp_path


def analyze(box: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["systemd-analyze", *arguments, f"--root={box}"], capture_output=True, text=True
    )
    if "unrecognized option" in done.stderr or "Unknown operation" in done.stderr:
        pytest.skip("this systemd-analyze cannot look below another root")
    return done


def test_systemd_finds_nothing_to_say_about_the_units(box: Path) -> None:
    done = analyze(box, "verify", SERVICE.name, BUILD.name, NODE.name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_say_something_about_a_slip(box: Path) -> None:
    with (
        (box / "etc/systemd/system" / SERVICE.name / "../slip.service").resolve().open("w") as slip
    ):
        slip.write("[Service]\nExecStart=/usr/bin/docker\nRestrat=always\n")
    done = analyze(box, "verify", "slip.service")
    assert "Restrat" in done.stderr


@ALL
@pytest.mark.parametrize(
    ("newer", "threshold"),
    [
        # 0 is sealed, 100 is open. What is left is what docker's client needs: the user root, who
        # owns docker's socket (4), sockets of three families (4), the host's network (5), users (2)
        # and files (1), and no filter of addresses, since the appliance may listen on any (2).
        pytest.param(True, 20, id="systemd 249"),
        # Without the directives that 237 does not know, and a list of denied calls.
        pytest.param(False, 30, id="systemd 237"),
    ],
)
def test_the_units_are_hardened(box: Path, unit: Path, newer: bool, threshold: int) -> None:
    if not newer:
        for drop_in in box.rglob(NEWER.name):
            drop_in.unlink()
    done = analyze(box, "security", "--offline=yes", f"--threshold={threshold}", unit.name)
    assert done.returncode == 0, done.stdout


def test_the_command_line_runs_on_the_service_s_state_and_reaches_nothing_else() -> None:
    script = (SYSTEMD / "mammosono").read_text().replace("\\\n", " ")
    words = shlex.split(script[script.index("exec docker") :])
    run = docker_run(["/usr/bin/docker", *words[2:]])
    service = docker_run(command(SERVICE)).options
    for name in ("--user", "--cap-drop", "--security-opt", "--read-only", "--pull", "--hostname"):
        assert run.options[name] == service[name], name
    assert run.options["--network"] == ["none"]
    state = "type=bind,source=/var/lib/mammosono,target=/var/lib/mammosono"
    assert run.options["--mount"] == [state]
    assert state in service["--mount"]
    assert run.arguments == ["$@"]
