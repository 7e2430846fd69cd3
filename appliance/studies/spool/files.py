"""Durable file operations, and the disk's failures as our errors."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mammosono.appliance.errors import StorageDamaged, StorageFailed, StorageFull
from mammosono.engines.disk import sync

logger = logging.getLogger(__name__)

_FULL = "Wait until older studies have made room, or ask the technician to free space."
_FAILED = (
    "The appliance cannot write to its disk; call the technician (mammosono doctor tells more)."
)
_LOCKED = "Another program holds the list of studies; end it, or wait until it has ended."
_DAMAGED = "The list of studies, studies.db, cannot be read; call the technician. Files stay."
_UNREADABLE = (
    *("malformed", "not a database"),
    # Tables that are not those of its version.
    *("no such table", "no such column", "duplicate column", "already exists"),
)
LEAST_FILES = 64
"""About as many as one study with its pictures makes."""
FULL_BYTES = 64 * 1024
"""With less than this SQLite cannot make the files that it needs beside the database."""


@contextlib.contextmanager
def disk_errors(folder: Path | None = None) -> Iterator[None]:
    """Turn what the disk and SQLite say into a StorageError.

    folder: on the disk that is used; SQLite does not always say that it is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(_FULL) from error
        raise StorageFailed(_FAILED) from error
    except sqlite3.Error as error:
        raise _storage_error(str(error), folder) from error


def _storage_error(said: str, folder: Path | None) -> StorageFull | StorageFailed | StorageDamaged:
    """The error for what SQLite says (sqlite.org/rescode.html)."""
    unspecific = "disk I/O error" in said or "unable to open" in said
    if "full" in said or (unspecific and folder is not None and _is_full(folder)):
        return StorageFull(_FULL)
    if "locked" in said:
        return StorageFailed(_LOCKED)
    if any(words in said for words in _UNREADABLE):
        return StorageDamaged(_DAMAGED)
    return StorageFailed(_FAILED)


def _is_full(folder: Path) -> bool:
    try:
        return free_bytes(folder) < FULL_BYTES
    except OSError:
        return False


def move(source: Path, target: Path) -> None:
    """Move a file whose bytes are synced such that it is there, whole, after a power cut.

    The folder that it comes from is not synced: after a power cut the file is in one of the two."""
    make_folder(target.parent)
    source.replace(target)
    sync(target.parent)


def make_folder(folder: Path) -> None:
    """Make it, and those above it, if it is not there: on the disk, and nobody else's."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write on the folder's disk: nothing if it has next to no
    inodes left, without which no file can be made."""
    state = os.statvfs(folder)
    if state.f_files and state.f_favail < LEAST_FILES:  # some file systems do not count them
        return 0
    return state.f_bavail * state.f_frsize


def empty(folder: Path) -> None:
    """Remove what is in the folder, and make it if it is missing."""
    make_folder(folder)
    for entry in folder.iterdir():
        try_to_remove(entry)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there. Raises OSError if it is there afterwards."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unlink(path: Path) -> None:
    """Remove a file, if it is there, such that it is gone after a power cut."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync(path.parent)


def try_to_remove(path: Path) -> None:
    """As `remove`; what resists is left, and logged without its name."""
    try:
        remove(path)
    except OSError as error:
        logger.error("left-over files cannot be removed: %s", error.strerror)


def reserve(path: Path, size: int) -> None:
    """Make a file that takes up `size` bytes of the disk; none if the disk refuses."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)
    except OSError:
        path.unlink(missing_ok=True)
