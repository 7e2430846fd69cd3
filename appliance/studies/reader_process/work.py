"""Steps around a reading in the reader process: decode the posted files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from mammosono.appliance.errors import ImageTooLarge, IntakeError, StorageDamaged
from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.appliance.values import Modality, SourceImage


def decode(files: Iterable[StoredFile], watch: Stopwatch) -> list[SourceImage]:
    """The posted files as images. Raises IntakeError or StorageDamaged, telling of which file."""
    images = []
    number: Counter[Modality] = Counter()
    for file in files:
        number[file.modality] += 1
        name = f"{MODALITIES[file.modality].part} {number[file.modality]}"
        try:
            with watch.lap("decode"):
                images.append(read_image(_posted_bytes(file), file.modality, posted=file.posted))
        except (IntakeError, StorageDamaged) as error:
            error.args = (f"{name}: {error}",)
            raise
        except MemoryError:
            raise ImageTooLarge(
                f"{name}: it needs more memory than the appliance gives to one study; reduce it."
            ) from None
    return images


def _posted_bytes(file: StoredFile) -> bytes:
    """Raises StorageDamaged if they are not those that were posted; they may be another's."""
    try:
        data = file.path.read_bytes()
    except OSError:
        raise StorageDamaged("The stored file cannot be read; post the images again.") from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise StorageDamaged("The stored file has changed since; post the images again.")
    return data
