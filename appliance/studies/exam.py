"""Exam: the images of a study, decoded from their files one at a time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

from mammosono.appliance.errors import ImageTooLarge, IntakeError, StorageDamaged
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.intake.unread import describe_unread
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.appliance.values import Modality, SourceImage, UnreadImage


class Exam:
    """To be gone through as often as it is needed: each time the files are decoded anew, one at a
    time, and none is kept. A file that cannot be read is an UnreadImage in its place.

    Going through it raises StorageDamaged, which tells of which file, and at the end, if there was
    no image at all among the files, the IntakeError of the first.
    """

    def __init__(
        self, files: Sequence[StoredFile], watch: Stopwatch, names: Sequence[str] | None = None
    ) -> None:
        """names: of the files, in what is raised; "mammogram 1" and so on where none are given."""
        self._files, self._watch = files, watch
        self._names = names or _by_place(files)

    def __iter__(self) -> Iterator[SourceImage | UnreadImage]:
        refused: list[IntakeError] = []
        for file, name in zip(self._files, self._names, strict=True):
            # Not in a variable of this frame, which would hold it while the next one is decoded.
            yield self._decoded(file, name, refused)
        if refused and len(refused) == len(self._files):
            raise _of_all(refused)

    def _decoded(
        self, file: StoredFile, name: str, refused: list[IntakeError]
    ) -> SourceImage | UnreadImage:
        data = b""
        try:
            with self._watch.lap("decode"):
                data = _posted_bytes(file, name)
                return read_image(data, file.modality, posted=file.posted)
        except IntakeError as error:
            refused.append(type(error)(f"{name}: {error}"))
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


def _posted_bytes(file: StoredFile, name: str) -> bytes:
    """Raises IntakeError, or StorageDamaged if they are not those that were posted; they may be
    another's."""
    try:
        if size := file.path.stat().st_size:
            Limits().admit_file(size)  # before its bytes are in memory
        data = file.path.read_bytes()
    except OSError:
        raise StorageDamaged(
            f"{name}: The stored file cannot be read; post the images again."
        ) from None
    except MemoryError:
        raise ImageTooLarge("It needs more memory than one image may take; reduce it.") from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise StorageDamaged(f"{name}: The stored file has changed since; post the images again.")
    return data
