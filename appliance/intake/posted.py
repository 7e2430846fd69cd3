"""Side and view of an image from all who say them: its header, the sender, its file's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from mammosono.appliance.errors import InvalidField
from mammosono.appliance.intake.dicom_view import VIEWS
from mammosono.appliance.intake.file_name import side_and_view
from mammosono.appliance.modality import MODALITIES, Physics
from mammosono.appliance.values import Caution, Laterality, Origin, Posted, SourceImage

CONTRADICTED = Caution(
    "side_or_view_contradicted",
    "The file, what was sent with it and its name do not agree on side or view; it counts as not "
    "known.",
)

T = TypeVar("T")

_LATERALITIES = {"": None, "L": Laterality.LEFT, "R": Laterality.RIGHT}
_VIEWS = {"": None, **{view: view for view in VIEWS}}


def lateralities(values: Sequence[str], images: int) -> list[Laterality | None]:
    """What the sender says of each of so many images, in their order: given once it is of all of
    them, empty it is not known. Raises InvalidField."""
    return _of_each("laterality", values, _LATERALITIES, images)


def views(values: Sequence[str], images: int) -> list[str | None]:
    """As lateralities."""
    return _of_each("view", values, _VIEWS, images)


def _of_each(
    field: str, values: Sequence[str], known: Mapping[str, T | None], images: int
) -> list[T | None]:
    words = [value.strip().upper() for value in values]
    if len(words) not in (0, 1, images):
        raise InvalidField(f"Send {field} once, or once for each image, empty if not known.")
    if not known.keys() >= set(words):
        raise InvalidField(
            f"Send {field} as one of {', '.join(sorted(filter(None, known)))}, or empty."
        )
    given = [known[word] for word in words] or [None]
    return given if len(given) == images else given * images


def as_posted(image: SourceImage, posted: Posted) -> SourceImage:
    """The image with its file's name, and with the side and view that were said of it.

    The first of header, form and file name that says one has it; where another says something
    else it is not known: a wrong side is worse than none. Views are of mammograms.
    """
    form, name = (posted.laterality, posted.view), side_and_view(posted.name or "")
    if CONTRADICTED in image.warnings:  # by its own header: nobody else settles that
        form = name = (None, None)
    elif MODALITIES[image.modality].physics is Physics.ECHO:
        form, name = (posted.laterality, None), (None, None)  # a name with a view is of a film
    side, side_from, one_side = _agreed(image.laterality, form[0], name[0])
    view, view_from, one_view = _agreed(image.view, form[1], name[1])
    added = () if one_side and one_view else (CONTRADICTED,)
    return replace(
        image,
        warnings=(*image.warnings, *added),
        laterality=side, laterality_from=side_from, view=view, view_from=view_from,
        name=posted.name,
    )  # fmt: skip


def _agreed(
    header: T | None, form: T | None, name: T | None
) -> tuple[T | None, Origin | None, bool]:
    """What is said, by whom first, and whether all agree; a view's modifiers are the header's."""
    stated = [
        (word, origin) for word, origin in zip((header, form, name), Origin, strict=True) if word
    ]
    if len({str(word).split()[0] for word, _ in stated}) > 1:
        return None, None, False
    return (*stated[0], True) if stated else (None, None, True)
