"""Steps around a reading in the reader process: decode the posted files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from mammosono.appliance.errors import ImageTooLarge, IntakeError, StorageDamaged
from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.save import save_image
from mammosono.appliance.pipeline.prepare import Reduced
from mammosono.appliance.pipeline.reader import ImageReader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.appliance.values import Modality, SourceImage

Reduce = Callable[[SourceImage], Reduced]
"""Of `ImageReader`."""


def decode(files: Iterable[StoredFile], reduce: Reduce, watch: Stopwatch) -> list[Reduced]:
    """The posted files as far as the networks see them: only one file's pixels are in memory.
    Raises IntakeError or StorageDamaged, telling of which file."""
    images = []
    number: Counter[Modality] = Counter()
    for file in files:
        number[file.modality] += 1
        name = f"{MODALITIES[file.modality].part} {number[file.modality]}"
        try:
            images.append(_reduced(file, reduce, watch))
        except (IntakeError, StorageDamaged) as error:
            error.args = (f"{name}: {error}",)
            raise
        except MemoryError:
            raise ImageTooLarge(
                f"{name}: it needs more memory than the appliance gives to one study; reduce it."
            ) from None
    return images


def draw(folder: Path, file: StoredFile, index: int, result: Result, reader: ImageReader) -> bool:
    """The pictures of one image of a study, by its result; False if another model is there now.

    Raises OSError, and what `decode` and the reader raise.
    """
    if result.model.sha256 != reader.model.sha256:
        return False
    image = _image(file, Stopwatch(), coarse=False)
    save_image(folder, result.reading().images[index], reader.pictures(image))
    return True


def _reduced(file: StoredFile, reduce: Reduce, watch: Stopwatch) -> Reduced:
    image = _image(file, watch, coarse=True)
    with watch.lap("frame"):
        reduced = reduce(image)
    if not reduced.too_coarse:
        return reduced
    image = _image(file, watch, coarse=False)
    with watch.lap("frame"):
        return reduce(image)


def _image(file: StoredFile, watch: Stopwatch, *, coarse: bool) -> SourceImage:
    with watch.lap("decode"):
        data = _posted_bytes(file)
        return read_image(
            data, file.modality, posted=file.posted, sha256=file.sha256, coarse=coarse
        )


def _posted_bytes(file: StoredFile) -> bytearray:
    """Raises StorageDamaged if they are not those that were posted; they may be another's."""
    try:
        with file.path.open("rb") as stored:
            data = bytearray(file.path.stat().st_size)
            count = stored.readinto(data)
    except OSError:
        raise StorageDamaged("The stored file cannot be read; post the images again.") from None
    if count != len(data) or hashlib.sha256(data).hexdigest() != file.sha256:
        raise StorageDamaged("The stored file has changed since; post the images again.")
    return data
