"""Steps around a reading in the reader process: decode the posted files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from mammosono.appliance.errors import ImageTooLarge, IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.values import Modality, SourceImage


def decode(files: Iterable[tuple[Modality, Path]], watch: Stopwatch) -> list[SourceImage]:
    """The posted files as images. Raises IntakeError, telling which file it was."""
    images = []
    number: Counter[Modality] = Counter()
    for modality, path in files:
        number[modality] += 1
        name = f"{MODALITIES[modality].part} {number[modality]}"
        try:
            with watch.lap("decode"):
                images.append(read_image(path.read_bytes(), modality))
        except IntakeError as error:
            error.args = (f"{name}: {error}",)
            raise
        except MemoryError:
            raise ImageTooLarge(
                f"{name}: it needs more memory than the appliance gives to one study; reduce it."
            ) from None
    return images
