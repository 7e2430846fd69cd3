"""A disk that remembers what was synced, and what is left of it when the power goes.

Folders and files are followed by their inodes. What counts as on the disk is a file's bytes as
they were when it was last synced, and a folder's entries as they were when the folder was. SQLite's
files are taken as they are: that a commit is on the disk when it returns is SQLite's own promise
with `synchronous = FULL`, which tests/service/test_spool.py asks for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

OPERATIONS = ("fsync", "mkdir", "rename", "replace", "rmdir", "unlink")
"""Of the module os: each is a moment at which the power may go."""


class Left(Enum):
    """How much of what was not synced is there after all: a kernel writes it when it likes."""

    NOTHING = "nothing"
    NAMES = "names"
    EVERYTHING = "everything"


class Killed(BaseException):
    """Of the process, at the operation that was asked for; it does nothing more."""


class Disk:
    """All that is done by this process below `root`, while `recording`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.operations = 0
        self.kill_at: int | None = None
        self.at_operation: Callable[[], None] = lambda: None
        """Called behind each operation."""
        self._paused = False
        self._bytes: dict[int, bytes] = {}
        self._entries: dict[int, dict[str, int]] = {}
        self._held: dict[int, int] = {}
        """Handles by inode, so that no inode is given to another file."""
        self._sync(root)

    @contextmanager
    def recording(self) -> Iterator[None]:
        originals = {name: getattr(os, name) for name in OPERATIONS}
        try:
            for name, original in originals.items():
                setattr(os, name, self._recorded(name, original))
            yield
        finally:
            for name, original in originals.items():
                setattr(os, name, original)

    def close(self) -> None:
        for handle in self._held.values():
            os.close(handle)
        self._held.clear()

    def after_power_cut(self, target: Path, left: Left) -> None:
        """Make the folder `target`: the disk as it would be found."""
        self._paused = True
        self._restore(self._inode(self.root), self.root, target, left)
        self._paused = False

    def _recorded(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **how: Any) -> Any:
            if self._paused:
                return original(*arguments, **how)
            if self.kill_at is not None and self.operations >= self.kill_at:
                raise Killed
            done = original(*arguments, **how)
            self.operations += 1
            if name == "fsync":
                self._sync(Path(os.readlink(f"/proc/self/fd/{arguments[0]}")))
            self.at_operation()
            return done

        return operation

    def _sync(self, path: Path) -> None:
        inode = self._inode(path)
        if path.is_dir():
            self._entries[inode] = {each.name: self._inode(each) for each in path.iterdir()}
        else:
            self._bytes[inode] = path.read_bytes()

    def _inode(self, path: Path) -> int:
        inode = path.stat().st_ino
        if inode not in self._held:
            self._held[inode] = os.open(path, os.O_RDONLY)
        return inode

    def _restore(self, folder: int, live: Path, target: Path, left: Left) -> None:
        target.mkdir()
        if left is Left.NOTHING:
            entries = self._entries.get(folder, {})
        else:
            entries = {each.name: self._inode(each) for each in live.iterdir()}
        for name, inode in entries.items():
            if stat.S_ISDIR(os.fstat(self._held[inode]).st_mode):
                self._restore(inode, live / name, target / name, left)
            elif left is Left.EVERYTHING:
                (target / name).write_bytes((live / name).read_bytes())
            else:
                (target / name).write_bytes(self._bytes.get(inode, b""))
        for file in live.glob("studies.db*") if live.is_dir() else ():
            (target / file.name).write_bytes(file.read_bytes())
