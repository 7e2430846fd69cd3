"""Which instances an object was made of, by study and series (PS3.3 C.17.2, C.12.4)."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset

from mammosono.appliance.node.objects.instance import reference


def by_study(instances: Iterable[Dataset]) -> list[Dataset]:
    """An item for each study. instances: data sets or headers, in the order to be kept."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for instance in instances:
        series = studies.setdefault(str(instance.StudyInstanceUID), {})
        series.setdefault(str(instance.SeriesInstanceUID), []).append(reference(instance))
    items = []
    for study, series in studies.items():
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = [_series(uid, found) for uid, found in series.items()]
        items.append(item)
    return items


def set_evidence(ds: Dataset, instances: Iterable[Dataset]) -> None:
    """Those of the report's own study, and those of others."""
    own: list[Dataset] = []
    other: list[Dataset] = []
    for item in by_study(instances):
        (own if item.StudyInstanceUID == ds.StudyInstanceUID else other).append(item)
    if own:
        ds.CurrentRequestedProcedureEvidenceSequence = own
    if other:
        ds.PertinentOtherEvidenceSequence = other


def series_of(instance: Dataset, keyword: str) -> Dataset:
    """An item that names the series of an image and, under `keyword`, the image in it."""
    item = Dataset()
    item.SeriesInstanceUID = instance.SeriesInstanceUID
    setattr(item, keyword, [reference(instance)])
    return item


def _series(uid: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = uid
    item.ReferencedSOPSequence = references
    return item
