"""Atomic replacement of the plans in use by newly built ones, wherever the power fails.

.building/   plans being built and tried; nobody's yet
.ready/      the same folder once every plan in it was found good: from that rename on, they
             are the plans. Moving them up takes a moment; who opens the folder next after
             it was cut short finishes it.
"""

import contextlib
import os

from mammosono.engines.disk import sync

BUILDING = ".building"
_READY = ".ready"


def publish(folder: str) -> None:
    """Make the plans in BUILDING, all of them good, the plans of `folder`. Raises OSError."""
    finish(folder)
    sync(os.path.join(folder, BUILDING))
    os.rename(os.path.join(folder, BUILDING), os.path.join(folder, _READY))
    sync(folder)
    finish(folder)


def finish(folder: str) -> None:
    """Move up what was published and not yet moved; nothing to do is the usual case.

    Several may do it at once: the second finds the file already in its place.
    Raises OSError.
    """
    ready = os.path.join(folder, _READY)
    try:
        names = os.listdir(ready)
    except FileNotFoundError:
        return
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.replace(os.path.join(ready, name), os.path.join(folder, name))
    sync(folder)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(ready)
