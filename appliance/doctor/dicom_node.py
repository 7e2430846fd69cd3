"""Checks of the DICOM node: whether results reach the PACS, and how long certificates hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from mammosono.appliance.doctor.check_result import CheckResult, fail, note, ok, warn
from mammosono.appliance.doctor.host import Host
from mammosono.appliance.settings import Settings

OUTBOX = "DICOM outbox"
CERTIFICATES = "DICOM certificates"
LATE_S = 3600.0
"""What waits longer is told: by then the pauses are the longest."""
SOON = timedelta(days=30)


def outbox(settings: Settings) -> CheckResult:
    from mammosono.appliance.node.outbox import FOLDER, Outbox, OutboxError, Standing

    folder = settings.state_folder() / FOLDER
    if not folder.exists():
        return note(OUTBOX, "no result was ever to be sent")
    try:
        box = Outbox(folder)
    except (OutboxError, OSError, sqlite3.Error) as error:
        return fail(OUTBOX, f"it cannot be opened: {type(error).__name__}", "run as its user")
    try:
        standings: Sequence[Standing] = box.standings()
    finally:
        box.close()
    refused = [each for each in standings if each.refused]
    if refused:
        count = sum(each.refused for each in refused)
        return warn(
            OUTBOX,
            f"{count} objects were not taken by {', '.join(each.name for each in refused)}",
            "see why: mammosono node outbox\nmend it, see: mammosono node check\n"
            "then: mammosono node send CASE",
        )
    late = [each for each in standings if (each.oldest_s or 0) > LATE_S and each.waiting]
    if late:
        oldest = max(each.oldest_s or 0 for each in late)
        reason = next((each.reason for each in late if each.reason), "see: mammosono node outbox")
        return warn(
            OUTBOX,
            f"{', '.join(each.name for each in late)}: objects wait for {oldest / 3600:.0f} hours",
            f"{reason}\nsee: mammosono node check",
        )
    sent = [each.sent_s for each in standings if each.sent_s is not None]
    committed = [each.committed_s for each in standings if each.committed_s is not None]
    return ok(
        OUTBOX,
        f"nothing waits for long; {_ago('sent', sent)}, {_ago('committed', committed)}",
    )


def certificates(settings: Settings, host: Host) -> CheckResult:
    """Of those that dicom.toml names; the destinations' own: mammosono node check."""
    from mammosono.appliance.node import config
    from mammosono.appliance.node.config import ConfigError
    from mammosono.appliance.node.probe import dates_of

    file = settings.state_folder() / config.FILE
    if not file.exists():
        return note(CERTIFICATES, f"there is no {config.FILE}: no DICOM node is set up")
    try:
        loaded = config.load(file)
    except ConfigError as error:
        return fail(CERTIFICATES, str(error), "correct it")
    named: list[tuple[str, Path]] = []
    if loaded.tls is not None:
        named.append(("tls.client_ca", loaded.path(loaded.tls.client_ca)))
        if loaded.tls.certificate is not None:
            named.append(("tls.certificate", loaded.path(loaded.tls.certificate)))
    for each in loaded.destinations:
        if each.way.tls is not None:
            named += [
                (f"destination.{key} of {each.name}", path)
                for key, path in (
                    ("ca", each.way.tls.ca),
                    ("certificate", each.way.tls.certificate),
                )
                if path is not None
            ]
    if not named:
        return note(CERTIFICATES, f"{config.FILE} names none")
    now = datetime.fromtimestamp(host.now(), timezone.utc)
    ends = []
    for key, path in named:
        dates = dates_of(path)
        if dates is None:
            return fail(CERTIFICATES, f"{key} holds none that can be read", "give a PEM file")
        if wrong := dates.wrong(now):
            return fail(
                CERTIFICATES,
                f"{key} {wrong}",
                "install one that holds\nif it should hold: set the clock",
            )
        ends.append((dates.end, key))
    end, key = min(ends)
    if end - now < SOON:
        return warn(CERTIFICATES, f"{key} ends on {end:%Y-%m-%d}", "install a new one before")
    return ok(CERTIFICATES, f"all hold; the first to end is {key}, on {end:%Y-%m-%d}")


def _ago(what: str, seconds: Sequence[float]) -> str:
    return f"last {what} {min(seconds) / 3600:.0f} hours ago" if seconds else f"never {what}"
