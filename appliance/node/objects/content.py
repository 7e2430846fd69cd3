"""Content items of structured reports (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from mammosono.appliance.node.codes import Code
from mammosono.appliance.node.objects.instance import plain, reference

CONTAINS, PROPERTIES, INFERRED = "CONTAINS", "HAS PROPERTIES", "INFERRED FROM"
OBSERVED, ACQUIRED, CONCEPT = "HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD"
SELECTED = "SELECTED FROM"

Points = Iterable[tuple[float, float]]
"""(x, y) in pixels; (0, 0) is the outer corner of the first one, as in a reading (C.18.6.1.1)."""


def container(
    relationship: str, name: Code, children: Sequence[Dataset], template: str | None = None
) -> Dataset:
    """template: of PS3.16, where the container is the top of one."""
    item = _item(relationship, "CONTAINER", name, children)
    item.ContinuityOfContent = "SEPARATE"
    if template is not None:
        identification = Dataset()
        identification.MappingResource = "DCMR"
        identification.TemplateIdentifier = template
        item.ContentTemplateSequence = [identification]
    return item


def text(relationship: str, name: Code, value: str) -> Dataset:
    item = _item(relationship, "TEXT", name)
    item.TextValue = plain(value)
    return item


def code(relationship: str, name: Code, value: Code, children: Sequence[Dataset] = ()) -> Dataset:
    item = _item(relationship, "CODE", name, children)
    item.ConceptCodeSequence = [value.item()]
    return item


def number(relationship: str, name: Code, value: float, unit: Code) -> Dataset:
    measured = Dataset()
    measured.NumericValue = f"{value:.8g}"
    measured.MeasurementUnitsCodeSequence = [unit.item()]
    item = _item(relationship, "NUM", name)
    item.MeasuredValueSequence = [measured]
    return item


def uid(relationship: str, name: Code, value: str) -> Dataset:
    item = _item(relationship, "UIDREF", name)
    item.UID = value
    return item


def date(relationship: str, name: Code, value: str) -> Dataset:
    item = _item(relationship, "DATE", name)
    item.Date = value
    return item


def image(
    relationship: str, header: Dataset, children: Sequence[Dataset] = (), name: Code | None = None
) -> Dataset:
    item = _item(relationship, "IMAGE", name, children)
    item.ReferencedSOPSequence = [reference(header)]
    return item


def region(
    relationship: str, name: Code, kind: str, points: Points, selected_from: Dataset
) -> Dataset:
    """kind: graphic type. selected_from: an item with the relationship SELECTED."""
    item = _item(relationship, "SCOORD", name, [selected_from])
    item.GraphicType = kind
    item.GraphicData = [coordinate for point in points for coordinate in point]
    return item


def by_reference(relationship: str, place: Sequence[int]) -> Dataset:
    """place: of an item in the content tree, from the root, which is 1."""
    item = Dataset()
    item.RelationshipType = relationship
    item.ReferencedContentItemIdentifier = list(place)
    return item


def closed(contour: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """An outline that ends where it began, which is how a POLYLINE says that it is closed."""
    return [*contour, contour[0]]


def _item(
    relationship: str, kind: str, name: Code | None, children: Sequence[Dataset] = ()
) -> Dataset:
    item = Dataset()
    if relationship:  # the root has none
        item.RelationshipType = relationship
    item.ValueType = kind
    if name is not None:
        item.ConceptNameCodeSequence = [name.item()]
    if children:
        item.ContentSequence = list(children)
    return item
