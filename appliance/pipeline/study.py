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
from mammosono.appliance.pipeline.likeness import Likeness, likeness, near, same
from mammosono.appliance.values import (
    Caution,
    Effect,
    Laterality,
    Modality,
    SourceImage,
    UnreadImage,
)

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
IMAGE_NOT_READ = "image_not_read"
DAYS_APART = Caution(
    "days_apart",
    f"The images were taken more than {MOST_DAYS_APART} days apart; check that they belong to one "
    "study.",
)


def study_cautions(
    given: Sequence[SourceImage | UnreadImage], likenesses: Sequence[Likeness | None] | None = None
) -> tuple[Caution, ...]:
    """On the study as a whole, of which `given` are all images in the order posted.

    likenesses: of each image that was read, where its pixels are not there any more.
    Raises PatientsDiffer if two files name two patients, RepeatedImage if two are the same; who
    they are of is not said.
    """
    shown = likenesses or [_likeness_of(image) for image in given]
    similar = _similar(given, shown)
    identities = [image.identity for image in given]
    if any(compare(a, b) is Agreement.DIFFERENT for a, b in combinations(identities, 2)):
        raise PatientsDiffer(
            "The files name two patients; post the images of one patient as a study."
        )
    images = [image for image in given if isinstance(image, SourceImage)]
    identities = [image.identity for image in images]
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
    unread = len(given) - len(images)
    told = [caution for caution, holds in found.items() if holds]
    return (*([not_read(unread)] if unread else []), *told)


def not_read(count: int) -> Caution:
    """Of a study of which so many images could not be read."""
    images = "An image" if count == 1 else f"{count} images"
    return Caution(
        IMAGE_NOT_READ,
        f"{images} could not be read; a negative cannot be given.",
        Effect.NO_NEGATIVE,
    )


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


def _similar(
    given: Sequence[SourceImage | UnreadImage], likenesses: Sequence[Likeness | None]
) -> bool:
    """Whether two images of one modality are near to one picture.

    Raises RepeatedImage for two that are one; and for two that are near and said to be a mammogram
    and an ultrasound, or of both breasts: no two real ones are.
    """
    similar = False
    each = enumerate(zip(given, likenesses, strict=True), start=1)
    for (i, (a, seen)), (j, (b, again)) in combinations(each, 2):
        alike, one = False, a.sha256 == b.sha256
        if seen is not None and again is not None:
            alike = near(seen, again)
            one |= same(seen, again) or (alike and _said_to_be_two(a, b))
        if one:
            raise RepeatedImage(
                f"Images {i} and {j} of the study are the same; post each image once, as what it "
                "is."
            )
        similar |= alike
    return similar


def _said_to_be_two(a: SourceImage | UnreadImage, b: SourceImage | UnreadImage) -> bool:
    return a.modality is not b.modality or {*Laterality} == {a.laterality, b.laterality}


def _likeness_of(image: SourceImage | UnreadImage) -> Likeness | None:
    return likeness(image.pixels) if isinstance(image, SourceImage) else None


def _physics(modality: Modality) -> Physics:
    return MODALITIES[modality].physics
