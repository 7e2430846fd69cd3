"""Checks of the service's port: which program listens there, and from where it is reached."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.security.exposure import is_loopback

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


def ask(host: Host, address: str, port: int, *, tls: bool) -> Service:
    if port == 0 or not _listened_to(host, port):
        return Service()
    scheme = "https" if tls else "http"
    answer = host.get(f"{scheme}://{_reached(address)}:{port}/readyz")
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


def port(service: Service, number: int) -> CheckResult:
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


def exposure(address: str, *, container: bool, tokens: bool, tls: bool) -> CheckResult:
    """container: that this is one; what it publishes, and to whom, is only known outside of it.
    tokens: that clients must show one. tls: that the service encrypts.
    """
    protection = f"{'with' if tokens else 'no'} tokens, {'with' if tls else 'no'} TLS"
    if is_loopback(address):
        return ok(EXPOSURE, f"{address}: reached from this machine alone ({protection})")
    observation = f"{address}: reached from the network ({protection})"
    if tokens and tls:
        return ok(EXPOSURE, observation)
    if container and address in _ANYWHERE:
        return note(
            EXPOSURE,
            f"{address} of a container: who reaches it, its host decides ({protection})",
            "on the host: docker port mammosono; anything but 127.0.0.1 is open to the network",
        )
    return warn(
        EXPOSURE,
        observation,
        "run: mammosono token add NAME --role ROLE\n"
        "and take MAMMOSONO_TLS=off and MAMMOSONO_EXPOSE away\n"
        "or set MAMMOSONO_HOST=127.0.0.1",
    )


def in_container(host: Host) -> bool:
    """Docker's mark, or Podman's."""
    return bool(host.glob(".dockerenv") or host.glob("run/.containerenv"))


def _listened_to(host: Host, port: int) -> bool:
    rows = [
        row.split()
        for table in ("proc/net/tcp", "proc/net/tcp6")
        for row in host.text(table).splitlines()[1:]
    ]
    return any(row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def _reached(address: str) -> str:
    """The address at which this machine reaches what listens on `address`, as in a URL."""
    if address in _ANYWHERE:
        return "127.0.0.1" if address == "0.0.0.0" else "[::1]"
    return f"[{address}]" if ":" in address else address
