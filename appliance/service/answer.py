"""From posted bytes to the answer: decode, read, document. Runs on the reading thread."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from appliance.errors import IntakeError
from appliance.intake import read_image
from appliance.result import result_document
from appliance.service.form import MODALITY_OF_PART, Upload
from appliance.values import Modality, ModelInfo, Reading, SourceImage

PART_OF_MODALITY = {modality: part for part, modality in MODALITY_OF_PART.items()}


class StudyReader(Protocol):
    """What the service needs of appliance.reader.Reader."""

    @property
    def model(self) -> ModelInfo: ...

    def read(self, images: Sequence[SourceImage]) -> Reading: ...

    def close(self) -> None: ...


def answer(reader: StudyReader, study_id: str, uploads: Sequence[Upload]) -> tuple[Reading, bytes]:
    """Read the uploads as one study; the reading, and its result document as UTF-8 JSON.

    Raises IntakeError, telling which file it was, or ModelFault.
    """
    reading = reader.read(_decode(uploads))
    # JSON has no NaN: a score that is not a number must fail here, not reach a client.
    document = result_document(study_id, reading)
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return reading, text.encode()


def _decode(uploads: Sequence[Upload]) -> list[SourceImage]:
    images = []
    number: Counter[Modality] = Counter()
    for upload in uploads:
        number[upload.modality] += 1
        try:
            images.append(read_image(upload.data, upload.modality))
        except IntakeError as error:
            part = PART_OF_MODALITY[upload.modality]
            error.args = (f"{part} {number[upload.modality]}: {error}",)
            raise
    return images
