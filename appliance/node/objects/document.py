"""What structured reports have in common: the document's own modules, who made it, of what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from mammosono.appliance.node import uids
from mammosono.appliance.node.codes import (
    ALGORITHM_FAMILY,
    ALGORITHM_NAME,
    ALGORITHM_PARAMETERS,
    ALGORITHM_VERSION,
    ARTIFICIAL_INTELLIGENCE,
    ENGLISH,
    LANGUAGE,
    dcm,
)
from mammosono.appliance.node.contexts import KIND_OF
from mammosono.appliance.node.objects import content
from mammosono.appliance.node.objects.evidence import by_study, set_evidence
from mammosono.appliance.node.objects.exam import Exam
from mammosono.appliance.node.objects.instance import (
    MANUFACTURER,
    model_name,
    parameters,
    set_coding_scheme,
    set_contributing,
    version,
)


def set_document(ds: Dataset, exam: Exam, root: Dataset, evidence: Iterable[Dataset]) -> None:
    """Make an instance a report of these contents: nobody has verified it, and it says so."""
    for element in root:
        ds[element.tag] = element
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.PreliminaryFlag = "PRELIMINARY"
    ds.PerformedProcedureCodeSequence = []
    ds.ReferencedPerformedProcedureStepSequence = []
    set_evidence(ds, evidence)
    before = _predecessor(exam, ds)
    if before is not None:
        ds.PredecessorDocumentsSequence = by_study([before])
    set_contributing(ds, exam.headers[str(ds.StudyInstanceUID)])
    set_coding_scheme(ds)


def _predecessor(exam: Exam, ds: Dataset) -> Dataset | None:
    """The report of the same kind that the version before has in this study, if it was sent."""
    before, kind, study = exam.options.before, KIND_OF[ds.SOPClassUID].value, ds.StudyInstanceUID
    if before is None or before.key == exam.key:
        return None
    named = Dataset()
    named.SOPClassUID, named.StudyInstanceUID = ds.SOPClassUID, study
    named.SOPInstanceUID = uids.of_object(before.key, kind, study, 1)
    named.SeriesInstanceUID = uids.of_series(before.key, kind, study)
    return named if uids.hashed(named.SOPInstanceUID) in before.reports else None


def language() -> Dataset:
    return content.code(content.CONCEPT, LANGUAGE, ENGLISH)


def observer(exam: Exam) -> list[Dataset]:
    """The device that read, TID 1002."""
    device = uids.derived(exam.options.serial, "device")
    says = {
        dcm("121013", "Device Observer Name"): MANUFACTURER,
        dcm("121014", "Device Observer Manufacturer"): MANUFACTURER,
        dcm("121015", "Device Observer Model Name"): f"{exam.software}, {model_name(exam)}",
        dcm("121016", "Device Observer Serial Number"): exam.options.serial,
    }
    return [
        content.code(content.OBSERVED, dcm("121005", "Observer Type"), dcm("121007", "Device")),
        content.uid(content.OBSERVED, dcm("121012", "Device Observer UID"), device),
        *(content.text(content.OBSERVED, name, value) for name, value in says.items()),
    ]


def algorithm(exam: Exam, relationship: str, family: bool) -> Sequence[Dataset]:
    """Name, version, parameters, TID 4019. family: with the kind of algorithm, which the template
    of Mammography CAD has no row for."""
    items = [
        content.text(relationship, ALGORITHM_NAME, MANUFACTURER),
        content.text(relationship, ALGORITHM_VERSION, version(exam)),
        *(content.text(relationship, ALGORITHM_PARAMETERS, each) for each in parameters(exam)),
    ]
    if family:
        items.append(content.code(relationship, ALGORITHM_FAMILY, ARTIFICIAL_INTELLIGENCE))
    return items
