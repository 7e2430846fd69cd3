"""Coded concepts of the objects (PS3.16)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from mammosono.appliance.values import Label, Laterality, Modality, Verdict

PRIVATE = "99MAMMOSONO"
"""Designator of this project's own concepts."""


@dataclass(frozen=True, slots=True)
class Code:
    value: str
    scheme: str
    meaning: str

    def item(self) -> Dataset:
        """An item of a code sequence (PS3.3 8.8)."""
        item = Dataset()
        item.CodeValue = self.value
        item.CodingSchemeDesignator = self.scheme
        item.CodeMeaning = self.meaning
        return item


def dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


def sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


def own(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE, meaning)


def unit(value: str, meaning: str) -> Code:
    return Code(value, "UCUM", meaning)


PERCENT = unit("%", "percent")
MILLIMETRE = unit("mm", "mm")
SQUARE_MILLIMETRE = unit("mm2", "mm2")
MICROMETRE = unit("um", "micrometer")
PIXELS = unit("{pixels}", "Pixels")

MASS = sct("4147007", "Mass")
BREAST = sct("76752008", "Breast")
ABNORMAL = sct("49755003", "Morphologically Abnormal Structure")
FINDING_SITE = sct("363698007", "Finding Site")
LATERALITY = sct("272741003", "Laterality")
SOURCE = sct("260753009", "Source")
ARTIFICIAL_INTELLIGENCE = dcm("123110", "Artificial Intelligence")
PROBABILITY_OF_CANCER = dcm("111047", "Probability of cancer")
ENGLISH = Code("en", "RFC5646", "English")
TRACKING_IDENTIFIER = dcm("112039", "Tracking Identifier")
TRACKING_UID = dcm("112040", "Tracking Unique Identifier")
IMAGE_LIBRARY = dcm("111028", "Image Library")
IMAGE_LATERALITY = dcm("111027", "Image Laterality")
IMAGE_VIEW = dcm("111031", "Image View")
LANGUAGE = dcm("121049", "Language of Content Item and Descendants")
ALGORITHM_NAME = dcm("111001", "Algorithm Name")
ALGORITHM_VERSION = dcm("111003", "Algorithm Version")
ALGORITHM_PARAMETERS = dcm("111002", "Algorithm Parameters")
ALGORITHM_FAMILY = dcm("111000", "Algorithm Family")

SIDES = {
    Laterality.RIGHT: sct("24028007", "Right"),
    Laterality.LEFT: sct("7771000", "Left"),
}
BREASTS = {
    Laterality.RIGHT: sct("73056007", "Right breast"),
    Laterality.LEFT: sct("80248007", "Left breast"),
}
"""Of CID 6022, which Mammography CAD asks for."""

MODALITIES = {Modality.MG: dcm("MG", "Mammography"), Modality.US: dcm("US", "Ultrasound")}

VERDICTS = {
    Verdict.POSITIVE: sct("10828004", "Positive"),
    Verdict.NEGATIVE: sct("260385009", "Negative"),
    Verdict.INDETERMINATE: sct("82334004", "Indeterminate"),
}
LABELS = {
    Label.MALIGNANT: own("malignant", "Looks malignant"),
    Label.BENIGN: own("benign", "Looks benign"),
}

VIEWS = {
    "CC": sct("399162004", "cranio-caudal"),
    "MLO": sct("399368009", "medio-lateral oblique"),
    "ML": sct("399260004", "medio-lateral"),
    "LM": sct("399352003", "latero-medial"),
    "LMO": sct("399099002", "latero-medial oblique"),
    "SIO": sct("399188001", "superolateral to inferomedial oblique"),
    "ISO": sct("441555000", "inferomedial to superolateral oblique"),
    "FB": sct("399196006", "caudo-cranial (from below)"),
    "XCCL": sct("399192008", "cranio-caudal exaggerated laterally"),
    "XCCM": sct("399101009", "cranio-caudal exaggerated medially"),
}
"""By View Position (CID 4014)."""
