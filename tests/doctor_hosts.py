"""Boxes for the doctor: a Nano on JetPack 4.6.1, an Orin Nano on JetPack 6 and a PC, all well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mammosono.appliance.doctor.host import Host, Owner, Ran

GIB = 1024**3
NOON = 1_792_065_600.0
"""2026-10-15 12:00 UTC"""

Files = Mapping[str, str]
NOTHING: Files = {}

CPU = "sys/devices/system/cpu"
ZONE = "sys/class/thermal/thermal_zone"


def meminfo(total_gib: float, available_gib: float) -> str:
    kib = GIB / 1024
    return (
        f"MemTotal:       {total_gib * kib:.0f} kB\nMemFree:  1000 kB\n"
        f"MemAvailable:   {available_gib * kib:.0f} kB\n"
    )


def swaps(*rows: tuple[str, float, float]) -> str:
    """name, GiB, GiB used."""
    kib = GIB / 1024
    head = "Filename                Type        Size    Used    Priority\n"
    return head + "".join(f"{n} partition {s * kib:.0f} {u * kib:.0f} 5\n" for n, s, u in rows)


def listening(*ports: int) -> str:
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    rows = [f"   0: 0100007F:{port:04X} 00000000:0000 0A 00000000:00000000\n" for port in ports]
    return head + "".join(rows) + "   9: 0100007F:1F40 0100007F:9999 01 00000000:00000000\n"


NANO = {
    "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, "
    "EABI: aarch64, DATE: Sat Feb 19 17:05:08 UTC 2022\n",
    "proc/sys/kernel/osrelease": "4.9.253-tegra\n",
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "etc/nvpmodel.conf": "< PARAM TYPE=FILE NAME=CPU_ONLINE >\n< POWER_MODEL ID=0 NAME=MAXN >\n"
    "CPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=5W >\n",
    "sys/class/devfreq/57000000.gpu/min_freq": "921600000\n",
    "sys/class/devfreq/57000000.gpu/max_freq": "921600000\n",
    "sys/class/devfreq/57000000.gpu/available_frequencies": "76800000 640000000 921600000 \n",
    "sys/class/devfreq/54680000.nvenc/max_freq": "716800000\n",
    f"{CPU}/online": "0-3\n",
    f"{CPU}/present": "0-3\n",
    f"{ZONE}0/type": "AO-therm\n",
    f"{ZONE}0/temp": "44500\n",
    f"{ZONE}1/type": "CPU-therm\n",
    f"{ZONE}1/temp": "41000\n",
    f"{ZONE}1/trip_point_0_type": "critical\n",
    f"{ZONE}1/trip_point_0_temp": "102500\n",
    f"{ZONE}1/trip_point_3_type": "passive\n",
    f"{ZONE}1/trip_point_3_temp": "97000\n",
    f"{ZONE}2/type": "PMIC-Die\n",
    f"{ZONE}2/temp": "100000\n",
    "proc/meminfo": meminfo(3.9, 2.6),
    "proc/swaps": swaps(("/dev/zram0", 0.5, 0), ("/dev/zram1", 0.5, 0), ("/var/swapfile", 4, 0)),
    "proc/net/tcp": listening(22),
    "etc/group": "root:x:0:\nvideo:x:44:nvidia\n",
}
NANO_NODES = ("nvmap", "nvhost-ctrl", "nvhost-ctrl-gpu", "nvhost-gpu", "nvhost-as-gpu")

ORIN = {
    **{path: text for path, text in NANO.items() if path.startswith("proc/")},
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, "
    "EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
    "proc/sys/kernel/osrelease": "5.15.148-tegra\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "etc/nvpmodel.conf": "".join(
        f"< POWER_MODEL ID={number} NAME={name} >\n"
        for number, name in enumerate(("15W", "25W", "MAXN_SUPER", "7W"))
    ),
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000\n",
    "sys/class/devfreq/17000000.gpu/available_frequencies": "306000000 1020000000\n",
    f"{CPU}/online": "0-5\n",
    f"{CPU}/present": "0-5\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "0\n",
    "sys/class/hwmon/hwmon3/oc2_event_cnt": "0\n",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "0\n",
    f"{ZONE}0/type": "tj-thermal\n",
    f"{ZONE}0/temp": "52343\n",
    f"{ZONE}0/trip_point_0_type": "active\n",
    f"{ZONE}0/trip_point_0_temp": "51000\n",
    f"{ZONE}0/trip_point_1_type": "passive\n",
    f"{ZONE}0/trip_point_1_temp": "99000\n",
    f"{ZONE}1/type": "cv0-thermal\n",  # powered off: it has no temperature
    "proc/meminfo": meminfo(7.4, 5.8),
    "proc/swaps": swaps(("/dev/zram0", 3.7, 0)),
    "etc/group": "video:x:44:\nrender:x:104:\n",
}
ORIN_NODES = ("nvmap", "nvgpu/igpu0/ctrl", "nvgpu/igpu0/as", "nvgpu/igpu0/channel")

PC = {
    "proc/sys/kernel/osrelease": "6.1.0-28-amd64\n",
    f"{CPU}/online": "0-7\n",
    f"{CPU}/present": "0-7\n",
    "proc/meminfo": meminfo(23.5, 18.4),
    "proc/swaps": swaps(),
    "proc/net/tcp": listening(22),
}


def nano(root: Path, files: Files = NOTHING, without: Sequence[str] = ()) -> Host:
    """files: text by path, over what is there. without: path prefixes that are not there."""
    asked = {("/usr/sbin/nvpmodel", "-q"): Ran(0, "NV Fan Mode:quiet\nNV Power Mode: MAXN\n0\n")}
    return _host(root, NANO, NANO_NODES, asked, files, without)


def orin(root: Path, files: Files = NOTHING, without: Sequence[str] = ()) -> Host:
    asked = {("/usr/sbin/nvpmodel", "-q"): Ran(0, "NV Power Mode: MAXN_SUPER\n2\n")}
    return _host(root, ORIN, ORIN_NODES, asked, files, without)


def pc(root: Path, files: Files = NOTHING, without: Sequence[str] = ()) -> Host:
    return _host(root, PC, (), {}, files, without)


def plant(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def answering(host: Host, **commands: Ran | None) -> Host:
    """The host, with other answers to `nvpmodel` or `python`; None for no such command."""

    def run(command: Sequence[str], timeout_s: float) -> Ran | None:
        name = "nvpmodel" if Path(command[0]).name == "nvpmodel" else "python"
        return commands[name] if name in commands else host.run(command, timeout_s)

    return replace(host, run=run)


def _host(
    root: Path,
    tree: Mapping[str, str],
    nodes: Sequence[str],
    commands: Mapping[tuple[str, ...], Ran],
    files: Files,
    without: Sequence[str],
) -> Host:
    kept = {path: text for path, text in tree.items() if not path.startswith(tuple(without))}
    plant(root, kept | {f"dev/{node}": "" for node in nodes} | dict(files))

    def owner(path: Path) -> Owner | None:
        if path.is_relative_to(root / "dev"):
            return Owner(0o660, 0, 44) if path.exists() else None
        return Owner(0o755, 0, 0) if path.exists() else None

    return Host(
        root,
        run=lambda command, _: commands.get(tuple(command)),
        get=lambda _: None,
        owner=owner,
        disk=lambda _: (11 * GIB, 29 * GIB),
        synchronised=lambda: True,
        now=lambda: NOON,
        uid=10001,
        gids=frozenset({10001, 44}),
    )
