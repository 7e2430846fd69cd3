"""Exposure check: tokens and TLS are required before the service listens on the network."""

from __future__ import annotations

from ipaddress import ip_address

from mammosono.appliance.settings import Settings


class StartRefused(Exception):
    """The service does not start like this. `str(error)` is one line that names the remedy."""

    code = "start_refused"


def is_loopback(host: str) -> bool:
    """Whether only this machine is reached by it; a name other than localhost may be anywhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def wants_tls(settings: Settings) -> bool:
    if settings.tls == "auto":
        given = (settings.tls_key, settings.tls_certificate, settings.tls_client_ca)
        return not is_loopback(settings.host) or any(given)
    return settings.tls == "on"


def tokens_are_optional(settings: Settings) -> bool:
    """Whether the service may serve everybody as long as no token was added."""
    return is_loopback(settings.host) or "tokens" in (settings.expose or "")


def check(settings: Settings, *, tokens: bool) -> None:
    """Raise StartRefused if the service would listen on the network without tokens or TLS.

    tokens: whether any was ever added.
    """
    if not tokens and not tokens_are_optional(settings):
        raise StartRefused(
            f"{settings.host} is reached from the network and there are no tokens; run "
            "`mammosono token add NAME --role technician`, or set MAMMOSONO_EXPOSE=without-tokens"
        )
    exposed = not is_loopback(settings.host) and not wants_tls(settings)
    if exposed and "tls" not in (settings.expose or ""):
        raise StartRefused(
            f"{settings.host} is reached from the network and TLS is off; "
            "set MAMMOSONO_TLS=auto, or MAMMOSONO_EXPOSE=without-tls"
        )
