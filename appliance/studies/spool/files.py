"""Durable file operations, and the disk's failures as our errors."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mammosono.appliance.errors import StorageFailed, StorageFull
from mammosono.engines.disk import sync

_FULL = "Wait until older studies have made room, or ask the technician to free space."
_FAILED = (
    "The appliance cannot write to its disk; call the technician (mammosono doctor tells more)."
)


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what the disk and SQLite say into StorageFull and StorageFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull(_FULL) from error
        raise StorageFailed(_FAILED) from error
    except sqlite3.Error as error:
        if "full" in str(error):
            raise StorageFull(_FULL) from error
        raise StorageFailed(_FAILED) from error


def settle(temporary: Path, target: Path) -> None:
    """Move a file to its place such that it is there, whole, after a power cut."""
    sync(temporary)
    if not target.parent.is_dir():
        target.parent.mkdir(parents=True)
        sync(target.parent.parent)
    temporary.replace(target)
    sync(target.parent)


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write on the folder's disk."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def empty(folder: Path) -> None:
    """Remove what is in the folder, and make it if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        remove(entry)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
