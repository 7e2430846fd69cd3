"""Host: the machine's files, commands and kernel state, as the checks read them. Tests replace its
root by the files of another machine."""

from __future__ import annotations

import ctypes
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IMODE

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMED_OUT = 124  # exit status of timeout(1)
_SIZE_OF_TIMEX = 512  # larger than struct timex anywhere; all zeros asks and changes nothing
_HTTP_S = 5.0
_LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was started: its exit status and what it wrote."""

    status: int
    out: str
    err: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Permission bits (0o660) and owners of a file."""

    mode: int
    uid: int
    gid: int


def _run(command: Sequence[str], timeout_s: float) -> Ran | None:
    # NVIDIA's own modules must find their Python as it is installed, not ours.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace",
            timeout=timeout_s, stdin=subprocess.DEVNULL, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Ran(_TIMED_OUT, "", f"it did not end within {timeout_s:.0f} s")
    except OSError:
        return None
    return Ran(done.returncode, done.stdout, done.stderr)


def _get(url: str) -> tuple[int, str] | None:
    # No proxy, and no question whose certificate it is: the answer comes from this machine.
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
    )
    try:
        with opener.open(url, timeout=_HTTP_S) as answer:
            return answer.status, answer.read(_LARGEST_ANSWER).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_LARGEST_ANSWER).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
    except Exception:  # http.client's errors, of whatever answers there and is not HTTP
        return None


def _owner(path: Path) -> Owner | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return Owner(S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def _disk(path: Path) -> tuple[int, int] | None:
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return usage.free, usage.total


def _synchronised() -> bool | None:
    # The kernel's word, as timedatectl reads it; in a container there is no timedatectl.
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_SIZE_OF_TIMEX))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


@dataclass(frozen=True, slots=True)
class Host:
    """root: what /proc, /sys, /etc and /dev are read under.

    run: a command and its seconds; None if it cannot be started.
    get: HTTP status and body of a URL; None if nothing answers.
    owner: of a file; None if there is none. disk: bytes free and in all on a folder's file system.
    synchronised: whether the kernel's clock follows a time server; None if it does not say.
    now: seconds since 1970, UTC. uid, gids: of this process.
    """

    root: Path = Path("/")
    run: Callable[[Sequence[str], float], Ran | None] = _run
    get: Callable[[str], tuple[int, str] | None] = _get
    owner: Callable[[Path], Owner | None] = _owner
    disk: Callable[[Path], tuple[int, int] | None] = _disk
    synchronised: Callable[[], bool | None] = _synchronised
    now: Callable[[], float] = time.time
    uid: int = field(default_factory=os.geteuid)
    gids: frozenset[int] = field(default_factory=lambda: frozenset({os.getegid(), *os.getgroups()}))

    def text(self, path: str) -> str:
        """A file's text without the white space and zeros at its ends; "" if it cannot be read."""
        try:
            return (self.root / path).read_text("utf-8", "replace").strip("\0 \t\n")
        except OSError:
            return ""

    def number(self, path: str) -> int | None:
        """The integer that a file holds; None if it holds none or cannot be read."""
        text = self.text(path)
        return int(text) if text.removeprefix("-").isdecimal() else None

    def glob(self, pattern: str) -> list[str]:
        """Paths below the root, sorted, as `text` and `number` take them."""
        paths = self.root.glob(pattern)
        return sorted(str(path.relative_to(self.root)) for path in paths)
