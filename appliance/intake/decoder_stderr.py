"""Capture of standard error, where decoders written in C report damage, and nowhere else.

libjpeg and libtiff return a picture with grey or stale rows when data are missing; the only sign
is a line on file descriptor 2. So that descriptor is turned away while a decoder runs: the lines
tell us of the damage, and do not reach the terminal.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_ONE_AT_A_TIME = threading.Lock()
_HEARD_BYTES = 1 << 16

# What a decoder says. Any other line came from another thread meanwhile, and is passed on: rather
# a stray line of a decoder on the terminal than a log line lost.
_DECODER_LINE = re.compile(
    rb"\[ ?(?:WARN|ERROR|FATAL|INFO):|>|libpng |Corrupt JPEG|Premature end|Unknown Adobe"
    rb"|Warning: |Invalid SOS|Inconsistent progression|  Value \d+ of |Apparently should be|$"
)


def capture_stderr(decode: Callable[[], T]) -> tuple[T, str]:
    """Run `decode`; return its result and what decoders wrote meanwhile.

    Python's warnings are silenced too: pydicom's may quote the patient. Descriptor and warning
    filters belong to the process, hence one decoder at a time.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ear, stderr = os.memfd_create("decoder"), os.dup(2)
        os.dup2(ear, 2)
        try:
            result = decode()
        finally:
            os.dup2(stderr, 2)
            lines = os.pread(ear, _HEARD_BYTES, 0).splitlines(keepends=True)
            others = [line for line in lines if not _DECODER_LINE.match(line)]
            if others:
                os.write(stderr, b"".join(others))
            os.close(stderr)
            os.close(ear)
    complaints = b"".join(line for line in lines if _DECODER_LINE.match(line))
    return result, complaints.decode("ascii", "replace")
