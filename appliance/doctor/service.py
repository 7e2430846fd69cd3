"""The service's port: who holds it, and who can reach it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address

from mammosono.appliance.doctor.check_result import Line, fail, note, ok, warn
from mammosono.appliance.doctor.host import Machine

PORT = "Port"
EXPOSURE = "Exposure"

_LISTENS = "0A"  # linux/net/tcp_states.h
_OURS = "urn:mammosono:"
_ANYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Service:
    """Who holds the port. ours: this software answers. reason: why it is not ready."""

    taken: bool = False
    ours: bool = False
    ready: bool = False
    reason: str = ""


def ask(machine: Machine, host: str, port: int, *, tls: bool) -> Service:
    if port == 0 or not _listened_to(machine, port):
        return Service()
    scheme = "https" if tls else "http"
    answer = machine.get(f"{scheme}://{_reached(host)}:{port}/readyz")
    try:
        document = json.loads(answer[1]) if answer else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Service(taken=True)
    if document.get("status") == "ready":
        return Service(taken=True, ours=True, ready=True)
    ours = str(document.get("type")).startswith(_OURS)
    return Service(taken=True, ours=ours, reason=str(document.get("detail", "")) if ours else "")


def port(service: Service, number: int) -> Line:
    if number == 0:
        return note(PORT, "the system chooses a free one")
    if service.ready:
        return ok(PORT, f"{number}: the service answers there and is ready")
    if service.ours:
        return fail(
            PORT,
            f"{number}: the service answers there and is not ready: {service.reason}",
            "mend what fails above, then on the host: sudo systemctl restart mammosono",
        )
    if service.taken:
        return fail(
            PORT,
            f"{number} is held by another program",
            f"find it: sudo ss -ltnp 'sport = :{number}'\nor set MAMMOSONO_PORT",
        )
    return ok(PORT, f"{number} is free")


def exposure(host: str, *, container: bool, tokens: bool, tls: bool) -> Line:
    """container: that this is one; what it publishes, and to whom, is only known outside of it.
    tokens: that clients must show one. tls: that the service encrypts.
    """
    guards = f"{'with' if tokens else 'no'} tokens, {'with' if tls else 'no'} TLS"
    if _is_loopback(host):
        return ok(EXPOSURE, f"{host}: reached from this box alone ({guards})")
    said = f"{host}: reached from the network ({guards})"
    if tokens and tls:
        return ok(EXPOSURE, said)
    if container and host in _ANYWHERE:
        return note(
            EXPOSURE,
            f"{host} of a container: who reaches it, its host decides ({guards})",
            "on the host: docker port mammosono; anything but 127.0.0.1 is open to the network",
        )
    return warn(
        EXPOSURE,
        said,
        "run: mammosono token add NAME --role ROLE\n"
        "and take MAMMOSONO_TLS=off and MAMMOSONO_EXPOSE away\n"
        "or set MAMMOSONO_HOST=127.0.0.1",
    )


def in_container(machine: Machine) -> bool:
    """Docker's mark, or Podman's."""
    return bool(machine.glob(".dockerenv") or machine.glob("run/.containerenv"))


def _listened_to(machine: Machine, port: int) -> bool:
    rows = [
        row.split()
        for table in ("proc/net/tcp", "proc/net/tcp6")
        for row in machine.text(table).splitlines()[1:]
    ]
    return any(row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def _reached(host: str) -> str:
    """The address at which the box itself finds what listens on `host`, as a URL spells it."""
    if host in _ANYWHERE:
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
