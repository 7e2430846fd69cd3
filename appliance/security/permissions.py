"""Permissions of what the appliance keeps: nobody but its own user may read or change it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

from mammosono.appliance.settings import Settings

OTHERS = 0o077
_NAMED = 4


def exposed(settings: Settings) -> list[str]:
    """What others may read, change or enter, with its mode: of the state folder what is in it and
    one folder below, where tokens, database, audit log and keys are; and the given TLS key.

    Names are relative to the state folder: they hold no id.
    """
    state = settings.state_folder()
    found = [f"{name} ({mode:03o})" for name, mode in _modes(state) if mode & OTHERS]
    if settings.tls_key is not None:
        mode = _mode(settings.tls_key)
        if mode is not None and mode & OTHERS:
            found.append(f"MAMMOSONO_TLS_KEY ({mode:03o})")
    return found


def remedy(settings: Settings) -> str:
    given = [] if settings.tls_key is None else [str(settings.tls_key)]
    return " ".join(["chmod -R go=", str(settings.state_folder()), *given])


def brief(found: list[str]) -> str:
    """The first few of them, and how many there are besides."""
    more = len(found) - _NAMED
    named = ", ".join(found[:_NAMED])
    return f"{named} and {more} more" if more > 0 else named


def _modes(state: Path) -> Iterator[tuple[str, int]]:
    own = _mode(state)
    if own is None:
        return
    yield "the state folder", own
    for path in sorted([*state.glob("*"), *state.glob("*/*")]):
        mode = _mode(path)
        if mode is not None:
            yield str(path.relative_to(state)), mode


def _mode(path: Path) -> int | None:
    """None if it is not there, or not to be looked at."""
    try:
        return S_IMODE(path.stat().st_mode)
    except OSError:
        return None
