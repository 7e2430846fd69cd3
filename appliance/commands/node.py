"""`mammosono node ...`: the appliance as a DICOM node."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.table import Table

from mammosono.appliance.commands.kit import Console, fail, say, say_json, settings

if TYPE_CHECKING:
    from mammosono.appliance.node.config import NodeConfig
    from mammosono.appliance.node.pairing import Rules
    from mammosono.appliance.node.patient_key import Names
    from mammosono.appliance.node.store import NodeStore, StoredReading

node_app = typer.Typer(
    help="The appliance as a DICOM node: exams come in by C-STORE and are read as pairs.",
    no_args_is_help=True,
)
SHOWN_DIGITS = 8
"""Of a case's key, in lists."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="In place of dicom.toml in the state folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON document and nothing else.")]


@node_app.command("run")
def run(config: ConfigOption = None) -> None:
    """Listen for images, pair them, have each pair read. Ends with Ctrl-C or SIGTERM; can be killed
    and started again: nothing that a sender was told is stored gets lost."""
    import logging
    import signal
    import threading

    from mammosono.appliance.errors import StorageError
    from mammosono.appliance.node.patient_key import SecretLost
    from mammosono.appliance.node.service import NodeService, limit_memory
    from mammosono.appliance.telemetry import logs

    require_extra()
    from mammosono.appliance.node import commitment, sender
    from mammosono.appliance.node.listener import Listener, ListenerRefused
    from mammosono.appliance.node.outbox import FOLDER, Outbox, OutboxError
    from mammosono.appliance.node.service import FOLDER as NODE
    from mammosono.appliance.node.store import held
    from mammosono.appliance.node.writing import writer

    loaded = load_config(config)
    environment = settings()
    state = environment.state_folder()
    logs.set_up(environment.log_format, lambda: None)
    # It logs the addresses of studies, and one a second.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    limit_memory(loaded)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        outbox = Outbox(state / FOLDER)
        path = partial(held, state / NODE)
        write = writer(outbox, loaded.destinations, path)
        service = NodeService(loaded, state, write=write, take_back=outbox.forget)
    except (StorageError, SecretLost, OutboxError, OSError) as error:
        _refuse(error)
    try:
        with (
            sender.running(
                outbox,
                loaded.destinations,
                keep_s=loaded.keep.results_days * sender.DAY_S,
                told=service.sent,
            ),
            Listener(
                loaded,
                service.names,
                service,
                service.store.incoming,
                state,
                further=[commitment.service(outbox)],
            ) as listener,
        ):
            logging.getLogger(__name__).info(
                "%s listens on %s port %s", loaded.ae_title, loaded.listen, listener.port
            )
            service.run(stop)
    except (ListenerRefused, OutboxError) as error:
        fail(str(error), "start_refused")
    finally:
        outbox.close()
        service.close()


@node_app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the cases: what is read, what waits for its partner, what failed. No names."""
    rules = load_config(config).rules
    store, _ = _open()
    rows = [_read_row(reading, store.now()) for reading in store.readings()]
    rows += _waiting_rows(store, rules)
    if as_json:
        say_json(json.dumps({"cases": rows}))
        return
    table = Table("Case", "Version", "Images", "State", "Days")
    for row in rows:
        table.add_row(
            str(row["case"])[:SHOWN_DIGITS], str(row["version"] or ""), str(row["images"]),
            str(row["state"]), f"{row['days']:.1f}",
        )  # fmt: skip
    Console().print(table if rows else "No cases.")


@node_app.command("show")
def show(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Its key, or how it begins.")],
    as_json: JsonOption = False,
) -> None:
    """Show the versions of a case: its images, what was left out and why, its verdict."""
    store, _ = _open()
    versions = store.versions(case) if case else []
    if len({each.case for each in versions}) != 1:
        fail(
            "several cases begin so; give more of the key" if versions else "no case begins so",
            "unknown_case",
        )
    documents = [_described(each) for each in versions]
    if as_json:
        say_json(json.dumps({"case": versions[0].case, "versions": documents}))
        return
    say(f"Case {versions[0].case}")
    for document in documents:
        say(f"Version {document['version']}: {document['state']}")
        for name, line in document.items():
            if name not in ("version", "state") and line:
                words = line if isinstance(line, str) else ", ".join(line)
                say(f"  {name.replace('_', ' ')}: {words}")


@node_app.command("forget")
def forget(
    patient_id: Annotated[str, typer.Option("--patient-id", metavar="ID")],
    issuer: Annotated[
        str, typer.Option(metavar="X", help="Of the ID, as in the files or dicom.toml.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Remove all that is held of a patient, here and at the appliance; it may run meanwhile."""
    from mammosono.appliance.errors import StorageError
    from mammosono.appliance.node.patient_key import patient_named
    from mammosono.appliance.security import audit
    from mammosono.appliance.security import audit_events as events
    from mammosono.appliance.security.audit import AuditLog

    store, names = _open()
    patient = patient_named(names, patient_id, issuer)
    if patient is None:
        fail("that is no patient ID; give it as it stands in the files", "unknown_patient")
    # First: which cases are the patient's is not known afterwards.
    cases = {each.case for each in store.readings() if each.patient == patient}
    _forget_outgoing(cases)
    held = store.instances(patient)
    exams = sorted({each.exam for each in held})
    try:
        readings = store.forget(patient)
    except StorageError as error:
        _refuse(error)
    # And again: what was being written meanwhile. Of what is written from now on, the node takes
    # back what nobody is to have any more.
    _forget_outgoing(cases | {each.case for each in readings})
    studies = sorted({each.study_id for each in readings})
    if not held and not readings:
        fail("nothing is held of that patient ID and issuer", "unknown_patient")
    named = [*exams, *(f"{each.case}.{each.version}" for each in readings)]
    try:
        AuditLog(settings().state_folder() / audit.FILE).append(events.forgotten(named))
    except OSError as error:
        fail(f"done, but the audit log cannot be written: {error.strerror}", "storage_failed")
    say(f"Forgotten: {len(held)} images, {len(readings)} readings.")
    left = _delete_at_appliance(load_config(config), studies) if studies else []
    if left:
        fail(
            "the appliance still holds " + ", ".join(left) + "; delete them there: "
            "DELETE /v1/studies/ID",
            "storage_failed",
        )


