"""Whether the images of a study belong together: one patient, each image once, the same breasts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from mammosono.appliance.errors import PatientsDiffer, RepeatedImage
from mammosono.appliance.identity import (
    Agreement,
    Identity,
    compare,
    under_two_ids,
    under_two_issuers,
)
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.pipeline.likeness import likeness, near, same
from mammosono.appliance.values import Caution, Effect, Modality, SourceImage

MOST_DAYS_APART = 180
"""Between the images of one study."""

PATIENT_UNCONFIRMED = Caution(
    "patient_unconfirmed",
    "Not every image says whose it is; check that all of them are of one patient.",
)
IDS_DIFFER = Caution(
    "ids_differ",
    "Two images have one name and birth date and two patient IDs; check that they are of one "
    "patient.",
)
ISSUERS_DIFFER = Caution(
    "issuers_differ",
    "Two images have patient IDs of two issuers, and nothing tells that they are of one patient; a "
    "negative cannot be given.",
    Effect.NO_NEGATIVE,
)
SIDES_DIFFER = Caution(
    "sides_differ",
    "The mammogram shows one breast and the ultrasound the other; a negative cannot be given.",
    Effect.NO_NEGATIVE,
)
SIMILAR_IMAGES = Caution(
    "similar_images",
    "Two images look like one picture saved twice; check that each was meant.",
)
DAYS_APART = Caution(
    "days_apart",
    f"The images were taken more than {MOST_DAYS_APART} days apart; check that they belong to one "
    "study.",
)


def study_cautions(images: Sequence[SourceImage]) -> tuple[Caution, ...]:
    """On the study as a whole.

    Raises PatientsDiffer if two images name two patients, RepeatedImage if two are the same; who
    they are of is not said.
    """
    similar = _similar(images)
    identities = [image.identity for image in images]
    if any(compare(a, b) is Agreement.DIFFERENT for a, b in combinations(identities, 2)):
        raise PatientsDiffer(
            "The files name two patients; post the images of one patient as a study."
        )
    named = any(identity.known for identity in identities)
    days = [identity.taken for identity in identities if identity.taken]
    unconfirmed = named and not _all_confirmed(identities)
    two_issuers = any(under_two_issuers(a, b) for a, b in combinations(identities, 2))
    found = {
        PATIENT_UNCONFIRMED: unconfirmed,
        IDS_DIFFER: any(under_two_ids(a, b) for a, b in combinations(identities, 2)),
        ISSUERS_DIFFER: unconfirmed and two_issuers,
        SIMILAR_IMAGES: similar,
        SIDES_DIFFER: _sides_differ(images),
        DAYS_APART: bool(days) and (max(days) - min(days)).days > MOST_DAYS_APART,
    }
    return tuple(caution for caution, holds in found.items() if holds)


def _all_confirmed(identities: Sequence[Identity]) -> bool:
    """Whether each is the same as another that is, from the first one on."""
    confirmed, open_ = list(identities[:1]), list(identities[1:])
    while joined := [b for b in open_ if any(compare(a, b) is Agreement.SAME for a in confirmed)]:
        confirmed += joined
        open_ = [b for b in open_ if not any(b is each for each in joined)]
    return not open_


def _sides_differ(images: Sequence[SourceImage]) -> bool:
    """What is known of the sides of films and ultrasound has nothing in common."""
    film, echo = (
        {image.laterality for image in images if _physics(image.modality) is physics} - {None}
        for physics in (Physics.PROJECTION, Physics.ECHO)
    )
    return bool(film and echo) and not film & echo


def _similar(images: Sequence[SourceImage]) -> bool:
    """Whether two images of one modality are near to one picture.

    Raises RepeatedImage for two that are one, and for a mammogram that is near to an ultrasound:
    no two real ones are.
    """
    shown = [likeness(image.pixels) for image in images] if len(images) > 1 else []
    similar = False
    for (i, a), (j, b) in combinations(enumerate(images), 2):
        alike = near(shown[i], shown[j])
        across = alike and a.modality is not b.modality
        if a.sha256 == b.sha256 or same(shown[i], shown[j]) or across:
            raise RepeatedImage(
                f"Images {i + 1} and {j + 1} of the study are the same; post each image once, as "
                "what it is."
            )
        similar = similar or alike
    return similar


def _physics(modality: Modality) -> Physics:
    return MODALITIES[modality].physics
