"""What a received DICOM file is to the node: an image to be read, one that is not, or a refusal.

Whether a picture can be read, and what it shows, is asked of the appliance's own rules for headers
(appliance/intake); here stands only which of their answers keeps an image out of a reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from mammosono.appliance.errors import IntakeError
from mammosono.appliance.identity import Identity, day_of
from mammosono.appliance.intake.dicom_header import HEADER_KEYWORDS, read_header
from mammosono.appliance.intake.dicom_identity import IDENTITY_KEYWORDS, identity
from mammosono.appliance.intake.dicom_parse import parse
from mammosono.appliance.intake.dicom_values import Description, texts
from mammosono.appliance.intake.dicom_view import VIEW_KEYWORDS, laterality_and_view
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.scope import SCOPE_KEYWORDS, cautions
from mammosono.appliance.modality import PAIR
from mammosono.appliance.values import Modality

HEAD_BYTES = 4 * 2**20
"""What is read of a file: up to the pixels, of anything but a file that hides them on purpose."""

NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
NOT_AS_SAID = 0xA900
NOT_UNDERSTOOD = 0xC000
"""C-STORE statuses (PS3.4 B.2.3)."""

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_OWN = "mammosono"

OTHER_MODALITY = "other_modality"
OWN_OBJECT = "own_object"
SECONDARY = "secondary_capture"
MULTI_FRAME = "multi_frame"
EXCLUDED = {
    OTHER_MODALITY: "neither a mammogram nor an ultrasound",
    OWN_OBJECT: "written by this software",
    SECONDARY: "a Secondary Capture, not an image of the device",
    MULTI_FRAME: "a clip or a stack of slices",
    "for_processing": "raw detector values (FOR PROCESSING)",
    "synthesised": "made of a tomosynthesis",
    "magnified_view": "a magnified view",
    "spot_view": "a spot compression view",
    "specimen": "a specimen of tissue",
    "doppler": "Doppler",
    "elastogram": "an elastogram",
    "other_mode": "ultrasound that is not a B-mode image",
    "not_breast": "another part of the body",
    "implant": "a breast with an implant",
}
"""Codes of images that are kept out of a reading, in words. They forbid no negative; an image that
should have been read and cannot, with the code of its refusal, does."""


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """What a site may decide. specimens, implants: whether such images are read (and are then never
    negative). secondary_capture: whether such objects are images, as in some archives."""

    secondary_capture: bool = False
    implants: bool = True
    specimens: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """What C-STORE says that it sends."""

    sop_class: str
    sop_instance: str


@dataclass(frozen=True, slots=True)
class Refused:
    """status: of the answer. why: one line without identity."""

    status: int
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """What pairing needs of a file; it says who the patient is, and has no repr.

    patient_id: ID and issuer, normalised. day: of the study, which all of it share; where that is
    not stated, of the image. side: "L", "R" or empty. place: series and instance
    number, for an order. reason, unread: as of pairing.Instance.
    """

    modality: Modality
    sop_instance: str
    study: str
    patient_id: tuple[str, str]
    identity: Identity
    day: date | None
    side: str
    place: str
    reason: str = ""
    unread: bool = False


_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "Modality",
    "Manufacturer",
    *IDENTITY_KEYWORDS,
    *VIEW_KEYWORDS,
    *SCOPE_KEYWORDS,
)
_LONGEST_NUMBER = 12  # of the VR IS


def admit(
    head: bytes, size: int, command: Command, rules: AdmissionRules, limits: Limits = Limits()
) -> Header | Refused:
    """head: the first HEAD_BYTES of a DICOM file of `size` bytes. Never raises on what it holds."""
    description = Description(head, _KEYWORDS)
    own_class, instance = _one(description, "SOPClassUID"), _one(description, "SOPInstanceUID")
    if not instance:
        return Refused(NOT_UNDERSTOOD, "the data set cannot be parsed")
    if (own_class, instance) != (command.sop_class, command.sop_instance):
        return Refused(NOT_AS_SAID, "the data set is another object than the command says")
    whose = identity(description.top)
    study = _one(description, "StudyInstanceUID")
    if whose.patient_id is None:
        return Refused(NOT_AS_SAID, "the data set names no patient ID")
    if not study:
        return Refused(NOT_AS_SAID, "the data set names no study")
    if not _one(description, "SeriesInstanceUID"):  # nothing that is made of it could refer to it
        return Refused(NOT_AS_SAID, "the data set names no series")
    named = _one(description, "Modality")
    known = named in {modality.value for modality in PAIR.required}
    modality = Modality(named) if known else PAIR.required[0]
    side, _ = laterality_and_view(description)
    reason, unread = _judged(description, head, size, modality, rules, limits)
    if _one(description, "Manufacturer").casefold().startswith(_OWN):
        reason, unread = OWN_OBJECT, False
    elif not known:
        reason, unread = OTHER_MODALITY, False
    return Header(
        modality=modality,
        sop_instance=instance,
        study=study,
        patient_id=whose.patient_id,
        identity=whose,
        day=day_of(_one(description, "StudyDate")) or whose.taken,
        side=side.value if side else "",
        place=".".join(_number(description, word) for word in ("SeriesNumber", "InstanceNumber")),
        reason=reason,
        unread=unread,
    )


def _judged(
    description: Description, head: bytes, size: int, modality: Modality, rules: AdmissionRules,
    limits: Limits,
) -> tuple[str, bool]:  # fmt: skip
    """Why it is not read, and whether it should have been; ("", False) for what is read."""
    if _one(description, "SOPClassUID") == SECONDARY_CAPTURE and not rules.secondary_capture:
        return SECONDARY, False
    codes = [caution.code for caution in cautions(description, modality)]
    try:
        header = read_header(parse(head, HEADER_KEYWORDS), modality)
        codes += [caution.code for caution in header.warnings]
        limits.admit_picture(header.columns, header.rows)
        limits.admit_file(size)
    except IntakeError as error:
        damage = error.code
    except Exception:  # pydicom's conversions fail in every way
        damage = "corrupt_dicom"
    else:
        damage = ""
    read_anyway = {"implant": rules.implants, "specimen": rules.specimens}
    for code in [*codes, damage]:
        if code in EXCLUDED and not read_anyway.get(code):
            return code, False
    return damage, bool(damage)


def _one(description: Description, keyword: str) -> str:
    """The value at the top level; empty if there is none, or several."""
    values = texts(description.top, keyword)
    return values[0] if len(values) == 1 else ""


def _number(description: Description, keyword: str) -> str:
    text = _one(description, keyword)
    return text.zfill(_LONGEST_NUMBER) if text.isascii() and text.isdigit() else ""
