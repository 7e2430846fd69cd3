"""Names of posted files: made fit to be shown, and the side and view of a mammogram in them."""

from __future__ import annotations

import re
import unicodedata

from mammosono.appliance.values import Laterality

_SIDES = {
    "L": Laterality.LEFT, "LEFT": Laterality.LEFT, "R": Laterality.RIGHT, "RIGHT": Laterality.RIGHT,
}  # fmt: skip
# A view of a part, or one more that is not the standard one.
_MODIFIERS = frozenset(
    ("M", "S", "MAG", "MAGN", "MAGNIFIED", "MAGNIFICATION", "SPOT", "ID", "TAN", "RL", "RM", "ROLL",
     "ROLLED", "AT", "CV", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "SPECIMEN")
)  # fmt: skip
_JOINED = re.compile(r"(L|R)(CC|MLO)\Z")


LONGEST_NAME = 128


def cleaned(name: str) -> str | None:
    """The name without its folders and without what does not show, such as control characters and
    those that turn the direction of writing; None if nothing is left."""
    last = re.split(r"[\\/]", name)[-1].replace("%22", '"')
    shown = "".join(
        sign for sign in last if unicodedata.category(sign)[0] not in "CZ" or sign == " "
    )
    return shown.strip()[:LONGEST_NAME].strip() or None


def side_and_view(name: str) -> tuple[Laterality | None, str | None]:
    """Of a name or path such as P_00017_LEFT_CC.jpg, R-MLO.dcm, lcc.png; case does not matter.

    A name that holds two sides or two views, or a side without a view, says neither: a lone L may
    be anything. Nor does one that holds another view or a modifier beside them.
    """
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].split(".", 1)[0].upper()
    words = re.split(r"[^A-Z0-9]+", stem)
    joined = [match for word in words if (match := _JOINED.match(word))]
    sides = {_SIDES[word] for word in words if word in _SIDES}
    views = {word for word in words if word in ("CC", "MLO")}
    sides |= {_SIDES[match[1]] for match in joined}
    views |= {match[2] for match in joined}
    if len(sides) != 1 or len(views) != 1 or _MODIFIERS.intersection(words):
        return None, None
    return sides.pop(), views.pop()