def _forget_outgoing(cases: set[str]) -> None:
    import sqlite3

    from mammosono.appliance.node.outbox import FOLDER, Outbox, OutboxError

    folder = settings().state_folder() / FOLDER
    if not folder.exists():
        return
    try:
        outbox = Outbox(folder)
        for case in cases:
            outbox.forget(case)
        outbox.close()
    except (OutboxError, OSError, sqlite3.Error) as error:
        fail(f"objects for the PACS are left: {error}; run it again", "storage_failed")


def require_extra() -> None:
    """Ends the command where what it needs is not installed."""
    if find_spec("pynetdicom") is None:
        fail(
            "the DICOM node is not installed; run: pip install 'mammosono[dicom]'", "not_installed"
        )


def load_config(file: Path | None) -> NodeConfig:
    from mammosono.appliance.node import config
    from mammosono.appliance.node.config import ConfigError

    try:
        return config.load(file or settings().state_folder() / config.FILE)
    except ConfigError as error:
        fail(str(error), "invalid_setting")


def _open() -> tuple[NodeStore, Names]:
    from mammosono.appliance.errors import StorageError
    from mammosono.appliance.node.patient_key import SecretLost
    from mammosono.appliance.node.service import FOLDER, open_store
    from mammosono.appliance.node.store import DATABASE

    state = settings().state_folder()
    if not (state / FOLDER / DATABASE).exists():
        fail("no node has run on this state folder; start it: mammosono node run", "no_node")
    try:
        return open_store(state)
    except (StorageError, SecretLost, OSError) as error:
        _refuse(error)


def _read_row(reading: StoredReading, now: float) -> dict[str, Any]:
    counts = Counter(modality.value for modality, _ in reading.images)
    return {
        "case": reading.case,
        "version": reading.version,
        "images": _counted(counts),
        "state": f"failed: {reading.problem}" if reading.problem else reading.status.value,
        "days": (now - reading.at) / 86_400,
    }


def _waiting_rows(store: NodeStore, rules: Rules) -> list[dict[str, Any]]:
    """What was not posted yet, and why not."""
    from mammosono.appliance.node.pairing import cases, conflicts

    posted = {reading.case for reading in store.readings()}
    by_patient: dict[str, list[Any]] = {}
    for instance in store.instances():
        by_patient.setdefault(instance.patient, []).append(instance)
    rows = []
    for instances in by_patient.values():
        in_conflict = conflicts(instances)
        for case in cases(instances, rules):
            if case.key in posted:
                continue
            received = max(each.received for each in instances if each.exam in case.exams)
            state = "waits for its partner"
            if set(case.exams) & in_conflict:
                state = "conflict: birth date or sex differ under one patient ID"
            elif case.paired:
                state = "waits for the end of its exams"
            rows.append({
                "case": case.key,
                "version": None,
                "images": _counted(Counter(each.modality.value for each in case.images)),
                "state": state,
                "days": (store.now() - received) / 86_400,
            })  # fmt: skip
    return rows


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {modality}" for modality, count in sorted(counts.items()))


def _described(reading: StoredReading) -> dict[str, Any]:
    from mammosono.appliance.node.pairing import IMAGES_LEFT_OUT

    left_out = Counter(
        f"{each.modality.value} {each.reason or IMAGES_LEFT_OUT}" for each in reading.left_out
    )
    document = reading.document or {}
    return {
        "version": reading.version,
        "state": reading.status.value,
        "verdict": document.get("verdict"),
        "problem": reading.problem,
        "images": _counted(Counter(modality.value for modality, _ in reading.images)),
        "left_out": [f"{count} {what}" for what, count in sorted(left_out.items())],
        "no_negative": list(reading.no_negative),
        "breast": reading.side,
        "study_id": reading.study_id,
        "forced": "read while images were still coming" if reading.forced else "",
    }


def _delete_at_appliance(config: NodeConfig, studies: Sequence[str]) -> list[str]:
    """Studies that the appliance would not delete."""
    import httpx

    from mammosono.appliance.workstation.client import ClientError, connect

    box = config.box
    try:
        token = config.path(box.token_file).read_text("utf-8").strip() if box.token_file else None
        with connect(box.url, token, config.path(box.ca) if box.ca else None) as appliance:
            answers = {study: appliance.delete(f"/v1/studies/{study}") for study in studies}
    except (ClientError, httpx.HTTPError, OSError, UnicodeDecodeError):
        return list(studies)
    return [study for study, answer in answers.items() if answer.status_code not in (204, 404)]


def _refuse(error: Exception) -> NoReturn:
    fail(str(error) or type(error).__name__, getattr(error, "code", "storage_failed"))
