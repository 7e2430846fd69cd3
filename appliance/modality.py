"""Modalities as records, and the study protocol: which modalities a study must hold.

What is said of a modality is said here: its words, where its pixels come from, how it is framed.
Code asks the record (docs/adr/0016-modality-and-protocol.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from mammosono.appliance.values import Modality


class Physics(Enum):
    """Imaging physics; it determines the noise and where a file states the pixel spacing."""

    PROJECTION = "x-rays counted on a detector: Poisson noise, raw or processed, spacing of its own"
    ECHO = "sound scattered back: speckle, regions with a calibration each, colour where flow is"


@dataclass(frozen=True, slots=True)
class ModalityRecord:
    """One modality.

    part: its name in the HTTP form, in sentences, in an index of images and as a file's name.
    plural: several of them, in sentences.
    aliases: further words for it in names of files, lower case.
    cropped: an image is cropped to the breast before it is scaled to the network's canvas.
    plausible_mm: least and greatest pixel spacing that is believed of a file.
    phantom_size: (height, width) in px of a phantom of it.
    """

    modality: Modality
    part: str
    plural: str
    aliases: tuple[str, ...]
    physics: Physics
    cropped: bool
    plausible_mm: tuple[float, float]
    phantom_size: tuple[int, int]

    @property
    def title(self) -> str:
        return self.part.capitalize()


MAMMOGRAPHY = ModalityRecord(
    modality=Modality.MG,
    part="mammogram",
    plural="mammograms",
    aliases=("mg", "mammo"),
    physics=Physics.PROJECTION,
    cropped=True,
    plausible_mm=(0.005, 5.0),
    phantom_size=(1024, 640),
)
ULTRASOUND = ModalityRecord(
    modality=Modality.US,
    part="ultrasound",
    plural="ultrasound",
    aliases=("us", "sono"),
    physics=Physics.ECHO,
    cropped=False,
    plausible_mm=(0.005, 5.0),
    phantom_size=(480, 560),
)

MODALITIES: Mapping[Modality, ModalityRecord] = MappingProxyType(
    {record.modality: record for record in (MAMMOGRAPHY, ULTRASOUND)}
)
"""By modality, in the order in which they are shown."""

BY_PART: Mapping[str, Modality] = MappingProxyType(
    {record.part: modality for modality, record in MODALITIES.items()}
)


@dataclass(frozen=True, slots=True)
class StudyProtocol:
    """Which modalities a study must hold before it can be negative, in the order they are named."""

    required: tuple[Modality, ...]

    def missing(self, given: Collection[Modality]) -> tuple[Modality, ...]:
        """The required modalities that are not among those given."""
        return tuple(modality for modality in self.required if modality not in given)


PAIR = StudyProtocol((Modality.MG, Modality.US))
"""A mammogram and an ultrasound: the protocol of the paper, and the default."""
