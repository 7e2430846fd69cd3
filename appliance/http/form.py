"""Multipart form of a study: a part for each image, named as its modality; study_id; laterality and
view, once for all images or once for each, in the order in which they are posted; nothing else.

The bytes of an image go from the socket to a file of the spool, hashed on the way, in a thread; no
more is received before they are written. The file name that a client sends is only shown.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mammosono.appliance.errors import (
    EmptyFile,
    InvalidField,
    InvalidStudyId,
    MalformedRequest,
    NoImages,
    TooManyImages,
    UnknownPart,
    UnsupportedContentEncoding,
    UnsupportedContentType,
)
from mammosono.appliance.http.pace import paced
from mammosono.appliance.http.threads import in_thread
from mammosono.appliance.intake.file_name import cleaned
from mammosono.appliance.intake.posted import lateralities, views
from mammosono.appliance.modality import BY_PART
from mammosono.appliance.studies.spool import Upload
from mammosono.appliance.studies.spool.files import disk_errors
from mammosono.appliance.values import Laterality, Posted

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


# "." and ".." are taken out of a URL by every client, so nobody could ask for such a study.
STUDY_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}")
MAX_FIELD_BYTES = 256
"""More than any field takes: a longer one is refused by its form, not by its size."""
MAX_NAME_BYTES = 4096


@dataclass(frozen=True, slots=True)
class StudyForm:
    """uploads: mammograms, then ultrasound images, each in the order posted."""

    study_id: str | None
    uploads: tuple[Upload, ...]


async def read_form(request: Request, folder: Path, max_images: int) -> StudyForm:
    """Read the request's body as a study; its images, of each modality at most `max_images`, become
    files in `folder`.

    Raises StudyError, EmptyFile, StorageFull or StorageFailed, each with the reason.
    """
    parts = _Parts(folder, max_images)
    try:
        return await _read(request, parts)
    finally:
        await in_thread(parts.close)


async def _read(request: Request, parts: _Parts) -> StudyForm:
    size = 0
    try:
        # The parser bounds what precedes a part's data: 8 headers of 4 KiB, boundary 256.
        parser = MultipartParser(_boundary(request), parts.callbacks())
        async for chunk in paced(request.stream()):
            size += len(chunk)
            await in_thread(parser.write, chunk)
    except FormParserError:
        raise MalformedRequest(
            "The multipart body cannot be parsed; check how it is built."
        ) from None
    except ClientDisconnect:
        # The client is gone; this answer only ends the request.
        raise MalformedRequest("The client went away before the request was complete.") from None
    if size == 0:
        raise EmptyFile("The request has no body; post at least one image.")
    return parts.form()


def _boundary(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedContentEncoding("Send the request body without Content-Encoding.")
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise UnsupportedContentType("Send the images as multipart/form-data.")
    if b"boundary" not in options:
        raise MalformedRequest("The Content-Type lacks the multipart boundary.")
    return options[b"boundary"]


class _Parts:
    """Gathers from a multipart parser what belongs to a study.

    A part that does not belong is refused when its header has arrived, before its data.
    """

    def __init__(self, folder: Path, max_images: int) -> None:
        self._folder, self._max_images = folder, max_images
        self._file: IO[bytes] | None = None
        self._files: dict[str, list[Upload]] = {name: [] for name in BY_PART}
        self._fields: dict[str, list[str]] = {"study_id": [], "laterality": [], "view": []}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._name = ""
        self._file_name: str | None = None
        self._field = bytearray()
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._complete = False

    def close(self) -> None:
        """Close the file of a part that never ended."""
        if self._file is not None:
            self._file.close()

    def callbacks(self) -> MultipartCallbacks:
        """For the parser, which is not kept here: the two in a ring would hold the images until
        the garbage collector comes round.
        """
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_text,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def form(self) -> StudyForm:
        """The study. Raises MalformedRequest if the body was cut off, or NoImages."""
        if not self._complete:
            # Without this a body cut off in its second image would be read as a study of one.
            raise MalformedRequest("The multipart body ends before its closing boundary.")
        uploads = tuple(upload for files in self._files.values() for upload in files)
        if not uploads:
            raise NoImages(f"Post at least one {' or '.join(BY_PART)} image.")
        sides = lateralities(self._fields["laterality"], len(uploads))
        seen = views(self._fields["view"], len(uploads))
        return StudyForm(
            next(iter(self._fields["study_id"]), None),
            tuple(_with(upload, sides, seen) for upload in uploads),
        )

    def _part_begin(self) -> None:
        self._disposition = b""
        self._field = bytearray()
        self._size = 0
        self._sha256 = hashlib.sha256()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_text(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("latin-1")
        sent = options.get(b"filename", b"")[:MAX_NAME_BYTES]
        self._file_name = cleaned(sent.decode("utf-8", "replace"))
        if self._name in self._files:
            if len(self._files[self._name]) == self._max_images:
                raise TooManyImages(
                    f"Post at most {self._max_images} images as {self._name}: leave out what shows "
                    "the same."
                )
            number = sum(len(files) for files in self._files.values())
            with disk_errors():
                self._file = open(self._folder / str(number), "xb", opener=_own)  # noqa: SIM115
        elif self._name not in self._fields:
            raise UnknownPart(f"Name each part {', '.join((*BY_PART, *self._fields))}.")
        elif self._name == "study_id" and self._fields["study_id"]:
            raise UnknownPart("Send study_id once.")
        elif len(self._fields[self._name]) == len(BY_PART) * self._max_images:
            raise InvalidField(f"Send {self._name} once for each image.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        piece = memoryview(data)[start:end]
        if self._file is None:
            self._field += piece
            if len(self._field) > MAX_FIELD_BYTES:
                self._refuse_field()
        else:
            self._size += len(piece)
            self._sha256.update(piece)
            with disk_errors():
                self._file.write(piece)

    def _part_end(self) -> None:
        if self._file is None:
            value = self._field.decode("latin-1")
            if self._name == "study_id" and not STUDY_ID.fullmatch(value):
                self._refuse_field()
            self._fields[self._name].append(value)
            return
        with disk_errors():
            self._file.close()
        upload = Upload(
            BY_PART[self._name],
            Path(self._file.name),
            self._sha256.hexdigest(),
            self._size,
            Posted(self._file_name),
        )
        self._files[self._name].append(upload)
        self._file = None

    def _end(self) -> None:
        self._complete = True

    def _refuse_field(self) -> NoReturn:
        if self._name == "study_id":
            raise InvalidStudyId("Use 1 to 64 of the characters A-Z a-z 0-9 . _ - as study_id.")
        raise InvalidField(f"The {self._name} is too long; send a word of DICOM.")


def _own(path: str, flags: int) -> int:
    """Opener of a new file that is nobody else's."""
    return os.open(path, flags, 0o600)


def _with(upload: Upload, sides: Sequence[Laterality | None], seen: Sequence[str | None]) -> Upload:
    order = int(upload.path.name)
    return replace(upload, posted=replace(upload.posted, laterality=sides[order], view=seen[order]))
