"""Values of a DICOM header wherever they may stand, read with patience: what is damaged is not
there. For what describes a picture; what its pixels hang on is read strictly (dicom_header)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_parse import Buffer, parse

_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_LONGEST_TEXT = 1024
_MOST_ITEMS = 64
_LONGEST_SEQUENCE_BYTES = 2**14  # of which pydicom makes 2000 items at most


class Description:
    """The header's top level, and the items in the functional groups of its one frame."""

    def __init__(self, data: Buffer, keywords: Collection[str]) -> None:
        """data: the whole file. Never raises."""
        try:
            self.top: Dataset = parse(data, (*keywords, *_FUNCTIONAL_GROUPS))
        except Exception:  # damaged, or out of all proportion: nothing is known of it
            self.top = Dataset()
        groups = [group for keyword in _FUNCTIONAL_GROUPS for group in items(self.top, keyword)[:1]]
        self._places = (self.top, *(item for group in groups for item in _within(group)))

    def texts(self, *keywords: str) -> list[str]:
        """Values of these elements without padding; no empty ones."""
        return [text for place in self._places for word in keywords for text in texts(place, word)]

    def items(self, *keywords: str) -> list[Dataset]:
        """Items of these sequences."""
        return [item for place in self._places for word in keywords for item in items(place, word)]

    def codes(self, *keywords: str) -> list[str]:
        """Code values in these sequences."""
        return [code for place in self._places for word in keywords for code in codes(place, word)]


def texts(place: Dataset, keyword: str) -> list[str]:
    """As Description.texts, of one data set."""
    try:
        value = place.get(keyword)
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        written = [str(each) for each in several if each is not None and _is_plain(each)]
    except Exception:  # pydicom's conversions fail in every way
        return []
    stripped = [text[:_LONGEST_TEXT].replace("\0", " ").strip() for text in written]
    return [text for text in stripped if text]


def items(place: Dataset, keyword: str) -> list[Dataset]:
    """As Description.items, of one data set."""
    try:
        stored: object = place.get_item(keyword)
        if isinstance(stored, RawDataElement) and stored.length > _LONGEST_SEQUENCE_BYTES:
            return []
        value = place.get(keyword)
        return [item for item in (value or ())[:_MOST_ITEMS] if isinstance(item, Dataset)]
    except Exception:
        return []


def codes(place: Dataset, keyword: str) -> list[str]:
    """As Description.codes, of one data set."""
    return [code for item in items(place, keyword) for code in texts(item, "CodeValue")]


def _is_plain(value: object) -> bool:
    return not isinstance(value, (bytes, Dataset))


def _within(group: Dataset) -> Iterator[Dataset]:
    for tag in list(group.keys()):
        try:
            element = group[tag]
            nested = list(element.value) if element.VR == "SQ" else []
        except Exception:
            continue
        yield from (item for item in nested if isinstance(item, Dataset))
