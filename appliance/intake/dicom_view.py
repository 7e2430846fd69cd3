"""Which breast an image shows, and in which projection (PS3.3 C.8.11.7, PS3.16 CID 4014, 4015)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_values import Description, items, texts
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
    "PatientOrientation",
)

VIEWS = frozenset(
    ("CC", "MLO", "ML", "LM", "LMO", "SIO", "ISO", "FB", "XCC", "XCCL", "XCCM", "AT", "CV", "RM")
)


@dataclass(frozen=True, slots=True)
class _Term:
    """word: what it is called here. codes: of SNOMED CT and of the older SNOMED RT. meaning: how
    people write it out, of capital words without accents. short: in View Position, before a view,
    behind it or alone."""

    word: str
    codes: tuple[str, str]
    meaning: str
    short: tuple[str, ...] = ()


_VIEW_TERMS = (
    _Term("CC", ("399162004", "R-10242"), r"CRANIO ?CAUDAL"),
    _Term("MLO", ("399368009", "R-10226"), r"MEDI(O|AL) ?LATERAL ?OBLIQUE"),
    _Term("ML", ("399260004", "R-10224"), r"MEDI(O|AL) ?LATERAL"),
    _Term("LM", ("399352003", "R-10228"), r"LATER(O|AL) ?MEDIAL"),
    _Term("LMO", ("399099002", "R-10230"), r"LATER(O|AL) ?MEDIAL ?OBLIQUE"),
    _Term("SIO", ("399188001", "R-102D0"), r"SUPEROLATERAL TO INFEROMEDIAL OBLIQUE"),
    _Term("ISO", ("441555000", "R-40AAA"), r"INFEROMEDIAL TO SUPEROLATERAL OBLIQUE"),
    _Term("FB", ("399196006", "R-10244"), r"CAUDO ?CRANIAL|FROM BELOW"),
    _Term("XCCL", ("399192008", "R-1024A"), r"CRANIO ?CAUDAL EXAGGERATED LATERAL(LY)?"),
    _Term("XCCM", ("399101009", "R-1024B"), r"CRANIO ?CAUDAL EXAGGERATED MEDIAL(LY)?"),
)
# ID is a view with the implant pushed back (Eklund), not a magnified one.
_MODIFIER_TERMS = (
    _Term("magnified", ("399163009", "R-102D6"),
          r"MAG(N|NIFI\w*)?|VERGROSS\w*|AGRANDI\w*|AMPLIA\w*", ("M", "MAG", "MAGN")),
    _Term("spot", ("399055006", "R-102D7"), r"SPOT|CONED?", ("S", "SPOT")),
    _Term("implant displaced", ("399209000", "R-102D5"),
          r"IMPLANTS? DISPLACED|DISPLACED IMPLANTS?|EKLUND|PUSH ?BACK", ("ID",)),
    _Term("cleavage", ("399161006", "R-102D2"), r"CLEAVAGE", ("CV",)),
    _Term("axillary tail", ("399011000", "R-102D1"), r"AXILLARY TAIL", ("AT",)),
    _Term("axillary tissue", ("442580003", "R-40AB2"), r"AXILLARY TISSUE|AXILLA", ("AX", "AXILLA")),
    _Term("rolled lateral", ("399197002", "R-102D3"), r"ROLLED LATERAL(LY)?", ("RL",)),
    _Term("rolled medial", ("399226006", "R-102D4"), r"ROLLED MEDIAL(LY)?", ("RM",)),
    _Term("rolled inferior", ("414493004", "R-102CA"), r"ROLLED INFERIOR(LY)?", ("RI",)),
    _Term("rolled superior", ("415670009", "R-102C9"), r"ROLLED SUPERIOR(LY)?", ("RS",)),
    _Term("tangential", ("399110001", "R-102C2"), r"TANG(ENTIAL)?", ("TAN", "TANG")),
    _Term("nipple in profile", ("442581004", "R-40AB3"), r"NIPPLE IN PROFILE", ("NP",)),
    _Term("anterior compression", ("441752004", "P2-00161"), r"ANTERIOR COMPRESSION", ("AC",)),
    _Term("infra-mammary fold", ("442593008", "R-40ABE"), r"INFRA ?MAMMARY FOLD", ("IMF",)),
)  # fmt: skip
# Modifiers of a view that still shows the whole breast.
_WHOLE = ("nipple in profile", "infra-mammary fold")

_SHORT = {short: term.word for term in _MODIFIER_TERMS for short in term.short}
_SHORTS = re.compile("|".join(sorted(_SHORT, key=len, reverse=True)))
# Of a view that may have modifiers around it, as in MCC or CCID.
_BODIES = tuple(sorted(VIEWS - _SHORT.keys(), key=len, reverse=True))
_DIRECTION = re.compile("[APRLHF]{1,3}")
_WITH_SIDE = re.compile(r"\b(L|R|LEFT|RIGHT)(?=(CC|MLO)?\b)")
"""In View Position, as in RMLO or "R MLO"."""
_OF_A_PICTURE = re.compile(r" (VIEW|PROJECTION)\Z")

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
    said = (*_WHOLE, _SHORT.get(view or ""))
    more = [each for each in sorted(view_modifiers(header)) if each not in said]
    side = sides.pop() if len(sides) == 1 else None
    return (
        Laterality(side) if side in ("R", "L") else None,
        " ".join((view, *more)) if view in VIEWS else None,
    )


def contradicts_itself(header: Description) -> bool:
    """Whether it names the right breast and the left one, or two views."""
    return {"R", "L"} <= _sides(header) or len(_views(header) & VIEWS) > 1


def _below(header: Description) -> str:
    """Whither the columns run (PS3.3 C.7.6.1.1.1): of A, P, R, L, H, F; "" if not stated so."""
    stated = [text.upper() for text in texts(header.top, "PatientOrientation")]
    known = len(stated) == 2 and all(_DIRECTION.fullmatch(text) for text in stated)
    return stated[1] if known else ""


def lies_unusually(header: Description) -> bool:
    """Whether what is below in a cranio-caudal picture is the outer half of the breast that it is
    said to be: it lies upside down or mirrored, or is of the other breast."""
    side, view = laterality_and_view(header)
    return side is not None and view in (None, "CC") and _below(header) == side.value


def _side_by_orientation(header: Description) -> set[str]:
    """Of an oblique view: its plane runs inwards and down, or outwards and up, however the picture
    is turned."""
    down = _below(header)
    across = {"R", "L"} & {*down}
    if _views(header) != {"MLO"} or len(across) != 1 or not {"H", "F"} & {*down}:
        return set()
    return across if "H" in down else {"R", "L"} - across


def _sides(header: Description) -> set[str]:
    written = header.texts("ImageLaterality", "Laterality", "FrameLaterality")
    written = [_SIDE_WORDS.get(text.upper(), text.upper()) for text in written]
    stated = [_letters_and_digits(text) for text in header.texts("ViewPosition")]
    written += [match[1][0] for text in stated for match in _WITH_SIDE.finditer(text)]
    said = {*written, *_anatomy_sides(header)} - {"U"}
    # It names no side by itself, but may contradict one.
    return said | _side_by_orientation(header) if said else said


def _views(header: Description) -> set[str]:
    # Anonymised sets write the view where the orientation belongs.
    views = [text for text in header.texts("PatientOrientation") if text.upper() in VIEWS]
    stated = (*header.texts("ViewPosition"), *views)
    written = {view for text in stated for view in _position(text)[0]}
    return written | {word for item in header.items("ViewCodeSequence") for word in _views_of(item)}


def view_modifiers(header: Description) -> set[str]:
    """In words, as PS3.16 CID 4015 has them: by their codes, by what is written beside a code that
    is not known or missing, and by View Position."""
    views = header.items("ViewCodeSequence")
    nested = [item for view in views for item in items(view, "ViewModifierCodeSequence")]
    said = (*views, *nested, *header.items("ViewModifierCodeSequence"))
    coded = {word for item in said for word in _modifiers_of(item)}
    return coded.union(*(_position(text)[1] for text in header.texts("ViewPosition")))


def _views_of(item: Dataset) -> Iterator[str]:
    """At most one."""
    coded = _coded(item)
    if not coded & _CODED:
        meanings = [_OF_A_PICTURE.sub("", _words(text)) for text in texts(item, "CodeMeaning")]
        yield from (
            term.word
            for term in _VIEW_TERMS
            if any(re.fullmatch(f"{term.word}|{term.meaning}", text) for text in meanings)
        )
    yield from (term.word for term in _VIEW_TERMS if coded.intersection(term.codes))


def _modifiers_of(item: Dataset) -> Iterator[str]:
    coded = _coded(item)
    meanings = [] if coded & _CODED else [_words(text) for text in texts(item, "CodeMeaning")]
    for term in _MODIFIER_TERMS:
        written = any(re.search(rf"\b({term.meaning})\b", text) for text in meanings)
        if written or coded.intersection(term.codes):
            yield term.word


def _coded(item: Dataset) -> set[str]:
    return {*texts(item, "CodeValue")}


_CODED = frozenset(code for term in (*_VIEW_TERMS, *_MODIFIER_TERMS) for code in term.codes)


def _position(text: str) -> tuple[set[str], set[str]]:
    """Views and modifiers of a View Position, such as CC, MCC, CCID, "MLO SPOT", TAN. What has a
    word that is not known is a view that is not known, whatever modifiers it names."""
    views: set[str] = set()
    modifiers: set[str] = set()
    for token in _WITH_SIDE.sub("", _letters_and_digits(text)).split():
        if token in VIEWS or token in _SHORT:
            views |= {token} & VIEWS
            modifiers |= {_SHORT[token]} if token in _SHORT else set()
            continue
        around = [(view, said) for view in _BODIES for said in _around(view, token)]
        modifiers = modifiers.union(*(said for _, said in around))
        named = {view for view, _ in around}
        views |= named if len(named) == 1 else {text}
    return ({text} if len(views) > 1 else views), modifiers


def _around(view: str, token: str) -> Iterator[set[str]]:
    """The modifiers before and behind the view in a token of nothing else."""
    for match in re.finditer(f"(?={view})", token):
        parts = token[: match.start()], token[match.start() + len(view) :]
        found = [_SHORTS.findall(part) for part in parts]
        if all("".join(shorts) == part for shorts, part in zip(found, parts, strict=True)):
            yield {_SHORT[short] for shorts in found for short in shorts}


def _letters_and_digits(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.upper())


def _words(text: str) -> str:
    """Capital words without accents, one blank between two."""
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[^\W\d_]+", bare.upper()))


def _anatomy_sides(header: Description) -> set[str]:
    """By code, else by meaning: Left, Right breast."""
    regions = header.items("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
    nested = [item for region in regions for keyword in _SIDE for item in items(region, keyword)]
    said = set()
    for item in (*regions, *nested, *header.items(*_SIDE)):
        coded = {_SIDE_CODES[code] for code in _coded(item) & _SIDE_CODES.keys()}
        written = [_words(text).removesuffix(" BREAST") for text in texts(item, "CodeMeaning")]
        said |= coded or {_SIDE_WORDS[text] for text in written if text in _SIDE_WORDS}
    return said
