"""Exam: the images of a study, decoded from their files one at a time, and let go of."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mammosono.appliance.errors import ImageTooLarge, IntakeError, StorageDamaged
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.unread import describe_unread
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.prepare import Reduced
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.appliance.values import Modality, SourceImage, UnreadImage

_TOO_LARGE = "It needs more memory than one image may take; reduce it."

Reduce = Callable[[SourceImage], Reduced]
"""Of `ImageReader`."""


class Exam:
    """To be gone through as often as it is needed: each time the files are decoded anew, and only
    one file's pixels are in memory. A file that cannot be read is an UnreadImage in its place.

    Going through it raises StorageDamaged, which tells of which file, and at the end, if there was
    no image at all among the files, the IntakeError of the first.
    """

    def __init__(
        self, files: Sequence[StoredFile], reduce: Reduce, watch: Stopwatch,
        names: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """names: of the files, in what is raised; "mammogram 1" and so on where none are given."""
        self._files, self._reduce, self._watch = files, reduce, watch
        self._names = names or _by_place(files)

    def __iter__(self) -> Iterator[Reduced | UnreadImage]:
        refused: list[IntakeError] = []
        for file, name in zip(self._files, self._names, strict=True):
            # Not in a variable of this frame, which would hold it while the next one is decoded.
            yield self._reduced(file, name, refused)
        if refused and len(refused) == len(self._files):
            raise _of_all(refused)

    def _reduced(
        self, file: StoredFile, name: str, refused: list[IntakeError]
    ) -> Reduced | UnreadImage:
        try:
            seen = self._seen(file, name, coarse=True)
            return self._seen(file, name, coarse=False) if seen.too_coarse else seen
        except IntakeError as error:
            why = type(error)(str(error))  # without its frames, which hold what was decoded
        except MemoryError:
            why = ImageTooLarge(_TOO_LARGE)
        refused.append(type(why)(f"{name}: {why}"))
        return _unread(file, name, why)

    def _seen(self, file: StoredFile, name: str, *, coarse: bool) -> Reduced:
        with self._watch.lap("decode"):
            image = decoded(file, name, coarse=coarse)
        with self._watch.lap("frame"):
            return self._reduce(image)


def decoded(file: StoredFile, name: str, *, coarse: bool = False) -> SourceImage:
    """The image of a posted file. name: of the file, in a StorageDamaged. coarse: as of
    `read_image`.

    Raises IntakeError and StorageDamaged.
    """
    data = _posted_bytes(file, name)
    return read_image(data, file.modality, posted=file.posted, sha256=file.sha256, coarse=coarse)


def _unread(file: StoredFile, name: str, error: IntakeError) -> UnreadImage:
    """By the file's bytes, which are read again: the decoder was given the others."""
    try:
        data = bytes(_posted_bytes(file, name))
    except IntakeError:
        data = b""
    return describe_unread(data, file.modality, file.posted, file.sha256, error)


def _by_place(files: Sequence[StoredFile]) -> list[str]:
    number: Counter[Modality] = Counter()
    names = []
    for file in files:
        number[file.modality] += 1
        names.append(f"{MODALITIES[file.modality].part} {number[file.modality]}")
    return names


def _of_all(refused: Sequence[IntakeError]) -> IntakeError:
    first = refused[0]
    if len(refused) == 1:
        return first
    return type(first)(f"{first} None of the {len(refused)} images can be read.")


def _posted_bytes(file: StoredFile, name: str) -> bytearray:
    """Raises IntakeError, or StorageDamaged if they are not those that were posted; they may be
    another's."""
    try:
        if size := file.path.stat().st_size:
            Limits().admit_file(size)  # before its bytes are in memory
        data = bytearray(size)
        with file.path.open("rb") as stored:
            count = stored.readinto(data)
    except OSError:
        raise StorageDamaged(
            f"{name}: The stored file cannot be read; post the images again."
        ) from None
    except MemoryError:
        raise ImageTooLarge(_TOO_LARGE) from None
    if count != size or hashlib.sha256(data).hexdigest() != file.sha256:
        raise StorageDamaged(f"{name}: The stored file has changed since; post the images again.")
    return data
