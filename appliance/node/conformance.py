"""DICOM conformance statement (PS3.2), written from the tables that the node works by."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from pydicom.uid import UID

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.node import admit, association, bounds, commitment, outbox, stow
from mammosono.appliance.node.config import NodeConfig
from mammosono.appliance.node.contexts import (
    DEFAULT_OBJECTS,
    IMAGES,
    LARGEST_PDU,
    OBJECTS,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    UNCOMPRESSED,
    VERIFICATION,
    Use,
)
from mammosono.appliance.node.outcome import Became, of_status
from mammosono.appliance.node.probe import CONNECT_S
from mammosono.appliance.node.uids import IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION
from mammosono.appliance.output.document import SOFTWARE
from mammosono.appliance.security.tls import TLS_1_2_SUITES

_KIB = 1024
_HOUR_S = 3600
_ALL_STATUSES = range(0x10000)
_BECAME = {
    Became.STORED: "taken for stored",
    Became.LATER: f"sent again after a pause, for {outbox.DELIVERY_S / _HOUR_S:.0f} hours",
    Became.NEVER: "refused for good; shown, and not sent again by itself",
}


def statement() -> str:
    """Markdown. The same for the same version of the software."""
    return "\n\n".join(map(_filled, _parts())) + "\n"


def _parts() -> Iterable[str]:
    defaults = NodeConfig()
    yield "# DICOM conformance statement"
    yield f"""
Of {SOFTWARE}. Made by `mammosono node conformance` from the tables of `appliance/node/`, and
tested to be current; not edited by hand. Its order is that of DICOM PS3.2.

**Research and engineering use only. Not for diagnosis.**"""
    yield "## Overview"
    yield _table(
        ("Network service", "User of the service (SCU)", "Provider of the service (SCP)"),
        [
            *((each.name, "no", _provider(each.use)) for each in IMAGES),
            *((each.name, _user(each.kind in DEFAULT_OBJECTS), "no") for each in OBJECTS),
            ("Storage Commitment Push Model", "where configured", "no"),
            (
                "Study Root Query/Retrieve, FIND",
                "where a commitment does not come; by `mammosono node fetch`",
                "no",
            ),
            ("Study Root Query/Retrieve, MOVE", "by `mammosono node fetch`", "no"),
            ("Verification", "by `mammosono node check`, and with every association", "yes"),
            ("STOW-RS (store transaction)", "where configured", "no"),
        ],
    )
    yield """
No media are written or read; no print, worklist or procedure step services. The application data
flow: images are taken from modalities and the PACS, grouped by patient, read by the appliance;
objects with the result are sent to the destinations that are configured. Without a destination
nothing is ever sent."""
    yield "## Application entity"
    yield _table(
        ("", ""),
        [
            (
                "Application context",
                f"`1.2.840.10008.3.1.1.1` ({UID('1.2.840.10008.3.1.1.1').name})",
            ),
            ("Implementation class UID", f"`{IMPLEMENTATION_CLASS}`"),
            ("Implementation version name", f"`{IMPLEMENTATION_VERSION}`"),
            ("AE title", f"`ae_title`, by default `{defaults.ae_title}`; both ways the same"),
            ("TCP port of the listener", f"`port`, by default {defaults.port}"),
            (
                "Largest PDU taken",
                f"{LARGEST_PDU // _KIB} KiB; one that is longer ends the association",
            ),
            ("Asynchronous operations", "none"),
            ("Extended negotiation, user identity", "none"),
        ],
    )
    yield "### Associations accepted"
    yield f"""
From those of `[[sender]]`, whose calling AE title and address must both be listed, and from the
`[[destination]]`s: these are offered Verification and Storage Commitment alone, but for the time
of a `mammosono node fetch` from them. The called AE title must be ours. At most
{defaults.max_associations} (`max_associations`) at a time, and {defaults.connections_per_address}
(`connections_per_address`) connections of one address. A peer has {bounds.HANDSHAKE_S:.0f} seconds
to propose an association, and may be silent within a PDU for {bounds.SILENCE_S:.0f} seconds.
Further associations are rejected as transient, local limit exceeded."""
    yield _table(
        ("Abstract syntax", "UID", "Transfer syntaxes", "Role", "What becomes of it"),
        [
            ("Verification", f"`{VERIFICATION}`", _SYNTAXES_PLAIN, "SCP", "answered"),
            *(
                (each.name, f"`{each.sop_class}`", _named(each.syntaxes), "SCP", each.use.value)
                for each in IMAGES
            ),
            (
                "Storage Commitment Push Model",
                f"`{STORAGE_COMMITMENT}`",
                _SYNTAXES_PLAIN,
                "SCU, by the role selection of the peer",
                "N-EVENT-REPORT",
            ),
        ],
    )
    plain = {syntax: syntax.name for each in IMAGES for syntax in each.syntaxes}
    yield "*all*: " + ", ".join(f"{name} (`{uid}`)" for uid, name in plain.items()) + "."
    yield "*plain*: " + ", ".join(f"{each.name} (`{each}`)" for each in UNCOMPRESSED) + "."
    yield "Status of C-STORE:"
    yield _table(
        ("Status", "Meaning"),
        [
            (
                "`0000`",
                "the image is on the disk; also if it is not read: mammosono node show says why",
            ),
            (f"`{admit.OUT_OF_RESOURCES:04X}`", "no room, or the disk refuses; send it later"),
            (f"`{admit.NOT_AS_SAID:04X}`", "without a patient ID, or not of its command's UIDs"),
            (f"`{admit.NOT_UNDERSTOOD:04X}`", "no DICOM data set that can be parsed"),
        ],
    )
    yield "### Associations initiated"
    yield f"""
