"""What a DICOM header says that the model was not made for: one rule each.

docs/scope.md has the same table, with the cautions that come from the picture itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from mammosono.appliance.intake.dicom_values import Description, texts
from mammosono.appliance.intake.dicom_view import view_modifiers
from mammosono.appliance.values import Caution, Effect, Modality

SCOPE_KEYWORDS = (
    "ImageType",
    "SeriesDescription",
    "ProtocolName",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "BreastImplantPresent",
    "PartialView",
    "PartialViewCodeSequence",
    "EstimatedRadiographicMagnificationFactor",
    "PaddleDescription",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "SpecimenDescriptionSequence",
    "UltrasoundColorDataPresent",
    "SequenceOfUltrasoundRegions",
    "DataType",
)

_MG, _US = (Modality.MG,), (Modality.US,)
_BOTH = (Modality.MG, Modality.US)

_LEAST_MAGNIFICATION = 1.2
"""A contact view has 1.0 to 1.1 by the breast's own thickness."""

# PS3.3 C.8.5.6.1.1: bits of the fourth value of Image Type.
_DOPPLER_BITS = 0x0004 | 0x0008 | 0x0010 | 0x0020 | 0x0100
_OTHER_MODE_BITS = 0x0002 | 0x0040
_TISSUE_CHARACTERISATION_BIT = 0x0200
# C.8.5.5.1.1 and .2: Region Spatial Format, Region Data Type.
_M_MODE, _SPECTRAL, _WAVEFORM = "2", "3", "4"
_FLOW_TYPES = ("2", "3", "4", "5", "6", "7")

_TISSUE_TYPES = frozenset(("ELASTICITY", "ATTENUATION", "SOUND_SPEED", "TISSUE_CHARACTERIZATION"))

_SPECIMEN_VIEWS = ("127457009", "G-8310")
_BREAST_CODES = frozenset(
    ("76752008", "T-04000", "80248007", "T-04030", "73056007", "T-04020", "63762007", "T-04080",
     "24142002", "T-04100")
)  # fmt: skip
_BREAST_WORDS = re.compile(
    "BREAST|BRST|MAM[AMO]|BRUST|SEIN|SENO|PECHO|BORST|BRYST|BROST|PIERS|NIPPLE"
)
_ANY_PART = frozenset(("", "OTHER", "UNKNOWN", "UNDEFINED", "UNSPECIFIED", "NONE", "NA", "DEFAULT",
                       "GENERAL", "US", "MG", "SMALLPART", "SMALLPARTS", "SUPERFICIAL",
                       "SOFTTISSUE", "SPECIMEN"))  # fmt: skip
_OF_THE_VIEW = ("PaddleDescription", "ImageType", "SeriesDescription")
_CONTRAST_WORDS = r"CESM|CEDM|CEM|RECOMBINED|SUBTRACTION|CEUS"
_NOTHING_GIVEN = frozenset(("", "NONE", "NO", "NA", "NATIVE", "UNKNOWN", "NOCONTRAST", "0"))


@dataclass(frozen=True, slots=True)
class Rule:
    """of: the modalities that it is asked of."""

    caution: Caution
    of: tuple[Modality, ...]
    holds: Callable[[Description], bool]


def _caution(code: str, text: str, effect: Effect = Effect.NO_NEGATIVE) -> Caution:
    said = "; a negative cannot be given." if effect is Effect.NO_NEGATIVE else "."
    return Caution(code, text + said, effect)


def cautions(header: Description, modality: Modality) -> tuple[Caution, ...]:
    """Of a header with the SCOPE_KEYWORDS and VIEW_KEYWORDS."""
    return tuple(rule.caution for rule in RULES if modality in rule.of and rule.holds(header))


def _is_magnified(header: Description) -> bool:
    factors = header.texts("EstimatedRadiographicMagnificationFactor")
    return (
        "magnified" in view_modifiers(header)
        or any(_number(factor) >= _LEAST_MAGNIFICATION for factor in factors)
        or _has_word(header, r"MAG|MAGNIFIED|MAGNIFICATION", *_OF_THE_VIEW)
    )


def _is_spot(header: Description) -> bool:
    return "spot" in view_modifiers(header) or _has_word(header, r"SPOT", *_OF_THE_VIEW)


def _is_part_of_breast(header: Description) -> bool:
    """Axillary tail, cleavage and the like: less than a standard view shows."""
    parts = {"cleavage", "axillary tail", "axillary tissue", "tangential", "anterior compression"}
    return (
        bool(parts & view_modifiers(header))
        or _says(header, "PartialView", "YES")
        or bool(header.items("PartialViewCodeSequence"))
        or bool({"AT", "CV"} & {*header.texts("ViewPosition")})
    )


def _has_implant(header: Description) -> bool:
    return _says(header, "BreastImplantPresent", "YES") or (
        "implant displaced" in view_modifiers(header)
    )


def _is_specimen(header: Description) -> bool:
    return (
        bool(set(header.codes("ViewCodeSequence")) & set(_SPECIMEN_VIEWS))
        or bool(header.items("SpecimenDescriptionSequence"))
        or _has_word(header, r"SPECIMENS?", "ImageType", "BodyPartExamined", "SeriesDescription")
    )


