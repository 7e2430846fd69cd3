"""What a DICOM object of one frame says of it, wherever the standard has it say so.

A plain object says it at the top level, an enhanced or tomosynthesis one in its functional groups
(PS3.3 C.7.6.16): shared ones, and those of the frame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset

from mammosono.appliance.errors import UnsupportedDicom
from mammosono.appliance.intake.dicom_numbers import stated

GROUP_KEYWORDS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def of_the_frame(ds: Dataset, keywords: Collection[str], alike: Collection[str] = ()) -> Dataset:
    """The elements of these keywords: the frame's own before the shared before the top level's.

    alike: those that must not be said in two ways. Raises UnsupportedDicom if they are.
    """
    found = Dataset()
    for place in (ds, *_groups(ds)):
        for keyword in keywords:
            element = place.get_item(keyword)
            if element is None or not element.value:
                continue
            before = found.get_item(keyword)
            if before is not None and keyword in alike and not _same(found, place, keyword):
                raise UnsupportedDicom(
                    "The DICOM file says in two places, in two ways, how its grey levels are "
                    "shown; send it as one plain image."
                )
            found[keyword] = element
    return found


def _same(a: Dataset, b: Dataset, keyword: str) -> bool:
    """Numbers may be written in two ways: 1, 1.0, 1,0."""
    if dictionary_VR(keyword) == "DS":
        return stated(a, keyword) == stated(b, keyword)
    return bool(a.get_item(keyword).value == b.get_item(keyword).value)


def _groups(ds: Dataset) -> Iterator[Dataset]:
    """The first item of each functional group, and of each macro in it."""
    for keyword in GROUP_KEYWORDS:
        for group in list(ds.get(keyword) or ())[:1]:
            yield group
            for tag in list(group.keys()):
                if dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ" and group[tag].value:
                    yield group[tag].value[0]
