"""Parsing of a DICOM file, with a bound on the work.

pydicom goes through all that a file says it has, tens of microseconds an item; and of eight bytes
each, 16 million of them fit into a file of the size that is taken. No picture needs so many.
"""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO

from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from mammosono.appliance.errors import CorruptDicom

_MOST_READS = 100_000  # one to three for each element, item and fragment
_LONGEST_VALUE_BYTES = 2**16  # numbers and words; the regions of an ultrasound take a few hundred
_UNDEFINED = 0xFFFFFFFF

_CHARACTER_SET = Tag("SpecificCharacterSet")  # read by pydicom whether asked for or not
_PIXELS = frozenset(map(Tag, ("PixelData", "FloatPixelData", "DoubleFloatPixelData")))


def parse(data: bytes, keywords: Collection[str], long: Collection[str] = ()) -> FileDataset:
    """The elements of these keywords, up to the pixel data, with these only if they are asked for.

    long: the keywords whose values may be of any length. Raises CorruptDicom, or whatever pydicom
    raises on a damaged file.
    """
    asked = {Tag(keyword) for keyword in keywords}
    short = (asked | {_CHARACTER_SET}) - {Tag(keyword) for keyword in long}
    at_pixels = False

    def stop(tag: BaseTag, _: str | None, length: int) -> bool:
        nonlocal at_pixels
        if at_pixels:
            return True
        at_pixels = tag in _PIXELS
        if tag in short and _LONGEST_VALUE_BYTES < length < _UNDEFINED:
            raise CorruptDicom("A value of the DICOM file is too long; send it again.")
        return at_pixels and tag not in asked

    return read_partial(_Metered(data), stop, specific_tags=list(asked))


class _Metered(BytesIO):
    """Raises CorruptDicom when it is read too often."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MOST_READS:
            raise CorruptDicom("The DICOM file has too many elements; send the image alone.")
        return super().read(size)
