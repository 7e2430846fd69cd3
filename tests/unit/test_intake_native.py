"""What decoders write to standard error is heard, and what others write is not lost."""

from __future__ import annotations

import os
import threading
import warnings

import pytest

from mammosono.appliance.intake.decoder_stderr import capture_stderr


def say(*lines: bytes) -> None:
    for line in lines:
        os.write(2, line + b"\n")


def test_a_decoders_lines_are_heard_and_not_shown(capfd) -> None:
    spoken = (b"Corrupt JPEG data: premature end", b"libpng error: x", b"[ERROR:0@0.1] global y")
    result, said = capture_stderr(lambda: say(*spoken) or 7)
    assert (result, said.encode()) == (7, b"\n".join(spoken) + b"\n")
    assert capfd.readouterr().err == ""


def test_a_log_line_of_another_thread_is_passed_on(capfd) -> None:
    def decode() -> None:
        other = threading.Thread(target=say, args=(b"INFO:     study posted",))
        other.start()
        other.join()

    assert capture_stderr(decode)[1] == ""
    assert capfd.readouterr().err == "INFO:     study posted\n"


def test_standard_error_is_back_after_a_failure(capfd) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError):
        capture_stderr(fail)
    say(b"heard again")
    assert capfd.readouterr().err == "heard again\n"
    assert len(os.listdir("/proc/self/fd")) == before


def test_python_warnings_of_a_decoder_are_silent() -> None:
    capture_stderr(lambda: warnings.warn("Invalid value: Doe^Jane", stacklevel=1))
