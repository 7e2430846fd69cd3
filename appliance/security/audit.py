"""Audit log: JSON lines that are only appended, each with the hash of the one before."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammosono.appliance.security.audit_head import (
    FIRST,
    RECORD_IS_GONE,
    Head,
    Tail,
    difference,
    hash_of,
    number_of,
    previous_of,
    read_head,
    write_head,
)
from mammosono.engines.disk import sync

logger = logging.getLogger(__name__)

FILE = "audit.jsonl"
RECORD = "record/audit.json"
"""Where, beside the log, its head is kept."""
REMEDY = "find out why and keep the file, then run: mammosono audit begin-anew"
"""For a log that is not as it was left."""
_TAIL_BYTES = 64 * 1024
_LOG_IS_GONE = "it is gone, and so is the record of what had been written"


class AuditLog:
    """Appends to the file; several processes may. Every call raises OSError if the disk refuses.

    expected: that there must be a log by now, even if neither it nor its record is there.
    """

    def __init__(self, file: Path, *, expected: bool = False) -> None:
        self._file, self._record = file, file.parent / RECORD
        self._expected = expected

    def append(self, event: Mapping[str, Any]) -> str:
        """Write the event as one line; it is on the disk when this returns. Returns its hash.

        A log that is not as it was left goes on; what was wrong with it stays in its record.
        """
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock(fcntl.LOCK_EX), self._open() as handle:
            head = self._caught_up(handle)
            numbered = {"previous": head.sha256, "number": head.events + 1, **event}
            line = json.dumps(numbered, separators=(",", ":")).encode()
            try:
                _write(handle, line + b"\n")
            except OSError:
                os.ftruncate(handle, head.size)
                raise
            if head.events == 0:
                sync(self._file.parent)
            self._expected = True
            now = Head(head.events + 1, hash_of(line), head.size + len(line) + 1, head.fault)
            # The line is on the disk: it must not be written twice. The record catches up before
            # the next one, so that it is never behind by more.
            with contextlib.suppress(OSError):
                write_head(self._record, now)
        return now.sha256

    def fault(self, *, wait: bool = True) -> str:
        """What of the log is not as it was left, by its end and its size; empty if nothing is.

        Raises BlockingIOError, unless it may wait, if the log is being written just now."""
        with self._lock(fcntl.LOCK_SH | (0 if wait else fcntl.LOCK_NB)):
            return self._compared(_tail_of(self._file))[1]

    def verify(self, known: str | None = None) -> Verified:
        """As the function `verify`, and against the record of the log's head.

        Raises BrokenChain, too, if the log was cut, edited, emptied or lost, also if it has gone
        on since; FileNotFoundError if none was ever written.
        """
        with self._lock(fcntl.LOCK_SH):
            tail = _tail_of(self._file)
            head, fault = self._compared(tail)
        if not fault and not self._file.exists():
            raise FileNotFoundError(self._file)
        # What stood before the lock was given back does not change any more.
        found = verify(self._file, known, tail.end + tail.torn) if tail.end + tail.torn else None
        if fault:
            raise BrokenChain(fault)
        if found is None:
            return Verified(0, FIRST, torn=False, known=known in (None, FIRST))
        if head is not None and found.events - head.events not in (0, 1):
            raise BrokenChain(f"it holds {found.events} events, and {head.events} were written")
        return replace(found, recorded=head is not None)

    def begin_anew(self, event: Callable[[int, str], Mapping[str, Any]]) -> Path | None:
        """Put the log away under a name of its own, and begin another.

        event: the first one, of the number of events of the log put away and the hash of the last
        that it holds. Returns where that log lies now; None if it is gone."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock(fcntl.LOCK_EX):
            put_away, tail = None, _tail_of(self._file)
            head, _ = self._compared(tail)
            if self._file.exists():
                name = f"{self._file.stem}.{hash_of(tail.last)[:16]}{self._file.suffix}"
                put_away = self._file.rename(self._file.with_name(name))
                sync(self._file.parent)
            write_head(self._record, Head())
        self.append(event(head.events if head else number_of(tail.last) or 0, hash_of(tail.last)))
        return put_away

    def _caught_up(self, handle: int) -> Head:
        """The log's head, from which it goes on; a torn line behind it is taken away."""
        tail = _tail(handle)
        if tail.torn:
            logger.warning(
                "the audit log ended in the middle of a line; %d bytes dropped", tail.torn
            )
            os.ftruncate(handle, tail.end)
        head, fault = self._compared(tail)
        if fault and not (head and head.fault):
            logger.critical("the audit log is not as it was left: %s", fault)
        if head is not None and not fault and tail.end == head.size:
            return head
        if head is not None and not fault:
            events = head.events + 1
        else:
            events = number_of(tail.last) or _lines(handle, tail.end)
            if head is None and not fault and events:
                logger.warning(
                    "the audit log of an earlier version goes on after %d events", events
                )
        now = Head(events, hash_of(tail.last), tail.end, fault)
        write_head(self._record, now)
        return now

    def _compared(self, tail: Tail) -> tuple[Head | None, str]:
        """The record, and what of the log does not fit it."""
        try:
            head = read_head(self._record)
        except ValueError:
            return None, RECORD_IS_GONE
        if head is not None:
            return head, head.fault or difference(head, tail)
        if number_of(tail.last) is not None:
            return None, RECORD_IS_GONE
        # Lines without a number are of a version that kept no record.
        return None, _LOG_IS_GONE if self._expected and not tail.last else ""

    @contextlib.contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Beside the file: a lock on itself would go with it. Who only reads makes none."""
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            handle = os.open(
                f"{self._file}.lock", flags | os.O_CREAT * (kind == fcntl.LOCK_EX), 0o600
            )
        except FileNotFoundError:  # nothing was ever written
            yield
            return
        try:
            fcntl.flock(handle, kind)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(self._file, flags, 0o600)
        try:
            yield handle
        finally:
            os.close(handle)


@dataclass(frozen=True, slots=True)
class Verified:
    """An unbroken log. events: how many. head: hash of the last, which covers them all.

    torn: the last line was being written when the power went; the next event takes its place.
    known: whether the hash that was asked for is one of theirs.
    recorded: whether its end was held against the record of its head.
    """

    events: int
    head: str
    torn: bool
    known: bool
    recorded: bool = False


class BrokenChain(ValueError):
    """A line was changed, taken out or put in, or the log is not as it was left. `str(error)` says
    what does not fit, if it is a line the first of them."""


def verify(file: Path, known: str | None = None, size: int | None = None) -> Verified:
    """Follow the chain from the first line to the last. Raises BrokenChain or OSError.

    size: bytes to look at; by default all. Who may write the file can write all of it anew, and
    its record. Against that, keep `head` elsewhere from time to time, and ask for it later as
    `known`: then nothing before it was changed since.
    """
    head, events, torn, is_known = FIRST, 0, False, known in (None, FIRST)
    with file.open("rb") as lines:
        left = os.fstat(lines.fileno()).st_size if size is None else size
        for number, line in enumerate(lines, 1):
            left -= len(line)
            if not line.endswith(b"\n"):
                torn = True
                break
            previous = previous_of(line)
            if previous is None:
                raise BrokenChain(f"line {number} is no event")
            if previous != head:
                raise BrokenChain(f"line {number} does not follow the one before")
            head, events = hashlib.sha256(line[:-1]).hexdigest(), number
            is_known = is_known or head == known
            if left <= 0:
                break
    return Verified(events, head, torn, is_known)


def _tail_of(file: Path) -> Tail:
    """Of a log that may not be there."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Tail()
    try:
        return _tail(handle)
    finally:
        os.close(handle)


def _tail(handle: int) -> Tail:
    size = os.fstat(handle).st_size
    begin, tail = size, b""
    while begin > 0 and tail.count(b"\n") < 2:
        begin = max(0, begin - _TAIL_BYTES)
        tail = os.pread(handle, size - begin, begin)
    whole, newline, torn = tail.rpartition(b"\n")
    if not newline:
        return Tail(torn=size)
    _, _, last = whole.rpartition(b"\n")
    end = size - len(torn)
    return Tail(last, end - len(last) - 1, end, len(torn))


def _lines(handle: int, end: int) -> int:
    """How many there are up to an offset."""
    count, begin = 0, 0
    while begin < end:
        piece = os.pread(handle, min(_TAIL_BYTES, end - begin), begin)
        count, begin = count + piece.count(b"\n"), begin + len(piece)
    return count


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
    os.fsync(handle)
