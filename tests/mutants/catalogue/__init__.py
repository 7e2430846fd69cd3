"""The mutants, a file an area."""

from __future__ import annotations

from mutants.catalogue.access import ACCESS
from mutants.catalogue.audit import AUDIT
from mutants.catalogue.bad_input import INPUT
from mutants.catalogue.browser import BROWSER
from mutants.catalogue.dicom_node import DICOM
from mutants.catalogue.dicom_objects import OBJECTS
from mutants.catalogue.dicom_sending import SENDING
from mutants.catalogue.disk import DISK
from mutants.catalogue.fire import FIRE
from mutants.catalogue.leaks import LEAKS
from mutants.catalogue.reading import READING
from mutants.catalogue.workstation import WORKSTATION

MUTANTS = (
    *ACCESS,
    *AUDIT,
    *BROWSER,
    *INPUT,
    *WORKSTATION,
    *DISK,
    *READING,
    *FIRE,
    *LEAKS,
    *OBJECTS,
    *DICOM,
    *SENDING,
)
