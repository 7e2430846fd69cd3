"""Material of the kind network: breast images of the index, phantoms, and all that is neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammosono.appliance.intake import read_image
from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.kind import CLASSES
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import Record
from mammosono.tools.kind.augment import OTHER, US
from mammosono.tools.kind.drawn import DRAWN
from mammosono.tools.kind.family import Family, Grey, stored
from mammosono.tools.kind.found import SOURCES, pictures
from mammosono.tools.kind.spoil import OF_ULTRASOUND, WAYS, spoil

PHANTOM = "phantom"
VAL = 5
"""Every so many-th picture of a family, phantom or drawing is for validation."""

JUDGED = 50_000
"""Seed of phantoms and drawings to judge on; training's begins at 40 000."""

OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """kind: index in CLASSES. name: of the hospital (the index's source) or the family. group: of
    a family, of GROUPS; else "". split: of SPLITS."""

    grey: Grey
    kind: int
    name: str
    group: str
    split: str


def breast_image(record: Record) -> Pictured:
    """Raises IntakeError or OSError if it cannot be read."""
    image = read_image(record.image.read_bytes(), record.modality)
    grey = stored(to_grey(image.pixels, image.window))
    kind = CLASSES.index(record.modality.value)
    return Pictured(grey, kind, record.source, "", record.split)


def phantoms(seeds: range) -> Iterator[Pictured]:
    """Of both modalities, with and without lesions."""
    labels = (None, Label.BENIGN, Label.MALIGNANT)
    for n, seed in enumerate(seeds):
        for modality, record in MODALITIES.items():
            height, width = record.phantom_size
            drawn = phantom(modality, seed, labels[n % 3], height=height // 2, width=width // 2)
            kind = CLASSES.index(modality.value)
            yield Pictured(stored(drawn.pixels), kind, PHANTOM, "", _split(n))


def others(each: int, seed: int, debian: Path) -> Iterator[list[Pictured]]:
    """Family by family: those that are installed, and `each` pictures of those that are drawn.

    debian: the root that Debian's packages lie under.
    """
    for source in SOURCES:
        yield _family(source.family, pictures(source, debian))
    for number, (family, draw) in enumerate(DRAWN.items()):
        rngs = (np.random.default_rng((seed, number, k)) for k in range(each))
        yield _family(family, [stored(draw(rng)) for rng in rngs])


def missing(debian: Path) -> list[str]:
    """In words, each family of which nothing is installed, and which package would bring it."""
    return [
        f"{source.family.name}: install {source.debian or source.package}"
        for source in SOURCES
        if not pictures(source, debian)
    ]


def _family(family: Family, greys: Sequence[Grey]) -> list[Pictured]:
    return [
        Pictured(grey, OTHER, family.name, family.group, _split(k)) for k, grey in enumerate(greys)
    ]


def _split(number: int) -> str:
    return "val" if number % VAL == VAL - 1 else "train"


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is drawn. phantoms: seeds, of both modalities each."""

    phantoms: int = 100
    drawn: int = 50
    seed: int = 40_000


def material(
    records: Sequence[Record], amounts: Amounts, debian: Path, on_picture: OnPicture
) -> list[Pictured]:
    """What the network learns from and is chosen on; records of the split test are passed over.

    Raises IntakeError or OSError if an image cannot be read, ValueError if a modality has none.
    """
    used = [record for record in records if record.split != "test"]
    for modality in Modality:
        for split in ("train", "val"):
            if not any(r.modality is modality and r.split == split for r in used):
                raise ValueError(f"the index holds no {split} image of {modality.value}")
    total = len(used) + 2 * amounts.phantoms + len(SOURCES) + len(DRAWN)
    found: list[Pictured] = []
    for done, some in enumerate(_one_by_one(used, amounts, debian), start=1):
        found += some
        on_picture(done, total)
    return found


def judged(records: Sequence[Record], debian: Path, on_picture: OnPicture) -> list[Pictured]:
    """What a bundle is judged on: these records, phantoms and drawings of other seeds than those
    that were trained on, all pictures that are installed, and every way of spoiling images.

    Raises IntakeError or OSError if an image cannot be read.
    """
    found: list[Pictured] = []
    for done, record in enumerate(records, start=1):
        found.append(breast_image(record))
        on_picture(done, len(records))
    found += phantoms(range(JUDGED, JUDGED + 50))
    breasts = list(found)
    for family in others(20, JUDGED, debian):
        found += family
    return [*found, *spoilt(breasts)]


def _one_by_one(
    records: Sequence[Record], amounts: Amounts, debian: Path
) -> Iterator[list[Pictured]]:
    for record in records:
        yield [breast_image(record)]
    for one in phantoms(range(amounts.seed, amounts.seed + amounts.phantoms)):
        yield [one]
    yield from others(amounts.drawn, amounts.seed, debian)


def spoilt(pictures: Sequence[Pictured]) -> list[Pictured]:
    """Every fourth of each kind of breast image in each way that a program spoils one."""
    found: list[Pictured] = []
    for kind in range(OTHER):
        own = [one for one in pictures if one.kind == kind][::4]
        for group, ways in WAYS.items():
            for way in ways:
                if kind == US or way not in OF_ULTRASOUND:
                    for number, one in enumerate(own):
                        grey = spoil(one.grey, way, np.random.default_rng((kind, number)))
                        found.append(Pictured(grey, OTHER, way, group, one.split))
    return found
