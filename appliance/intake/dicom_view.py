"""Which breast a mammogram shows, and in which projection (PS3.3 C.8.11.7, CID 4014)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from mammosono.appliance.values import Laterality

VIEW_KEYWORDS = ("ImageLaterality", "Laterality", "ViewPosition")

_VIEWS = frozenset(
    ("CC", "MLO", "ML", "LM", "LMO", "SIO", "ISO", "FB", "XCC", "XCCL", "XCCM", "AT", "CV", "RM")
)


def laterality_and_view(ds: Dataset) -> tuple[Laterality | None, str | None]:
    """`ds` has the VIEW_KEYWORDS. What is not written as the standard has it is not known: a wrong
    side is worse than none."""
    sides = {str(ds.get(keyword) or "").strip() for keyword in ("ImageLaterality", "Laterality")}
    stated = sides - {""}
    side = stated.pop() if len(stated) == 1 else ""
    view = str(ds.get("ViewPosition") or "").strip()
    return (
        Laterality(side) if side in ("R", "L") else None,
        view if view in _VIEWS else None,
    )
