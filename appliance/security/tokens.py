"""Token store: a JSON file with the hashes of the API tokens."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.security.roles import LOCAL, Role
from mammosono.engines.disk import sync, write_whole

FILE = "tokens.json"
RECORD = "record/tokens"
"""Beside the file: is there once a token was added, whatever becomes of the file."""
TOKEN_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNREADABLE = (
    "The token file cannot be read; make it the service's own, put a sound one back, or run: "
    "mammosono token forget"
)
_LOST = (
    "The token file is lost and nobody gets in; put tokens.json back into the state folder, or run "
    "mammosono token add; mammosono token forget opens the appliance to everybody on its machine."
)


class TokenRefused(ValueError):
    """The name cannot be given, or is not known. `str(error)` is one line."""


@dataclass(frozen=True, slots=True)
class Token:
    """sha256: of the secret, hexadecimal. A plain hash will do: 256 random bits are not guessed."""

    name: str
    roles: frozenset[Role]
    created: datetime
    sha256: str


class Tokens:
    """The tokens of a file; a change by another process is noticed by the next call.

    Any call raises StorageFailed if the file is there and cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._record = file, file.parent / RECORD
        self._tokens: tuple[Token, ...] = ()
        self._version: tuple[int, ...] | None = None
        self._used = False

    @property
    def in_use(self) -> bool:
        """Whether a token was ever added; with the last one revoked nobody gets in.

        Nor does a lost file open an appliance that has ever asked for tokens.
        """
        self._refresh()
        return self._used or self._is_recorded()

    def all(self) -> tuple[Token, ...]:
        """Raises StorageFailed, too, if the file is lost."""
        if self.in_use and self._version is None:
            raise StorageFailed(_LOST)
        return self._tokens

    def remember(self) -> None:
        """Record that tokens are in use, so that a lost file is known for one. Raises OSError."""
        if not self._is_recorded():
            if not self._record.parent.is_dir():
                self._record.parent.mkdir(mode=0o700, parents=True)
                sync(self._record.parent.parent)
            write_whole(str(self._record), b"", 0o600)

    def forget(self) -> None:
        """Remove all tokens, and the record that there were any: from the next start on the service
        asks for none. Raises OSError."""
        with self._locked():
            self._file.unlink(missing_ok=True)
            sync(self._file.parent)
            self._record.unlink(missing_ok=True)

    def find(self, secret: str) -> Token | None:
        """The token of this secret. Takes as long whichever it is, and if it is none."""
        presented = _hash(secret)
        match = None
        for token in self.all():
            if hmac.compare_digest(token.sha256, presented):
                match = token
        return match

    def add(self, name: str, roles: Collection[Role]) -> str:
        """Make a token and return its secret, which is kept nowhere. Raises TokenRefused."""
        if not NAME.fullmatch(name) or name == LOCAL:
            raise TokenRefused(
                "Use 1 to 64 of A-Z a-z 0-9 . _ - as name, a letter or digit first, "
                f"and not {LOCAL!r}."
            )
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        now = datetime.now(timezone.utc).replace(microsecond=0)
        with self._changing():
            if any(token.name == name for token in self._tokens):
                raise TokenRefused("A token of this name exists; revoke it first.")
            self._write((*self._tokens, Token(name, frozenset(roles), now, _hash(secret))))
        return secret

    def revoke(self, name: str) -> None:
        """Take a token back, from the next request on. Raises TokenRefused if there is none."""
        with self._changing():
            left = tuple(token for token in self._tokens if token.name != name)
            if len(left) == len(self._tokens):
                raise TokenRefused("There is no token of this name; see: mammosono token list")
            self._write(left)

    def _refresh(self) -> None:
        try:
            status = self._file.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self._version:
                self._tokens = _parse(self._file.read_bytes())
                self._version, self._used = version, True
        except FileNotFoundError:
            self._tokens, self._version = (), None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise StorageFailed(_UNREADABLE) from None

    def _is_recorded(self) -> bool:
        try:
            self._record.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            raise StorageFailed(_UNREADABLE) from None
        return True

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time, on the file as it stands."""
        with self._locked():
            self._refresh()
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(f"{self._file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        """The old file or the new one, whole, whatever happens."""
        self.remember()
        document = {"version": 1, "tokens": [_document(token) for token in tokens]}
        write_whole(str(self._file), json.dumps(document).encode(), 0o600)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _document(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "roles": sorted(role.value for role in token.roles),
        "created": token.created.isoformat(),
        "sha256": token.sha256,
    }


def _parse(data: bytes) -> tuple[Token, ...]:
    return tuple(
        Token(
            name=_matching(NAME, entry["name"]),
            roles=frozenset(Role(role) for role in entry["roles"]),
            created=datetime.fromisoformat(entry["created"]),
            sha256=_matching(_SHA256, entry["sha256"]),
        )
        for entry in json.loads(data)["tokens"]
    )


def _matching(pattern: re.Pattern[str], value: str) -> str:
    """Raises ValueError, or TypeError if it is no string."""
    if pattern.fullmatch(value) is None:
        raise ValueError("not as it was written here")
    return value
