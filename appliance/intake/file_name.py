"""Side and view of a mammogram by the name of its file, where the name leaves no doubt."""

from __future__ import annotations

import re

from mammosono.appliance.values import Laterality

_SIDES = {
    "L": Laterality.LEFT, "LEFT": Laterality.LEFT, "R": Laterality.RIGHT, "RIGHT": Laterality.RIGHT,
}  # fmt: skip
_JOINED = re.compile(r"(L|R)(CC|MLO)\Z")


def side_and_view(name: str) -> tuple[Laterality | None, str | None]:
    """Of a name or path such as P_00017_LEFT_CC.jpg, R-MLO.dcm, lcc.png; case does not matter.

    A name that holds two sides or two views, or a side without a view, says neither: a lone L may
    be anything.
    """
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].split(".", 1)[0].upper()
    words = re.split(r"[^A-Z0-9]+", stem)
    joined = [match for word in words if (match := _JOINED.match(word))]
    sides = {_SIDES[word] for word in words if word in _SIDES}
    views = {word for word in words if word in ("CC", "MLO")}
    sides |= {_SIDES[match[1]] for match in joined}
    views |= {match[2] for match in joined}
    if len(sides) != 1 or len(views) != 1:
        return None, None
    return sides.pop(), views.pop()