One at a time to a destination, of all destinations at the same time, as soon as an object is to
be sent. Connecting may take {CONNECT_S:.0f} seconds, negotiation {association.NEGOTIATION_S:.0f},
each response {association.RESPONSE_S:.0f}. If the destination is not reached it is tried again
after {outbox.FIRST_PAUSE_S:.0f} seconds, then twice as long each time up to
{outbox.LONGEST_PAUSE_S / _HOUR_S:.0f} hour, for {outbox.DELIVERY_S / _HOUR_S:.0f} hours. A
rejection that is permanent (unknown AE title) is not tried again."""
    yield _table(
        ("Abstract syntax", "UID", "Transfer syntaxes", "Role", "`objects` of a destination"),
        [
            ("Verification", f"`{VERIFICATION}`", _SYNTAXES_PLAIN, "SCU", ""),
            *(
                (
                    each.name,
                    f"`{each.sop_class}`",
                    _named(each.syntaxes),
                    "SCU",
                    f"`{each.kind.value}`",
                )
                for each in OBJECTS
            ),
            (
                "Storage Commitment Push Model",
                f"`{STORAGE_COMMITMENT}`",
                _SYNTAXES_PLAIN,
                "SCU",
                "",
            ),
            ("Study Root Query/Retrieve, FIND", f"`{STUDY_ROOT_FIND}`", _SYNTAXES_PLAIN, "SCU", ""),
            ("Study Root Query/Retrieve, MOVE", f"`{STUDY_ROOT_MOVE}`", _SYNTAXES_PLAIN, "SCU", ""),
        ],
    )
    yield "An object whose context is refused is refused for good; the others are sent."
    yield "Statuses that a destination gives to C-STORE, and failure reasons of STOW-RS:"
    yield _table(("Status", "What the node does"), _statuses())
    yield f"""
**Storage commitment** (`commitment`, by default on): one N-ACTION for up to {outbox.BATCH}
objects behind the last C-STORE. The N-EVENT-REPORT is taken on the same association, which is
kept for {commitment.LINGER_S:.0f} seconds, or on one that the destination opens to the listener.
Objects that are reported as failed are sent again, {outbox.MOST_FAILED_COMMITMENTS} times, then
refused. Without an answer for {outbox.ANSWER_S / _HOUR_S:.0f} hours, or where no commitment is to
be had, the destination is queried once with C-FIND at the IMAGE level (keys: Study, Series and
SOP Instance UID): what it has counts as committed."""
    yield f"""
**Fetching** (`mammosono node fetch`, never by itself): C-FIND at the STUDY level (keys: Patient
ID, Study Date; returned: Issuer of Patient ID, Study Instance UID), then at the SERIES level
(key: Modality, one of {", ".join(each.value for each in MODALITIES)}), then C-MOVE of each such
series to our AE title."""
    yield f"""
**STOW-RS** (`stow`): one POST to `/studies` for each object, `multipart/related;
type="application/dicom"`, answer `application/dicom+json` of at most
{stow.MOST_ANSWER_BYTES // _KIB} KiB; a bearer token from a file. Redirections are not followed."""
    yield "## Character sets"
    yield """
Objects keep the Specific Character Set of the images that they are made of, and patient and study
as they are written there."""
    yield "## Security"
    yield f"""
TLS 1.2 and 1.3, for either direction, with mutual certificates (the secure transport of BCP 195).
Suites of TLS 1.2: `{TLS_1_2_SUITES}`. A destination's certificate must be signed by whom `ca`
names and be made out to `tls_name`. A listener that is reached from the network without TLS must
be allowed to (`plain_network`)."""


def _filled(part: str) -> str:
    """A part as it is if it is a table, its paragraphs in lines of one width if it is prose."""
    if part.startswith("|"):
        return part
    return "\n\n".join(
        textwrap.fill(
            " ".join(paragraph.split()), 110, break_long_words=False, break_on_hyphens=False
        )
        for paragraph in part.strip().split("\n\n")
    )


def _provider(use: Use) -> str:
    return {
        Use.READ: "yes",
        Use.EXCLUDED: "yes; not read",
        Use.SWITCH: "where configured (`accept.secondary_capture`)",
    }[use]


def _user(default: bool) -> str:
    return "where a destination is configured" if default else "where configured in `objects`"


def _named(syntaxes: Sequence[UID]) -> str:
    return _SYNTAXES_PLAIN if tuple(syntaxes) == UNCOMPRESSED else "*all*"


_SYNTAXES_PLAIN = "*plain*"


def _statuses() -> list[tuple[str, str]]:
    """Ranges of statuses with one outcome; where there is no rule of their own, as one row."""
    rows: list[tuple[str, str]] = []
    other = of_status(0x9999).became
    for became, group in groupby(_ALL_STATUSES, key=lambda status: of_status(status).became):
        statuses = list(group)
        if became is not other:
            first, last = statuses[0], statuses[-1]
            span = f"`{first:04X}`" if first == last else f"`{first:04X}` to `{last:04X}`"
            rows.append((span, _BECAME[became]))
    return [*rows, ("any other, as `A700`", _BECAME[other])]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
