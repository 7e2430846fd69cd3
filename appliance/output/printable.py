"""Text that is safe on a terminal."""

from __future__ import annotations


def printable(text: str, replacement: str = "?") -> str:
    """The text without line ends and control characters, which a file name, a driver or a server
    may put into a message."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else replacement for sign in text)
