"""Decoding of posted bytes to one upright grey picture, or one clear refusal."""

from __future__ import annotations

import hashlib

from mammosono.appliance.errors import CorruptDicom, CorruptImage, ImageTooLarge, IntakeError
from mammosono.appliance.intake.dicom import read_dicom
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.posted import as_posted
from mammosono.appliance.intake.raster import read_raster
from mammosono.appliance.intake.sniff import Format, sniff
from mammosono.appliance.values import BYTES_ALONE, Modality, Posted, SourceImage

__all__ = ["read_image"]


def read_image(
    data: bytes | bytearray,
    modality: Modality,
    limits: Limits = Limits(),
    posted: Posted = BYTES_ALONE,
    *,
    sha256: str | None = None,
    coarse: bool = False,
) -> SourceImage:
    """Decode a PNG, JPEG, TIFF or DICOM file posted as `modality`.

    data: a bytearray is given away: it becomes the pixels, or is emptied, and no copy is made.
    sha256: of `data`, if it is known. coarse: a large film of JPEG 2000 may come at half its
        resolution (see SourceImage.coarseness); all other pictures come whole.
    Pure: same bytes, same picture. Every failure is one IntakeError of appliance.errors whose
    text is one line without identity; whatever a decoder raises ends as CorruptImage or
    CorruptDicom.
    """
    limits.admit_file(len(data))
    format_ = sniff(data)
    sha256 = sha256 or hashlib.sha256(data).hexdigest()
    try:
        if format_ is Format.DICOM:
            return as_posted(read_dicom(data, modality, limits, sha256, coarse), posted)
        return as_posted(read_raster(bytes(data), format_, modality, limits, sha256), posted)
    except IntakeError:
        raise
    except MemoryError:
        raise ImageTooLarge("The picture does not fit into memory; reduce it.") from None
    # The files come from anywhere and decoders fail in every way, RecursionError included. Their
    # words may quote the file, the patient's name with it, and are dropped.
    except Exception:
        if format_ is Format.DICOM:
            raise CorruptDicom(
                "The DICOM file cannot be decoded; send it again from its source."
            ) from None
        raise CorruptImage(
            "The image cannot be decoded; export it again from its source."
        ) from None
