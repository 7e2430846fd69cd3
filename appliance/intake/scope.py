"""What a DICOM header says that the model was not made for: one rule each.

docs/scope.md has the same table, with the cautions that come from the picture itself.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_numbers import read_number
from mammosono.appliance.intake.dicom_spacing import by_distances
from mammosono.appliance.intake.dicom_values import Description, texts
from mammosono.appliance.intake.dicom_view import laterality_and_view, view_modifiers
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
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
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
_REGION_CODES = {
    **dict.fromkeys(
        ("76752008", "T-04000", "80248007", "T-04030", "73056007", "T-04020", "63762007",
         "T-04080", "24142002", "T-04100"), "BREAST",
    ),
    **dict.fromkeys(("51185008", "816094009", "T-D3000", "78904004", "T-D3050"), "CHEST"),
    **dict.fromkeys(("91470000", "T-D8104"), "AXILLA"),
}  # fmt: skip
_BREAST = re.compile("BREAST|BRST|MAM[AMO]|BRUST|SEIN|SENO|PECHO|BORST|BRYST|BROST|PIERS|NIPPLE")
_CHEST = re.compile(r"\A(LEFT|RIGHT)?(CHEST|CHESTWALL|THORAX|TORAX|TORACE)(LEFT|RIGHT)?\Z")
_TAIL = re.compile("AXILLARYTAIL")
_AXILLA = re.compile("(?<!M)AXIL|ACHSEL|AISSELLE|ASCELLA")
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
    return (
        "magnified" in view_modifiers(header)
        or _magnification(header) >= _LEAST_MAGNIFICATION
        or _has_word(header, r"MAG|MAGNIFIED|MAGNIFICATION", *_OF_THE_VIEW)
    )


def _magnification(header: Description) -> float:
    """As stated, else by the distances; 1 where nobody can mean what is said."""
    stated = _numbers(header, "EstimatedRadiographicMagnificationFactor")
    distances = ("DistanceSourceToDetector", "DistanceSourceToPatient")
    detector, patient = (max(_numbers(header, each), default=0.0) for each in distances)
    return max(stated, default=by_distances(detector, patient))


def _numbers(header: Description, keyword: str) -> list[float]:
    read = map(read_number, header.texts(keyword))
    return [value for value in read if math.isfinite(value)]


def _is_spot(header: Description) -> bool:
    return "spot" in view_modifiers(header) or _has_word(header, r"SPOT", *_OF_THE_VIEW)


def _is_part_of_breast(header: Description) -> bool:
    """Axillary tail, cleavage and the like: less than a standard view shows. An axilla as the body
    part counts where no view is named: an oblique one shows it behind the breast."""
    parts = {"cleavage", "axillary tail", "axillary tissue", "tangential", "anterior compression"}
    return (
        bool(parts & view_modifiers(header))
        or _says(header, "PartialView", "YES")
        or bool(header.items("PartialViewCodeSequence"))
        or (_names_part(header, _AXILLA) and laterality_and_view(header)[1] is None)
    )


def _has_implant(header: Description) -> bool:
    return _says(header, "BreastImplantPresent", "YES") or (
        "implant displaced" in view_modifiers(header)
    )


def _is_specimen(header: Description) -> bool:
    views = header.items("ViewCodeSequence")
    meanings = [text for view in views for text in texts(view, "CodeMeaning")]
    return (
        bool(set(header.codes("ViewCodeSequence")) & set(_SPECIMEN_VIEWS))
        or any("SPECIMEN" in _letters(text) for text in meanings)
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


def _is_elsewhere_in_film(header: Description) -> bool:
    """A mammography unit takes no chest: some write it for the breast, and the axilla for an
    oblique view."""
    parts = _parts(header)
    return bool(parts) and not _names_part(header, _BREAST, _CHEST, _AXILLA)


def _is_elsewhere_in_echo(header: Description) -> bool:
    """An axilla is nodes, not breast; its tail is breast."""
    parts = _parts(header)
    return bool(parts) and not _names_part(header, _BREAST, _CHEST, _TAIL)


def _is_chest_in_echo(header: Description) -> bool:
    return _names_part(header, _CHEST) and not _names_part(header, _BREAST)


def _parts(header: Description) -> set[str]:
    """The body parts that are stated, in letters; a code that is not known stands for itself."""
    regions = header.items("AnatomicRegionSequence")
    return {
        *map(_letters, header.texts("BodyPartExamined")),
        *(part for region in regions for part in _region(region)),
    } - _ANY_PART


def _region(region: Dataset) -> Iterator[str]:
    for code in texts(region, "CodeValue"):
        yield _REGION_CODES.get(code, code)
    yield from map(_letters, texts(region, "CodeMeaning"))


def _names_part(header: Description, *words: re.Pattern[str]) -> bool:
    return any(each.search(part) for part in _parts(header) for each in words)


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


_NOT_BREAST = _caution("not_breast", "The file says that it shows another part of the body")
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
    Rule(_NOT_BREAST, _MG, _is_elsewhere_in_film),
    Rule(_NOT_BREAST, _US, _is_elsewhere_in_echo),
    Rule(
        _caution("chest_named", "The file says that it shows the chest; check that it is the "
                 "breast", Effect.NONE),
        _US, _is_chest_in_echo,
    ),
)  # fmt: skip
"""In the order in which they are said."""
