"""Result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """note: neither right nor wrong, as on a host that is not a Jetson."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """observation: the observation, one sentence. remedy: steps, a line each; a fail has one."""

    topic: str
    state: State
    observation: str
    remedy: str = ""


def ok(topic: str, observation: str) -> CheckResult:
    return CheckResult(topic, State.OK, observation)


def note(topic: str, observation: str, remedy: str = "") -> CheckResult:
    return CheckResult(topic, State.NOTE, observation, remedy)


def warn(topic: str, observation: str, remedy: str) -> CheckResult:
    return CheckResult(topic, State.WARN, observation, remedy)


def fail(topic: str, observation: str, remedy: str) -> CheckResult:
    return CheckResult(topic, State.FAIL, observation, remedy)


def failed(topic: str, error: Exception) -> CheckResult:
    """Our errors say what is wrong and, after a semicolon, what to do."""
    observation, _, remedy = str(error).partition("; ")
    return fail(
        topic, observation, remedy or "mend what fails above; else see: journalctl -u mammosono"
    )


def not_a_jetson(topic: str) -> CheckResult:
    return note(topic, "not a Jetson")
