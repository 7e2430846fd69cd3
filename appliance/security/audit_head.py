"""Head of the audit log, kept outside of it: what a cut, edited or lost log is held against."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mammosono.engines.disk import sync, write_whole

FIRST = "0" * 64
"""What the first line holds as the hash of the one before."""

RECORD_IS_GONE = "the record of its last line is gone or damaged"


@dataclass(frozen=True, slots=True)
class Head:
    """What the log was when its last line was written.

    events: its lines. sha256: of the last one, FIRST if there is none. size: bytes.
    fault: what was found wrong with the log once; empty while nothing was.
    """

    events: int = 0
    sha256: str = FIRST
    size: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Tail:
    """End of the log as it is. last: its last whole line, without the line end; empty if there is
    none. begin, end: offsets of that line, and behind it. torn: bytes of a line that is not whole.
    """

    last: bytes = b""
    begin: int = 0
    end: int = 0
    torn: int = 0


def read_head(file: Path) -> Head | None:
    """None if there is no record. Raises ValueError if it is damaged, OSError if unreadable."""
    try:
        document = json.loads(file.read_bytes())
        head = Head(**document)
    except FileNotFoundError:
        return None
    except (TypeError, RecursionError):
        raise ValueError("no record of an audit log's head") from None
    counts, texts = (head.events, head.size), (head.sha256, head.fault)
    if not all(type(n) is int for n in counts) or not all(type(t) is str for t in texts):
        raise ValueError("no record of an audit log's head")
    return head


def write_head(file: Path, head: Head) -> None:
    """The old record or the new one, on the disk when this returns. Raises OSError."""
    if not file.parent.is_dir():
        file.parent.mkdir(mode=0o700, parents=True)
        sync(file.parent.parent)
    write_whole(str(file), json.dumps(asdict(head)).encode(), 0o600)


def difference(head: Head, tail: Tail) -> str:
    """What of the log does not fit its record; empty if all does.

    The log may be one line ahead, and a torn one: a crash comes between the line and the record.
    """
    if tail.end == 0 and head.events:
        return f"it is empty or gone, and {head.events} events had been written"
    if tail.end < head.size:
        return f"it was cut, and {head.events} events had been written"
    if tail.end == head.size and head.sha256 == hash_of(tail.last):
        return ""
    if tail.begin == head.size and previous_of(tail.last) == head.sha256:
        return ""
    return f"it does not end with event {head.events} as that was written"


def hash_of(line: bytes) -> str:
    """SHA-256, hexadecimal; FIRST for no line."""
    return hashlib.sha256(line).hexdigest() if line else FIRST


def previous_of(line: bytes) -> str | None:
    """The hash of the line before that a line holds; None if it is no event."""
    value = _member(line, "previous")
    return value if isinstance(value, str) else None


def number_of(line: bytes) -> int | None:
    """The number that a line holds; None if it has none, as in the logs of earlier versions."""
    value = _member(line, "number")
    return value if isinstance(value, int) else None


def _member(line: bytes, name: str) -> object:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document.get(name) if isinstance(document, dict) else None
