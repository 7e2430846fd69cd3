"""Audit events in the shape of DICOM PS3.15 section A.5, as JSON.

Names and codes are the standard's. A study is named by the first 16 digits of its id's SHA-256:
ids are the clients' own keys, and nobody can keep a client from putting a patient into one.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from mammosono.appliance.security.roles import Principal, Role

AuditEvent = dict[str, Any]

SUCCESS, MINOR_FAILURE = "0", "4"
CREATE, READ, UPDATE, DELETE, EXECUTE = "C", "R", "U", "D", "E"


def _dcm(code: str, meaning: str) -> dict[str, str]:
    return {"csd-code": code, "codeSystemName": "DCM", "originalText": meaning}


ACTIVITY = _dcm("110100", "Application Activity")
STARTED = _dcm("110120", "Application Start")
STOPPED = _dcm("110121", "Application Stop")
ACCESSED = _dcm("110103", "DICOM Instances Accessed")
TRANSFERRED = _dcm("110104", "DICOM Instances Transferred")
STUDY_DELETED = _dcm("110105", "DICOM Study Deleted")
ALERT = _dcm("110113", "Security Alert")
RECORDING_STARTED = _dcm("110134", "Audit Recording Started")
USER_CHANGED = _dcm("110137", "User Security Attributes Changed")
AUTHENTICATION = _dcm("110114", "User Authentication")
LOGIN = _dcm("110122", "Login")
APPLICATION = _dcm("110150", "Application")
NODE_AUTHENTICATION = _dcm("110126", "Node Authentication")

_SYSTEM_OBJECT, _PERSON = "2", "1"
_REPORT, _SECURITY_USER, _SECURITY_RESOURCE = "3", "11", "13"
_IP_ADDRESS = "2"
_APPLICATION_SERVER = "4"


def application(what: dict[str, str]) -> AuditEvent:
    """STARTED or STOPPED."""
    return _event(ACTIVITY, EXECUTE, [_appliance()], kind=what)


def sign_in_failed(address: str) -> AuditEvent:
    nobody = {"UserID": "unknown", "UserIsRequestor": True, **_place(address)}
    return _event(
        AUTHENTICATION, EXECUTE, [nobody, _appliance()], kind=LOGIN, outcome=MINOR_FAILURE
    )


def posted(who: Principal, study_id: str) -> AuditEvent:
    return _event(TRANSFERRED, CREATE, [_user(who), _appliance()], [_study(study_id)])


def read(study_id: str, *, done: bool) -> AuditEvent:
    """By the model; not done if the images were refused or could not be read."""
    outcome = SUCCESS if done else MINOR_FAILURE
    return _event(ACCESSED, UPDATE, [_appliance()], [_study(study_id)], outcome=outcome)


def viewed(who: Principal, study_id: str) -> AuditEvent:
    return _event(ACCESSED, READ, [_user(who)], [_study(study_id)])


def association_accepted(node: str, address: str) -> AuditEvent:
    """Of a DICOM sender. node: its AE title."""
    return _event(AUTHENTICATION, EXECUTE, [_node(node, address), _appliance()], kind=LOGIN)


def association_refused(node: str, address: str) -> AuditEvent:
    """node: the AE title that it gave itself; "unknown" if it was not asked."""
    participants = [_node(node, address), _appliance()]
    return _event(ALERT, EXECUTE, participants, kind=NODE_AUTHENTICATION, outcome=MINOR_FAILURE)


def instances_stored(node: str, address: str, case_keys: Sequence[str], count: int) -> AuditEvent:
    """Images that came in one association. case_keys: hashes that name the patients' exams."""
    objects = [_study(key) for key in case_keys]
    objects[0]["ParticipantObjectDetail"] = {"type": "instances", "value": str(count)}
    return _event(TRANSFERRED, CREATE, [_node(node, address), _appliance()], objects)


def instances_sent(name: str, address: str, case_keys: Sequence[str], count: int) -> AuditEvent:
    """Objects that went to a destination in one association, of the node's own accord."""
    destination = {**_node(name, address), "UserIsRequestor": False}
    objects = [_study(key) for key in case_keys]
    objects[0]["ParticipantObjectDetail"] = {"type": "instances", "value": str(count)}
    return _event(TRANSFERRED, READ, [_appliance(), destination], objects)


def forgotten(names: Sequence[str]) -> AuditEvent:
    """All of a patient, by a command. names: hashes of what was held."""
    return _event(STUDY_DELETED, DELETE, [_operator()], [_study(name) for name in names])


