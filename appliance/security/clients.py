"""Clients told apart by their address, for what each of them may have or do."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network


def client_of(address: str) -> str:
    """One name for all addresses that one machine may have: of IPv6, a whole /64.

    What is no address is its own name.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed), 64), strict=False))
    return address
