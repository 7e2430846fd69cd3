"""Outcome of sending one object, of the status code that the destination gives (PS3.4, B.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Became(str, Enum):
    STORED = "stored"
    LATER = "later"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Outcome:
    """reason: empty if stored without a warning. Never words of the destination: a comment of its
    may quote the patient's name."""

    became: Became
    reason: str = ""


STORED = Outcome(Became.STORED)

_SOP_CLASS_UNKNOWN, _NOT_AUTHORISED = 0x0122, 0x0124
_FOR_GOOD = {
    0x0105: "it takes no such attribute",
    0x0106: "it finds an attribute value invalid",
    0x0117: "it finds the object invalid",
    0x0118: "it knows no such SOP class",
    0x0119: "it finds SOP class and object in conflict",
    0x0120: "it misses an attribute",
    0x0121: "it misses an attribute value",
    _SOP_CLASS_UNKNOWN: "it does not take this SOP class",
    _NOT_AUTHORISED: "it does not allow us to store",
    0x0210: "it says that the message was sent twice",
    0x0211: "it does not know the operation",
    0x0212: "it finds the message mistyped",
}


def of_status(status: int) -> Outcome:
    """Of C-STORE, or of the Failure Reason of STOW-RS (PS3.18, I.2.2)."""
    code = f"status {status:04X}"
    if status == 0:
        return STORED
    if status in (0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return Outcome(Became.STORED, f"stored with a warning, {code}")
    if status in _FOR_GOOD:
        return Outcome(Became.NEVER, f"the destination refuses it: {_FOR_GOOD[status]}, {code}")
    if 0xA900 <= status <= 0xA9FF:
        return Outcome(Became.NEVER, f"the destination finds it not of its SOP class, {code}")
    if 0xC000 <= status <= 0xCFFF:
        return Outcome(Became.NEVER, f"the destination cannot understand it, {code}")
    if 0xA700 <= status <= 0xA7FF:
        return Outcome(Became.LATER, f"the destination is out of resources, {code}")
    return Outcome(Became.LATER, f"the destination failed to store it, {code}")
