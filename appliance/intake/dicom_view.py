"""Which breast an image shows, and in which projection (PS3.3 C.8.11.7, PS3.16 CID 4014, 4015)."""

from __future__ import annotations

from collections.abc import Collection

from mammosono.appliance.intake.dicom_values import Description, codes, texts
from mammosono.appliance.values import Laterality

VIEW_KEYWORDS = (
    "ImageLaterality",
    "Laterality",
    "FrameLaterality",
    "ViewPosition",
    "ViewCodeSequence",
    "ViewModifierCodeSequence",
    "AnatomicRegionSequence",
    "AnatomicRegionModifierSequence",
    "PrimaryAnatomicStructureSequence",
    "PrimaryAnatomicStructureModifierSequence",
)

VIEWS = frozenset(
    ("CC", "MLO", "ML", "LM", "LMO", "SIO", "ISO", "FB", "XCC", "XCCL", "XCCM", "AT", "CV", "RM")
)

# By SNOMED CT code and by the older SNOMED RT one.
_VIEW_CODES = {
    "399162004": "CC", "R-10242": "CC",
    "399368009": "MLO", "R-10226": "MLO",
    "399260004": "ML", "R-10224": "ML",
    "399352003": "LM", "R-10228": "LM",
    "399099002": "LMO", "R-10230": "LMO",
    "399188001": "SIO", "R-102D0": "SIO",
    "441555000": "ISO", "R-40AAA": "ISO",
    "399196006": "FB", "R-10244": "FB",
    "399192008": "XCCL", "R-1024A": "XCCL",
    "399101009": "XCCM", "R-1024B": "XCCM",
}  # fmt: skip
_MODIFIER_CODES = {
    "399163009": "magnified", "R-102D6": "magnified",
    "399055006": "spot", "R-102D7": "spot",
    "399209000": "implant displaced", "R-102D5": "implant displaced",
    "399161006": "cleavage", "R-102D2": "cleavage",
    "399011000": "axillary tail", "R-102D1": "axillary tail",
    "442580003": "axillary tissue", "R-40AB2": "axillary tissue",
    "399197002": "rolled lateral", "R-102D3": "rolled lateral",
    "399226006": "rolled medial", "R-102D4": "rolled medial",
    "414493004": "rolled inferior", "R-102CA": "rolled inferior",
    "415670009": "rolled superior", "R-102C9": "rolled superior",
    "399110001": "tangential", "R-102C2": "tangential",
    "442581004": "nipple in profile", "R-40AB3": "nipple in profile",
    "441752004": "anterior compression", "P2-00161": "anterior compression",
    "442593008": "infra-mammary fold", "R-40ABE": "infra-mammary fold",
}  # fmt: skip
# Modifiers of a view that still shows the whole breast.
_WHOLE = ("nipple in profile", "infra-mammary fold")

# Beside R, L and B, people write them out.
_SIDE_WORDS = {"LEFT": "L", "RIGHT": "R", "BOTH": "B", "BILATERAL": "B"}
_SIDE = ("AnatomicRegionModifierSequence", "PrimaryAnatomicStructureModifierSequence")
_SIDE_CODES = {
    "24028007": "R", "G-A100": "R", "73056007": "R", "T-04020": "R",
    "7771000": "L", "G-A101": "L", "80248007": "L", "T-04030": "L",
    "51440002": "B", "G-A102": "B", "63762007": "B", "T-04080": "B",
}  # fmt: skip


def laterality_and_view(header: Description) -> tuple[Laterality | None, str | None]:
    """Of a header with the VIEW_KEYWORDS: the view, and behind it its modifiers, as in "CC spot".

    What is not written as the standard has it, or is written twice and not alike, is not known: a
    wrong side is worse than none.
    """
    sides, views = _sides(header), _views(header)
    view = views.pop() if len(views) == 1 else None
    more = [each for each in sorted(view_modifiers(header)) if each not in _WHOLE]
    side = sides.pop() if len(sides) == 1 else None
    return (
        Laterality(side) if side in ("R", "L") else None,
        " ".join((view, *more)) if view in VIEWS else None,
    )


def contradicts_itself(header: Description) -> bool:
    """Whether it names the right breast and the left one, or two views."""
    return {"R", "L"} <= _sides(header) or len(_views(header) & VIEWS) > 1


def _sides(header: Description) -> set[str]:
    written = header.texts("ImageLaterality", "Laterality", "FrameLaterality")
    written = [_SIDE_WORDS.get(text.upper(), text.upper()) for text in written]
    return {*written, *_known(_SIDE_CODES, _anatomy_codes(header))} - {"U"}


def _views(header: Description) -> set[str]:
    coded = _known(_VIEW_CODES, header.codes("ViewCodeSequence"))
    return {*header.texts("ViewPosition"), *coded}


def view_modifiers(header: Description) -> set[str]:
    """In words, as PS3.16 CID 4015 has them."""
    views = header.items("ViewCodeSequence")
    nested = [code for view in views for code in codes(view, "ViewModifierCodeSequence")]
    return _known(_MODIFIER_CODES, (*nested, *header.codes("ViewModifierCodeSequence")))


def _anatomy_codes(header: Description) -> list[str]:
    regions = header.items("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
    own = [code for region in regions for code in texts(region, "CodeValue")]
    nested = [code for region in regions for keyword in _SIDE for code in codes(region, keyword)]
    return own + nested + header.codes(*_SIDE)


def _known(meaning: dict[str, str], codes: Collection[str]) -> set[str]:
    return {meaning[code] for code in codes if code in meaning}
