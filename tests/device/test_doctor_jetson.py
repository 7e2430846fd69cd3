"""Checks of a Jetson: L4T, power, clocks, temperature, resources, time and device files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from doctor_hosts import (
    CPU,
    GIB,
    NANO_NODES,
    ZONE,
    answering,
    meminfo,
    nano,
    orin,
    pc,
    swaps,
)

from mammosono.appliance.doctor.check_result import CheckResult, State
from mammosono.appliance.doctor.devices import device_nodes
from mammosono.appliance.doctor.frequencies import frequencies
from mammosono.appliance.doctor.host import Host, Owner, Ran
from mammosono.appliance.doctor.jetson import jetson_of, l4t
from mammosono.appliance.doctor.power import power_mode, power_supply
from mammosono.appliance.doctor.resources import disk, memory, swap
from mammosono.appliance.doctor.temperature import temperature
from mammosono.appliance.doctor.time_sync import time_sync

JETSON_CHECKS = (power_mode, power_supply, frequencies, device_nodes)


def of_jetson(check, host: Host) -> CheckResult:
    return check(host, jetson_of(host))


def assert_line(line: CheckResult, state: State, *words: str, remedy: str = "") -> None:
    assert line.state is state, line
    for word in words:
        assert word in line.observation, line
    assert remedy in line.remedy, line
    assert bool(line.remedy) or state in (State.OK, State.NOTE)


def test_a_nano_on_jetpack_4_6_1_is_as_it_should_be(tmp_path: Path) -> None:
    host = nano(tmp_path)
    said = "L4T 32.7.1 (JetPack 4.6.1) on Jetson Nano Developer Kit"
    assert_line(l4t(jetson_of(host)), State.OK, said)
    for check in JETSON_CHECKS:
        assert of_jetson(check, host).state in (State.OK, State.NOTE)


def test_an_orin_on_jetpack_6_2_is_as_it_should_be(tmp_path: Path) -> None:
    host = orin(tmp_path)
    assert_line(l4t(jetson_of(host)), State.OK, "L4T 36.4.3 (JetPack 6.2)", "Orin Nano")
    for check in JETSON_CHECKS:
        assert of_jetson(check, host).state in (State.OK, State.NOTE)


def test_on_a_pc_what_only_a_jetson_has_is_a_note(tmp_path: Path) -> None:
    host = pc(tmp_path)
    assert_line(l4t(jetson_of(host)), State.NOTE, "not a Jetson", "6.1.0")
    for check in JETSON_CHECKS:
        assert_line(of_jetson(check, host), State.NOTE, "not a Jetson")


def test_the_release_file_of_an_image_makes_no_jetson_of_a_pc(tmp_path: Path) -> None:
    release = "# R32 (release), REVISION: 7.1, GCID: 29818004\n"
    host = pc(tmp_path, {"etc/nv_tegra_release": release})
    assert_line(l4t(jetson_of(host)), State.NOTE, "not a Jetson")


def test_in_a_container_the_board_is_known_without_its_device_tree(tmp_path: Path) -> None:
    soc = {"sys/devices/soc0/machine": "jetson-nano\n", "sys/devices/soc0/family": "Tegra\n"}
    host = nano(tmp_path, soc, without=["proc/device-tree", "proc/sys/kernel"])
    assert_line(l4t(jetson_of(host)), State.OK, "32.7.1", "jetson-nano")


def test_a_container_without_the_release_file_is_told_to_mount_it(tmp_path: Path) -> None:
    host = nano(tmp_path, without=["etc/nv_tegra_release"])
    assert_line(l4t(jetson_of(host)), State.WARN, remedy="/etc/nv_tegra_release:ro")


@pytest.mark.parametrize(
    ("release", "kernel", "state", "words"),
    [
        ("R32 (release), REVISION: 7.6", "4.9.337-tegra", State.OK, "JetPack 4.6.6"),
        ("R32 (release), REVISION: 7.9", "4.9.337-tegra", State.OK, "L4T 32.7.9 on"),
        ("R32 (release), REVISION: 6.1", "4.9.253-tegra", State.FAIL, "older than 8.2"),
        ("R32 (release), REVISION: 7.1", "5.15.148-tegra", State.FAIL, "this machine runs L4T 36"),
        ("R36 (release), REVISION: 4.3", "4.9.253-tegra", State.FAIL, "this machine runs L4T 32"),
        ("R36 (release), REVISION: 4.3", "6.8.0-own-tegra", State.OK, "JetPack 6.2"),
        ("R35 (release), REVISION: 4.1", "5.10.120-tegra", State.WARN, "not made for that line"),
        ("R38 (release), REVISION: 2.0", "6.8.12-tegra", State.WARN, "not made for that line"),
    ],
)
def test_the_line_of_l4t_must_fit_software_and_kernel(
    tmp_path: Path, release: str, kernel: str, state: State, words: str
) -> None:
    files = {"etc/nv_tegra_release": f"# {release}, GCID: 1\n", "proc/sys/kernel/osrelease": kernel}
    assert_line(l4t(jetson_of(nano(tmp_path, files))), state, words)


def test_a_nano_at_5_w_is_told_of_maxn_and_its_supply(tmp_path: Path) -> None:
    host = answering(nano(tmp_path), nvpmodel=Ran(0, "NV Power Mode: 5W\n1\n"))
    line = of_jetson(power_mode, host)
    assert_line(line, State.WARN, "5W (mode 1)", "MAXN (mode 0)", remedy="nvpmodel -m 0")
    assert "barrel jack" in line.remedy


def test_an_orin_at_15_w_is_told_of_its_fastest_mode_which_is_not_mode_0(tmp_path: Path) -> None:
    host = answering(orin(tmp_path), nvpmodel=Ran(0, "NV Power Mode: 15W\n0\n"))
    assert_line(of_jetson(power_mode, host), State.WARN, "15W", remedy="nvpmodel -m 2")


def test_without_maxn_the_highest_budget_is_the_fastest(tmp_path: Path) -> None:
    conf = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >\n"
    host = orin(tmp_path, {"etc/nvpmodel.conf": conf})
    slow = answering(host, nvpmodel=Ran(0, "NV Power Mode: 7W\n1\n"))
    fast = answering(host, nvpmodel=Ran(0, "NV Power Mode: 15W\n0\n"))
    assert_line(of_jetson(power_mode, slow), State.WARN, remedy="nvpmodel -m 0")
    assert_line(of_jetson(power_mode, fast), State.OK, "15W")


@pytest.mark.parametrize("answer", [None, Ran(1, "", "NVPM ERROR"), Ran(0, "")])
def test_without_nvpmodel_the_mode_it_keeps_is_read(tmp_path: Path, answer: Ran | None) -> None:
    kept = {"var/lib/nvpmodel/status": "pmode:0001 fmode:fanNull\n"}
    host = answering(nano(tmp_path, kept), nvpmodel=answer)
    assert_line(of_jetson(power_mode, host), State.WARN, "5W (mode 1)")


def test_where_nothing_tells_the_mode_that_is_a_note(tmp_path: Path) -> None:
    host = answering(nano(tmp_path, without=["etc/nvpmodel"]), nvpmodel=None)
    assert_line(of_jetson(power_mode, host), State.NOTE, remedy="nvpmodel -q")


@pytest.mark.parametrize(
    ("alarm", "count", "state", "words"),
    [
        ("oc1", 1, State.WARN, "throttled once since the start because the voltage fell"),
        ("oc1", 7, State.WARN, "7 times"),
        ("oc2", 3, State.NOTE, "3 times"),
        ("oc3", 0, State.OK, "no under-voltage"),
    ],
)
def test_a_weak_power_supply_shows_in_the_counts(
    tmp_path: Path, alarm: str, count: int, state: State, words: str
) -> None:
    host = orin(tmp_path, {f"sys/class/hwmon/hwmon3/{alarm}_event_cnt": f"{count}\n"})
    assert_line(of_jetson(power_supply, host), state, words)


def test_a_nano_does_not_count(tmp_path: Path) -> None:
    assert_line(of_jetson(power_supply, nano(tmp_path)), State.NOTE, "does not count")


def test_pinned_clocks_are_ok_and_moving_ones_a_note(tmp_path: Path) -> None:
    pinned, moving = nano(tmp_path / "nano"), orin(tmp_path / "orin")
    assert_line(of_jetson(frequencies, pinned), State.OK, "pinned at 921.6 MHz, 4 cores")
    assert_line(
        of_jetson(frequencies, moving), State.NOTE, "306 to 1020 MHz", remedy="jetson_clocks"
    )


def test_clocks_and_cores_that_the_power_mode_holds_back_are_seen_in_sysfs(tmp_path: Path) -> None:
    held = {"sys/class/devfreq/57000000.gpu/max_freq": "640000000\n", f"{CPU}/online": "0,2\n"}
    line = of_jetson(frequencies, nano(tmp_path, held))
    assert_line(line, State.WARN, "640 of 921.6 MHz, 2 of 4 cores", remedy="nvpmodel")


def test_a_gpu_without_a_clock_is_a_driver_that_did_not_come_up(tmp_path: Path) -> None:
    host = nano(tmp_path, without=["sys/class/devfreq"])
    assert_line(of_jetson(frequencies, host), State.WARN, "cannot be read", remedy="restart")


@pytest.mark.parametrize(
    ("millidegrees", "state"),
    [(41000, State.OK), (86900, State.OK), (87000, State.WARN), (97000, State.FAIL)],
)
def test_heat_is_judged_by_where_the_zone_throttles(
    tmp_path: Path, millidegrees: int, state: State
) -> None:
    host = nano(tmp_path, {f"{ZONE}1/temp": f"{millidegrees}\n"})
    line = temperature(host)
    assert_line(line, state)
    # The PMIC that always says 100 degrees is never the hottest.
    assert "PMIC" not in line.observation
    if state is not State.OK:
        assert_line(line, state, "CPU-therm", "limit 97 °C", remedy="fan")


def test_a_trip_point_of_the_fan_is_no_throttling(tmp_path: Path) -> None:
    assert_line(temperature(orin(tmp_path)), State.OK, "tj-thermal 52 °C, limit 99 °C")


def test_without_a_sensor_there_is_a_note(tmp_path: Path) -> None:
    assert_line(temperature(pc(tmp_path)), State.NOTE, "no sensor")


@pytest.mark.parametrize(
    ("total", "rows", "state", "words"),
    [
        (3.9, [("/var/swapfile", 4, 0)], State.OK, "4.0 GiB on disk"),
        (3.9, [("/var/swapfile", 4, 0), ("/dev/zram0", 2, 0)], State.OK, "2.0 GiB zram"),
        (3.9, [("/dev/zram0", 2, 0.5)], State.NOTE, "2.0 GiB zram"),
        (3.9, [], State.WARN, "none, beside little memory"),
        (3.9, [("/dev/zram0", 2, 1.5)], State.WARN, "1.5 GiB of 2.0 GiB in use"),
        (7.4, [("/dev/zram0", 3.7, 0)], State.OK, "3.7 GiB zram"),
        (23.5, [], State.OK, "none is needed"),
    ],
)
def test_swap_matters_where_memory_is_small(
    tmp_path: Path, total: float, rows: list[tuple[str, float, float]], state: State, words: str
) -> None:
    files = {"proc/meminfo": meminfo(total, 2.0), "proc/swaps": swaps(*rows)}
    line = of_jetson(swap, nano(tmp_path, files))
    remedy = (
        "/var/swapfile"
        if "zram: enough" in line.observation or "none, b" in line.observation
        else ""
    )
    assert_line(line, state, words, remedy=remedy)


@pytest.mark.parametrize(
    ("free", "tensorrt", "serving", "state"),
    [
        (1.6, True, False, State.OK),
        (1.4, True, False, State.WARN),
        (0.7, True, False, State.FAIL),
        (0.7, False, False, State.OK),
        (0.4, False, False, State.WARN),
        (0.2, False, False, State.FAIL),
        (0.3, True, True, State.OK),
        (0.2, True, True, State.WARN),
        (0.1, True, True, State.FAIL),
    ],
)
def test_free_memory_is_judged_by_what_is_to_be_started(
    tmp_path: Path, free: float, tensorrt: bool, serving: bool, state: State
) -> None:
    host = nano(tmp_path, {"proc/meminfo": meminfo(3.9, free)})
    line = memory(host, tensorrt=tensorrt, serving=serving)
    assert_line(line, state, "of 3.9 GiB", remedy="" if state is State.OK else "multi-user")


@pytest.mark.parametrize(
    ("limit", "used"),
    [
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ],
)
def test_the_bound_of_a_container_counts_less_what_the_kernel_would_give_up(
    tmp_path: Path, limit: str, used: str
) -> None:
    files = {limit: f"{2 * GIB}\n", used: f"{GIB}\n"}
    assert_line(memory(nano(tmp_path, files), tensorrt=True, serving=False), State.WARN, "1.0 GiB")
    cached = {f"{Path(limit).parent}/memory.stat": f"anon 1\ninactive_file {GIB // 2}\n"}
    bounded = memory(nano(tmp_path, files | cached), tensorrt=True, serving=False)
    assert_line(bounded, State.OK, "1.5 GiB of 3.9 GiB")


def test_an_unbounded_container_is_the_appliance(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": f"{GIB}\n"}
    assert_line(memory(nano(tmp_path, files), tensorrt=True, serving=False), State.OK, "2.6 GiB")


def test_a_kernel_that_does_not_tell_its_memory_is_a_note(tmp_path: Path) -> None:
    host = nano(tmp_path, without=["proc/meminfo"])
    assert_line(memory(host, tensorrt=True, serving=False), State.NOTE)


@pytest.mark.parametrize(
    ("free", "state"),
    [(2 * GIB, State.OK), (2 * GIB - 1, State.WARN), (GIB // 2 - 1, State.FAIL)],
)
def test_disk_is_judged_where_the_nearest_folder_lies(
    tmp_path: Path, free: int, state: State
) -> None:
    asked = []

    def usage(folder: Path) -> tuple[int, int]:
        asked.append(folder)
        return free, 29 * GIB

    host = replace(nano(tmp_path), disk=usage)
    line = disk(host, tmp_path / "not" / "yet")
    assert asked == [tmp_path]
    assert_line(line, state, "of 29.0 GiB", remedy="" if state is State.OK else "make room")


def test_a_disk_that_cannot_be_asked_is_a_note(tmp_path: Path) -> None:
    host = replace(nano(tmp_path), disk=lambda _: None)
    assert_line(disk(host, tmp_path), State.NOTE)


@pytest.mark.parametrize(
    ("synchronised", "state"), [(True, State.OK), (False, State.WARN), (None, State.NOTE)]
)
def test_the_clock_should_follow_a_time_server(
    tmp_path: Path, synchronised: bool | None, state: State
) -> None:
    host = replace(nano(tmp_path), synchronised=lambda: synchronised)
    remedy = "" if synchronised else "set-ntp"
    assert_line(time_sync(host), state, "2026-10-15 12:00 UTC", remedy=remedy)


def test_a_clock_older_than_the_software_fails_even_if_it_is_called_synchronised(
    tmp_path: Path,
) -> None:
    assert_line(time_sync(replace(nano(tmp_path), now=lambda: 60.0)), State.FAIL, "1970-01-01")


def test_device_files_of_either_name_are_open_to_group_video(tmp_path: Path) -> None:
    for name, host in (("nano", nano(tmp_path / "n")), ("orin", orin(tmp_path / "o"))):
        line = of_jetson(device_nodes, host)
        assert_line(line, State.OK, f"{5 if name == 'nano' else 4} of GPU", "uid 10001")


def test_out_of_group_video_the_remedy_names_the_group(tmp_path: Path) -> None:
    host = replace(nano(tmp_path), gids=frozenset({10001}))
    line = of_jetson(device_nodes, host)
    said = "/dev/nvmap is closed to uid 10001; it belongs to group video (and 4 more)"
    assert_line(line, State.FAIL, said, remedy="--group-add 44")
    assert "usermod -aG video" in line.remedy


def test_a_group_without_a_name_in_the_container_goes_by_its_number(tmp_path: Path) -> None:
    host = replace(nano(tmp_path, without=["etc/group"]), gids=frozenset({1}))
    assert_line(of_jetson(device_nodes, host), State.FAIL, "group 44", remedy="--group-add 44")


@pytest.mark.parametrize(
    ("owner", "uid", "opens"),
    [
        (Owner(0o660, 0, 44), 0, True),
        (Owner(0o666, 0, 0), 10001, True),
        (Owner(0o660, 10001, 0), 10001, True),
        (Owner(0o640, 0, 44), 10001, False),
        (Owner(0o066, 10001, 44), 10001, False),  # the owner's own bits rule, as in the kernel
    ],
)
def test_reading_alone_is_not_enough(tmp_path: Path, owner: Owner, uid: int, opens: bool) -> None:
    host = replace(nano(tmp_path), owner=lambda _: owner, uid=uid)
    assert of_jetson(device_nodes, host).state is (State.OK if opens else State.FAIL)


@pytest.mark.parametrize("missing", ["nvmap", "nvhost-ctrl-gpu"])
def test_a_container_without_the_device_files_lacks_the_runtime(
    tmp_path: Path, missing: str
) -> None:
    assert missing in NANO_NODES
    host = nano(tmp_path)
    (tmp_path / "dev" / missing).unlink()
    line = of_jetson(device_nodes, host)
    assert_line(line, State.FAIL, f"/dev/{missing} is not here", remedy="--runtime nvidia")
