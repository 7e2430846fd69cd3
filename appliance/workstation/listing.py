"""Memory of a folder's files: what was read of one is kept for as long as the file is the same."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

Mark = tuple[int, int, int]
"""Size in bytes, time of modification in ns, inode: with the name, what a file is the same by."""

_BLOCK_BYTES = 2**20


def sha256_of(path: Path) -> bytes:
    """Of the file's bytes, a block at a time. Raises OSError."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hashed.update(block)
    return hashed.digest()


@dataclass(slots=True)
class SeenFile(Generic[T]):
    """since: when it was first seen as it is. content: what was made of it, once it was read."""

    path: Path
    mark: Mark
    since: float
    content: T | None = None
    sha256: bytes | None = None

    def hashed(self) -> bytes:
        """SHA-256 of the bytes; read once. Raises OSError."""
        if self.sha256 is None:
            self.sha256 = sha256_of(self.path)
        return self.sha256


class Listing(Generic[T]):
    """The files of a folder, by name. What vanishes is forgotten: memory goes with the folder."""

    def __init__(
        self, folder: Path, now: Callable[[], float], wanted: Callable[[str], bool]
    ) -> None:
        """wanted: whether a name is of interest."""
        self._folder, self._now, self._wanted = folder, now, wanted
        self.files: dict[str, SeenFile[T]] = {}

    def look(self) -> bool:
        """List the folder; whether anything changed. Nothing is opened.

        Raises OSError if the folder cannot be listed; what is remembered stays."""
        found: dict[str, SeenFile[T]] = {}
        changed = False
        with os.scandir(self._folder) as entries:
            for entry in entries:
                known = self.files.get(entry.name)
                if known is None and not self._wanted(entry.name):
                    continue
                seen = self._seen(entry, known)
                if seen is not None:
                    found[entry.name] = seen
                    changed |= seen is not known
        changed |= len(found) != len(self.files)
        self.files = found
        return changed

    def _seen(self, entry: os.DirEntry[str], known: SeenFile[T] | None) -> SeenFile[T] | None:
        try:
            state = entry.stat()
        except FileNotFoundError:
            return None
        except OSError:  # a share that stumbles does not make a file a new one
            return known
        if not stat.S_ISREG(state.st_mode):
            return None
        mark = (state.st_size, state.st_mtime_ns, state.st_ino)
        if known is not None and known.mark == mark:
            return known
        # By this machine's clock: the folder may be on one with another.
        return SeenFile(self._folder / entry.name, mark, self._now())
