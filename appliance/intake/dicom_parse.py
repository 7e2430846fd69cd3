"""Parsing of a DICOM file, with a bound on the work.

pydicom goes through all that a file says it has, tens of microseconds an item; and of eight bytes
each, 16 million of them fit into a file of the size that is taken. No picture needs so many.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag

from mammosono.appliance.errors import CorruptDicom
from mammosono.appliance.intake.transfer_syntax import require_readable_transfer_syntax

_MOST_READS = 100_000  # one to three for each element, item and fragment
_LONGEST_VALUE_BYTES = 2**16  # numbers and words; the regions of an ultrasound take a few hundred
_UNDEFINED = 0xFFFFFFFF
_LEFT_BYTES = 2**20

Buffer = bytes | bytearray | memoryview
"""A whole file. A bytearray is its reader's own: it becomes the pixels, or is emptied."""

_CHARACTER_SET = Tag("SpecificCharacterSet")  # read by pydicom whether asked for or not
_PIXELS = frozenset(map(Tag, ("PixelData", "FloatPixelData", "DoubleFloatPixelData")))


def parse(data: Buffer, keywords: Collection[str], long: Collection[str] = ()) -> FileDataset:
    """The elements of these keywords, up to the pixel data, with these only if they are asked for.

    long: the keywords whose values may be of any length. One of more than a MiB is left in `data`:
    its raw element says where. Raises CorruptDicom, also if one of the
    elements is there twice, UnsupportedTransferSyntax, or whatever pydicom raises on a damaged
    file.
    """
    syntax, data_set_at = require_readable_transfer_syntax(data)
    asked = {Tag(keyword) for keyword in keywords}
    short = (asked | {_CHARACTER_SET}) - {Tag(keyword) for keyword in long}
    at_pixels = False
    seen: set[BaseTag] = set()

    def stop(tag: BaseTag, _: str | None, length: int) -> bool:
        nonlocal at_pixels
        if at_pixels:
            return True
        at_pixels = tag in _PIXELS
        if tag in short and _LONGEST_VALUE_BYTES < length < _UNDEFINED:
            raise CorruptDicom("A value of the DICOM file is too long; send it again.")
        if tag in seen:  # the parser would take the last, another program the first
            raise CorruptDicom("The DICOM file says a thing twice; send it again from its source.")
        if tag in asked:
            seen.add(tag)
        return at_pixels and tag not in asked

    file: Any = MeteredFile(data)  # of a file, what pydicom uses of one
    file.seek(data_set_at)
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    elements = read_dataset(
        file, implicit, little,
        stop_when=stop, specific_tags=list(asked), defer_size=_LEFT_BYTES,
    )  # fmt: skip
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("", elements, file_meta=meta, is_implicit_VR=implicit, is_little_endian=little)
    as_read = elements.original_encoding
    ds.set_original_encoding(as_read[0], as_read[1], elements.original_character_set)
    return ds


class MeteredFile:
    """The file, read without a copy of it. Raises CorruptDicom when it is read too often."""

    def __init__(self, data: Buffer) -> None:
        self._data, self._at, self._reads = memoryview(data), 0, 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MOST_READS:
            raise CorruptDicom("The DICOM file has too many elements; send the image alone.")
        end = len(self._data) if size is None or size < 0 else self._at + size
        found = bytes(self._data[self._at : end])
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = max(offset + (0, self._at, len(self._data))[whence], 0)
        return self._at

    def tell(self) -> int:
        return self._at
