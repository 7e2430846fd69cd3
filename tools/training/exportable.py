"""Gaps in the data that would keep a run from export, reported before it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mammosono.tools.data.index import Record


def gaps(records: Sequence[Record], modalities: Sequence[str]) -> list[str]:
    """What `export` will lack for these modalities, in words; empty where nothing.

    records: of the sources that the run learns from.
    """
    return [line for code in modalities for line in _of_modality(records, code)]


def _of_modality(records: Sequence[Record], code: str) -> Iterator[str]:
    own = [record for record in records if record.modality.value == code]
    if not own:
        return  # a bundle of the other modality alone is a whole one
    val = [record for record in own if record.split == "val"]
    truth = {record.label == "malignant" for record in val}
    if not val:
        yield f"{code} has no val image: no operating point can be chosen"
    elif len(truth) < 2:
        lacking = "no malignant" if True not in truth else "none but malignant"
        yield f"{code} has {lacking} val images: no operating point can be chosen"
    elif not any(record.masks for record in val):
        yield f"{code} has no val image with a lesion mask: no finding threshold can be chosen"
