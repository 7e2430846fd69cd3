"""Destinations of the objects: the tables `[[destination]]` of dicom.toml, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mammosono.appliance.node.contexts import DEFAULT_OBJECTS, ObjectKind

AE_TITLE = "MAMMOSONO"
PORT = 104

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")  # no backslash, no control characters
_LONGEST_ISSUER = 64
_HOST = re.compile(r"[A-Za-z0-9:._-]{1,253}")


class DestinationError(ValueError):
    """A table that cannot be used. `str(error)` is one line: the key, and the remedy."""


@dataclass(frozen=True, slots=True)
class Tls:
    """ca: certificates by which the destination's is checked, those of the system if None.
    certificate, key: our own, where it asks for one. name: of the destination in its certificate.
    """

    name: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Dimse:
    """A destination that takes objects by C-STORE. commitment: that it is asked to confirm them.
    issuer: of its patients' IDs, where an image fetched from it does not say."""

    ae_title: str
    host: str
    port: int
    calling: str
    commitment: bool
    tls: Tls | None
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Stow:
    """A destination that takes objects by STOW-RS. url: of the service, without `/studies`."""

    url: str
    token_file: Path | None
    tls: Tls | None


@dataclass(frozen=True, slots=True)
class Destination:
    name: str
    way: Dimse | Stow
    objects: tuple[ObjectKind, ...] = DEFAULT_OBJECTS

    @property
    def confirms(self) -> bool:
        """Whether an object is only done when the destination has committed to keep it."""
        return isinstance(self.way, Dimse) and self.way.commitment


def parse(
    table: Mapping[str, Any], *, calling: str = AE_TITLE, folder: Path = Path()
) -> Destination:
    """A destination of its table. calling: our own AE title. folder: against which paths of files
    are taken. Raises DestinationError."""
    keys = _Keys(table, folder)
    name = keys.text("name", _NAME, "1 to 32 letters, digits, dots and dashes")
    objects = keys.objects()
    way = _stow(keys) if "stow" in table else _dimse(keys, calling)
    keys.nothing_else()
    return Destination(name, way, objects)


def parse_all(
    tables: object, *, calling: str = AE_TITLE, folder: Path = Path()
) -> tuple[Destination, ...]:
    """All `[[destination]]` of dicom.toml; none configured is none. Raises DestinationError."""
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise DestinationError("destination: write each as a table [[destination]]")
    found = tuple(parse(table, calling=calling, folder=folder) for table in tables)
    names = [destination.name for destination in found]
    for name in names:
        if names.count(name) > 1:
            raise DestinationError(f"destination.name: {name} is there twice; give each its own")
    return found


def _dimse(keys: _Keys, calling: str) -> Dimse:
    keys.without("token_file", "it goes with stow")
    host = keys.text("host", _HOST, "the address or name of the PACS")
    return Dimse(
        keys.ae_title(),
        host,
        keys.port(),
        calling,
        keys.switch("commitment", default=True),
        keys.tls(host, used=keys.switch("tls", default=False)),
        keys.issuer(),
    )


def _stow(keys: _Keys) -> Stow:
    for key in ("ae_title", "host", "port", "tls", "commitment", "issuer"):
        keys.without(key, "it does not go with stow")
    url = keys.url()
    address = urlsplit(url)
    tls = keys.tls(address.hostname or "", used=address.scheme == "https")
    return Stow(url, keys.file("token_file"), tls)


class _Keys:
    """The table's keys, each asked for once. A DestinationError names destination and key."""

    def __init__(self, table: Mapping[str, Any], folder: Path) -> None:
        self._table, self._folder = table, folder
        self._asked: set[str] = set()

    def text(self, key: str, form: re.Pattern[str], remedy: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise self._error(key, f"give {remedy}")
        return value

    def ae_title(self) -> str:
        title = self.text("ae_title", _AE_TITLE, "the AE title of the PACS, 1 to 16 characters")
        if not title.strip():
            raise self._error("ae_title", "give the AE title of the PACS, 1 to 16 characters")
        return title.strip()

    def issuer(self) -> str:
        value = self._get("issuer", "")
        if not isinstance(value, str) or len(value) > _LONGEST_ISSUER:
            raise self._error("issuer", "give what issues the patient IDs, up to 64 characters")
        return value

    def port(self) -> int:
        value = self._get("port", PORT)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
            raise self._error("port", "give a number from 1 to 65535")
        return value

    def switch(self, key: str, *, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._error(key, "write true or false")
        return value

    def file(self, key: str) -> Path | None:
        value = self._get(key, None)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self._error(key, "give the name of a file")
        return self._folder / value

    def objects(self) -> tuple[ObjectKind, ...]:
        words = ", ".join(kind.value for kind in ObjectKind)
        value = self._get("objects", [kind.value for kind in DEFAULT_OBJECTS])
        try:
            kinds = [ObjectKind(word) for word in value] if isinstance(value, list) else []
        except (ValueError, TypeError):
            kinds = []
        if not kinds:
            raise self._error("objects", f"list some of {words}")
        return tuple(dict.fromkeys(kinds))

    def url(self) -> str:
        remedy = "give https://ADDRESS/dicom-web, or http:// in a network that is trusted"
        value = self._get("stow")
        if not isinstance(value, str) or not value.isprintable() or " " in value:
            raise self._error("stow", remedy)
        try:
            address = urlsplit(value)
            usable = address.scheme in ("http", "https") and address.hostname
            _ = address.port
        except ValueError:
            usable = None
        if not usable or address.query or address.fragment:
            raise self._error("stow", remedy)
        if address.username is not None or address.password is not None:
            raise self._error("stow", "put the secret into token_file, not into the address")
        return value.rstrip("/")

    def tls(self, host: str, *, used: bool) -> Tls | None:
        if not used:
            for word in ("ca", "certificate", "key", "tls_name"):
                self.without(word, "it goes with tls = true, or with https://")
            return None
        certificate, key = self.file("certificate"), self.file("key")
        if (certificate is None) != (key is None):
            raise self._error("certificate", "certificate and key go together")
        name = self._get("tls_name", host)
        if not isinstance(name, str) or not _HOST.fullmatch(name):
            raise self._error("tls_name", "give the name that is in the PACS's certificate")
        return Tls(name, self.file("ca"), certificate, key)

    def without(self, key: str, why: str) -> None:
        if key in self._table:
            raise self._error(key, f"{why}; take it out")

    def nothing_else(self) -> None:
        for key in self._table:
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                raise self._error(key, f"there is no such key; there are {known}")

    def _get(self, key: str, *default: object) -> Any:
        self._asked.add(key)
        if key not in self._table and not default:
            raise self._error(key, "it is missing")
        return self._table.get(key, *default)

    def _error(self, key: str, remedy: str) -> DestinationError:
        name = self._table.get("name")
        whose = f" of {name}" if isinstance(name, str) and _NAME.fullmatch(name) else ""
        return DestinationError(f"destination.{key}{whose}: {remedy}")
