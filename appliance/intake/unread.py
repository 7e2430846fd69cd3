"""What can still be said of a file that cannot be read as an image."""

from __future__ import annotations

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from mammosono.appliance.errors import IntakeError, UnsupportedTransferSyntax
from mammosono.appliance.intake.dicom_identity import IDENTITY_KEYWORDS, identity
from mammosono.appliance.intake.dicom_values import Description
from mammosono.appliance.intake.dicom_view import (
    VIEW_KEYWORDS,
    contradicts_itself,
    laterality_and_view,
)
from mammosono.appliance.intake.posted import CONTRADICTED, as_posted
from mammosono.appliance.intake.sniff import Format, sniff
from mammosono.appliance.intake.transfer_syntax import transfer_syntax_uid
from mammosono.appliance.values import Modality, Posted, SourceImage, UnreadImage

_HEADER_BYTES = 2**20
_NO_PICTURE = np.zeros((1, 1), np.uint8)


def describe_unread(
    data: bytes, modality: Modality, posted: Posted, sha256: str, error: IntakeError
) -> UnreadImage:
    """The file by its name, and by its side, view and patient as far as header, form and file name
    tell: these count for the study though its pixels do not. Never raises."""
    known = SourceImage(modality, _NO_PICTURE, 8, (0, 255), None, sha256)
    try:
        if sniff(data) is Format.DICOM:
            coded = isinstance(error, UnsupportedTransferSyntax)
            known = _by_header(_uncoded(data) if coded else data, known)
    except Exception:  # damaged: nothing is known of it
        pass
    return unread_image(as_posted(known, posted), error)


def unread_image(image: SourceImage, error: IntakeError, index: int = 0) -> UnreadImage:
    """The image as one that was not read."""
    return UnreadImage(
        image.modality, image.sha256, (str(error),), (error.code,), index, image.laterality,
        image.view, image.laterality_from, image.view_from, image.name, image.identity,
    )  # fmt: skip


def _uncoded(data: bytes) -> bytes:
    """The begin of a file in a compression that is not read, for its header: that is explicit VR
    little endian in every one of them (PS3.5 A.4), but where it is compressed as well."""
    _, at = transfer_syntax_uid(data)
    syntax = b"\x02\0\x10\0UI\x14\0" + ExplicitVRLittleEndian.encode() + b"\0"
    return data[:132] + syntax + data[at : at + _HEADER_BYTES]


def _by_header(data: bytes, known: SourceImage) -> SourceImage:
    header = Description(data, (*IDENTITY_KEYWORDS, *VIEW_KEYWORDS))
    laterality, view = laterality_and_view(header)
    return SourceImage(
        known.modality, known.pixels, known.bits, known.window, None, known.sha256,
        (CONTRADICTED,) if contradicts_itself(header) else (),
        laterality, view, identity(header.top),
    )  # fmt: skip
