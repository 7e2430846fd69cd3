"""A small disk of one's own, and somebody else's file that takes all that is left of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


class CannotMount(Exception):
    """`str(error)` is the reason."""


def mount(*arguments: str) -> None:
    """Raises CannotMount."""
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise CannotMount("there is no mount command here") from None
    if done.returncode:
        raise CannotMount(f"a small disk cannot be mounted here: {done.stderr.strip()}")


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """The new folder, of so much room. Raises CannotMount."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """The file that takes the room; remove it to make some."""
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as file:
        state = os.statvfs(disk)
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize)
        file.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
    return hog