def deleted(who: Principal, study_id: str, *, done: bool) -> AuditEvent:
    """Not done if something of the study resisted, or may have: the disk refused."""
    outcome = SUCCESS if done else MINOR_FAILURE
    return _event(STUDY_DELETED, DELETE, [_user(who)], [_study(study_id)], outcome=outcome)


def retired(study_ids: Sequence[str]) -> AuditEvent:
    """Deleted by the appliance itself, for their age or to make room."""
    return _event(
        STUDY_DELETED, DELETE, [_appliance()], [_study(study_id) for study_id in study_ids]
    )


def token_added(name: str, roles: Sequence[Role]) -> AuditEvent:
    held = ", ".join(sorted(role.value for role in roles))
    subject = _token(name, f"token added: {held}")
    return _event(ALERT, EXECUTE, [_operator()], [subject], kind=USER_CHANGED)


def token_revoked(name: str) -> AuditEvent:
    subject = _token(name, "token revoked")
    return _event(ALERT, EXECUTE, [_operator()], [subject], kind=USER_CHANGED)


def tokens_forgotten() -> AuditEvent:
    """All of them: the appliance asks for none until another is added."""
    subject = _token("all tokens", "tokens forgotten, open to this machine")
    return _event(ALERT, EXECUTE, [_operator()], [subject], kind=USER_CHANGED)


def log_begun_anew(events: int, head: str) -> AuditEvent:
    """First event of another log. events, head: of the log that was put away."""
    log = {
        "ParticipantObjectID": head,
        "ParticipantObjectTypeCode": _SYSTEM_OBJECT,
        "ParticipantObjectTypeCodeRole": _SECURITY_RESOURCE,
        "ParticipantObjectIDTypeCode": {
            "csd-code": "audit-head-sha256",
            "codeSystemName": "mammosono",
        },
        "ParticipantObjectDetail": {
            "type": "Alert Description",
            "value": f"{events} events before",
        },
    }
    return _event(ALERT, EXECUTE, [_operator()], [log], kind=RECORDING_STARTED)


def _event(
    event_id: dict[str, str],
    code: str,
    participants: Sequence[dict[str, Any]],
    objects: Sequence[dict[str, Any]] = (),
    *,
    kind: dict[str, str] | None = None,
    outcome: str = SUCCESS,
) -> AuditEvent:
    identification: dict[str, Any] = {
        "EventID": event_id,
        "EventActionCode": code,
        "EventDateTime": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "EventOutcomeIndicator": outcome,
    }
    if kind is not None:
        identification["EventTypeCode"] = kind
    event: AuditEvent = {
        "EventIdentification": identification,
        "ActiveParticipant": list(participants),
        "AuditSourceIdentification": {
            "AuditSourceID": socket.gethostname(),
            "AuditSourceTypeCode": _APPLICATION_SERVER,
        },
    }
    if objects:
        event["ParticipantObjectIdentification"] = list(objects)
    return event


def _user(who: Principal) -> dict[str, Any]:
    roles = sorted(role.value for role in who.roles)
    return {
        "UserID": who.name,
        "UserIsRequestor": True,
        "RoleIDCode": [{"csd-code": role, "codeSystemName": "mammosono"} for role in roles],
        **_place(who.address),
    }


def _node(ae_title: str, address: str) -> dict[str, Any]:
    return {"UserID": ae_title, "UserIsRequestor": True, **_place(address)}


def _appliance() -> dict[str, Any]:
    return {"UserID": "mammosono", "UserIsRequestor": False, "RoleIDCode": [APPLICATION]}


def _operator() -> dict[str, Any]:
    """User who runs the command; in the container users have numbers only."""
    return {"UserID": f"uid {os.getuid()}", "UserIsRequestor": True}


def _place(address: str) -> dict[str, str]:
    return {"NetworkAccessPointID": address, "NetworkAccessPointTypeCode": _IP_ADDRESS}


def _study(study_id: str) -> dict[str, Any]:
    return {
        "ParticipantObjectID": hashlib.sha256(study_id.encode()).hexdigest()[:16],
        "ParticipantObjectTypeCode": _SYSTEM_OBJECT,
        "ParticipantObjectTypeCodeRole": _REPORT,
        "ParticipantObjectIDTypeCode": {
            "csd-code": "study-id-sha256",
            "codeSystemName": "mammosono",
        },
    }


def _token(name: str, what: str) -> dict[str, Any]:
    return {
        "ParticipantObjectID": name,
        "ParticipantObjectTypeCode": _PERSON,
        "ParticipantObjectTypeCodeRole": _SECURITY_USER,
        "ParticipantObjectIDTypeCode": {"csd-code": "token", "codeSystemName": "mammosono"},
        "ParticipantObjectDetail": {"type": "Alert Description", "value": what},
    }
