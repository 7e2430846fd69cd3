"""Text that is safe on a terminal."""

from __future__ import annotations

import json


def printable(text: str, replacement: str = "?") -> str:
    """The text without line ends and control characters, which a file name, a driver or a server
    may put into a message."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else replacement for sign in text)


def printable_lines(text: str) -> str:
    """As `printable`, of a text of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def escaped(document: str) -> str:
    """The same JSON document with what is not printable in its strings as escapes."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in document
    )
