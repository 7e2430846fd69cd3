"""Whether the images of a study belong together: one patient, each image once, the same breasts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.errors import PatientsDiffer, RepeatedImage
from mammosono.appliance.identity import Agreement, Identity, compare, under_two_issuers
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.pipeline.prepare import Reduced, source
from mammosono.appliance.values import Caution, Effect, Modality, SourceImage

MOST_DAYS_APART = 180
"""Between the images of one study."""

PATIENT_UNCONFIRMED = Caution(
    "patient_unconfirmed",
    "Not every image says whose it is; check that all of them are of one patient.",
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
DAYS_APART = Caution(
    "days_apart",
    f"The images were taken more than {MOST_DAYS_APART} days apart; check that they belong to one "
    "study.",
)

_SAME_SHARE = 2e-3
"""Of the range of grey levels: mean difference of a film decoded in full and at half."""
_STRIDE = 37  # pictures of other pixels hardly ever agree in every 37th of them


def study_cautions(given: Sequence[SourceImage | Reduced]) -> tuple[Caution, ...]:
    """On the study as a whole.

    Raises PatientsDiffer if two images name two patients, RepeatedImage if two are the same; who
    they are of is not said.
    """
    _require_each_once(given)
    images = [source(each) for each in given]
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
        ISSUERS_DIFFER: unconfirmed and two_issuers,
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


def _physics(modality: Modality) -> Physics:
    return MODALITIES[modality].physics


def _require_each_once(given: Sequence[SourceImage | Reduced]) -> None:
    for (i, a), (j, b) in combinations(enumerate(given), 2):
        if source(a).sha256 == source(b).sha256 or _same_picture(a, b):
            raise RepeatedImage(
                f"Images {i + 1} and {j + 1} of the study are the same; post each image once, as "
                "what it is."
            )


def _same_picture(a: SourceImage | Reduced, b: SourceImage | Reduced) -> bool:
    """The same in two files; one of which may have been decoded at half its resolution."""
    sizes = {(source(each).height, source(each).width) for each in (a, b)}
    one, other = _values(a), _values(b)
    if len(sizes) > 1 or one.shape != other.shape:
        return False
    if source(a).coarseness != source(b).coarseness:
        return float(np.abs(one - other).mean()) <= _SAME_SHARE * float(np.ptp(one))
    return np.array_equal(one[::_STRIDE, ::_STRIDE], other[::_STRIDE, ::_STRIDE]) and (
        np.array_equal(one, other)
    )


def _values(image: SourceImage | Reduced) -> NDArray[Any]:
    return image.working if isinstance(image, Reduced) else image.pixels
