"""Roles of clients, and the studies that each role may see and delete."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Role(str, Enum):
    """What a token is for; one token may have several.

    WORKSTATION posts studies, and sees and deletes its own. READER sees all studies. TECHNICIAN
    sees health and metrics, and deletes any study without seeing it.
    """

    WORKSTATION = "workstation"
    READER = "reader"
    TECHNICIAN = "technician"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated client. name: of its token. address: of the client on the network.

    token: SHA-256 of the very token, which another one of its name does not have.
    session: key of the page's session, if it came by one.
    """

    name: str
    roles: frozenset[Role]
    address: str = ""
    token: str = field(default="", repr=False)
    session: str = field(default="", repr=False)

    @property
    def sees(self) -> str | None:
        """Whose studies: the owner's name, or None for everybody's."""
        return None if Role.READER in self.roles else self.name

    @property
    def deletes(self) -> str | None:
        """Whose studies: the owner's name, or None for everybody's."""
        return None if Role.TECHNICIAN in self.roles else self.name


LOCAL = "local"
"""Principal name of every client while there are no tokens; no token may have it."""