def _has_contrast(header: Description) -> bool:
    agents = header.texts("ContrastBolusAgent")
    return (
        any(_letters(agent) not in _NOTHING_GIVEN for agent in agents)
        or bool(header.items("ContrastBolusAgentSequence"))
        or _has_word(header, _CONTRAST_WORDS + "|CONTRAST", "ImageType")
        or _has_word(header, _CONTRAST_WORDS, "SeriesDescription")
        or _says(header, "DataType", "PERFUSION")
    )


def _is_synthesised(header: Description) -> bool:
    words = r"TOMO|TOMOSYNTHESIS|TOMO2D|GENERATED|SYNTHETIC|SYNTHESI[SZ]ED|VOLREND"
    return _has_word(header, words, "ImageType")


def _has_flow(header: Description) -> bool:
    return (
        _mode(header, _DOPPLER_BITS)
        or bool({*_regions(header, "RegionDataType")} & {*_FLOW_TYPES})
        or _SPECTRAL in _regions(header, "RegionSpatialFormat")
        or _says(header, "UltrasoundColorDataPresent", "1")
        or any(text.startswith("FLOW_") for text in header.texts("DataType"))
        or _says(header, "DataType", "TISSUE_VELOCITY")
        or _has_word(
            header, r"\w*DOPPLER\w*|CFM|CFI", "ImageType", "SeriesDescription", "ProtocolName"
        )
    )


def _is_elastogram(header: Description) -> bool:
    return (
        _mode(header, _TISSUE_CHARACTERISATION_BIT)
        or bool(_TISSUE_TYPES & {*header.texts("DataType")})
        or _has_word(
            header,
            r"\w*ELASTO?\w*|SWE|STRAIN|SHEAR|ARFI",
            "ImageType",
            "SeriesDescription",
            "ProtocolName",
        )
    )


def _is_other_mode(header: Description) -> bool:
    formats = _regions(header, "RegionSpatialFormat")
    return _mode(header, _OTHER_MODE_BITS) or _M_MODE in formats or _WAVEFORM in formats


def _is_elsewhere(header: Description) -> bool:
    """The body part is stated, and no statement of it is the breast."""
    parts = {_letters(text) for text in header.texts("BodyPartExamined")} - _ANY_PART
    regions = header.items("AnatomicRegionSequence")
    codes = [code for region in regions for code in texts(region, "CodeValue")]
    meanings = [_letters(text) for region in regions for text in texts(region, "CodeMeaning")]
    breast = _BREAST_CODES.intersection(codes) or any(
        _BREAST_WORDS.search(words) for words in (*parts, *meanings)
    )
    return bool(parts or codes) and not breast


def _mode(header: Description, bits: int) -> bool:
    # Older files write more values; the mode is the one of four hexadecimal digits.
    modes = [text for text in header.texts("ImageType") if re.fullmatch("[0-9A-Fa-f]{4}", text)]
    return any(int(mode, 16) & bits for mode in modes)


def _regions(header: Description, keyword: str) -> list[str]:
    regions = header.items("SequenceOfUltrasoundRegions")
    return [text for region in regions for text in texts(region, keyword)]


def _says(header: Description, keyword: str, value: str) -> bool:
    return any(text.upper() == value for text in header.texts(keyword))


def _has_word(header: Description, pattern: str, *keywords: str) -> bool:
    """One of these words among the values, and nobody who says that it is not so."""
    for text in header.texts(*keywords):
        words = re.split(r"[\W_]+", text.upper())
        denied = {"NO", "NOT", "WITHOUT", "OHNE", "SANS", "SIN", "SENZA", "WO"} & set(words)
        if not denied and any(re.fullmatch(pattern, word) for word in words):
            return True
    return False


def _letters(text: str) -> str:
    """Capitals, without accents."""
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in apart if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "", bare.upper())


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return 0.0


RULES = (
    Rule(
        _caution("magnified_view", "This is a magnified view, of a part of the breast"),
        _MG, _is_magnified,
    ),
    Rule(
        _caution("spot_view", "This is a spot compression view, of a part of the breast"),
        _MG, _is_spot,
    ),
    Rule(_caution("partial_view", "This view shows a part of the breast"), _MG, _is_part_of_breast),
    Rule(
        _caution("implant", "The breast has an implant, which the model does not know"),
        _BOTH, _has_implant,
    ),
    Rule(
        _caution("specimen", "This is a specimen of tissue, not a breast"), _BOTH, _is_specimen
    ),
    Rule(
        _caution("contrast", "Contrast medium was given, which the model does not know"),
        _BOTH, _has_contrast,
    ),
    Rule(
        _caution("synthesised", "The picture was made of a tomosynthesis, which the model does not "
                 "know"),
        _MG, _is_synthesised,
    ),
    Rule(_caution("doppler", "This is a Doppler image, not B-mode alone"), _US, _has_flow),
    Rule(_caution("elastogram", "This is an elastogram, not B-mode alone"), _US, _is_elastogram),
    Rule(
        _caution("other_mode", "This ultrasound is not a B-mode image alone"), _US, _is_other_mode
    ),
    Rule(
        _caution("not_breast", "The file says that it shows another part of the body"),
        _BOTH, _is_elsewhere,
    ),
)  # fmt: skip
"""In the order in which they are said."""
