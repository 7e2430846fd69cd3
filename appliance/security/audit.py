"""Audit log: JSON lines that are only appended, each with the hash of the one before."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammosono.engines.disk import sync

logger = logging.getLogger(__name__)

FILE = "audit.jsonl"
FIRST = "0" * 64
"""What the first line holds as the hash of the one before."""
_TAIL_BYTES = 64 * 1024


class AuditLog:
    """Appends to the file; several processes may. Every call raises OSError if the disk refuses."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, event: Mapping[str, Any]) -> str:
        """Write the event as one line; it is on the disk when this returns. Returns its hash."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            previous, size = _mended(handle)
            line = json.dumps({"previous": previous, **event}, separators=(",", ":")).encode()
            try:
                _write(handle, line + b"\n")
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
        if size == 0:
            sync(self._file.parent)
        return hashlib.sha256(line).hexdigest()


@dataclass(frozen=True, slots=True)
class Verified:
    """An unbroken log. events: how many. head: hash of the last, which covers them all.

    torn: the last line was being written when the power went; the next event takes its place.
    known: whether the hash that was asked for is one of theirs.
    """

    events: int
    head: str
    torn: bool
    known: bool


class BrokenChain(ValueError):
    """A line was changed, taken out or put in. `str(error)` names the first that does not fit."""


def verify(file: Path, known: str | None = None) -> Verified:
    """Follow the chain from the first line to the last. Raises BrokenChain or OSError.

    Who may write the file can write all of it anew. Against that, keep `head` elsewhere from time
    to time, and ask for it later as `known`: then nothing before it was changed since.
    """
    head, events, torn, is_known = FIRST, 0, False, known in (None, FIRST)
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                torn = True
                break
            try:
                previous = json.loads(line)["previous"]
            except (ValueError, KeyError, TypeError):
                raise BrokenChain(f"line {number} is no event") from None
            if previous != head:
                raise BrokenChain(f"line {number} does not follow the one before")
            head, events = hashlib.sha256(line[:-1]).hexdigest(), number
            is_known = is_known or head == known
    return Verified(events, head, torn, is_known)


def _mended(handle: int) -> tuple[str, int]:
    """Hash of the last whole line, and the file's size; a torn line behind it is taken away."""
    size = os.fstat(handle).st_size
    begin, tail = size, b""
    while begin > 0 and tail.count(b"\n") < 2:
        begin = max(0, begin - _TAIL_BYTES)
        tail = os.pread(handle, size - begin, begin)
    whole, newline, torn = tail.rpartition(b"\n")
    if torn:
        logger.warning("the audit log ended in the middle of a line; %d bytes dropped", len(torn))
        os.ftruncate(handle, size - len(torn))
    if not newline:
        return FIRST, 0
    return hashlib.sha256(whole.rpartition(b"\n")[2]).hexdigest(), size - len(torn)


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)
