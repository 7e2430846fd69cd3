"""`mammosono node check`, `outbox`, `send`, `fetch` and `conformance`: our side of the PACS."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from mammosono.appliance.commands.kit import Console, fail, say, say_json, settings
from mammosono.appliance.commands.node import (
    SHOWN_DIGITS,
    ConfigOption,
    JsonOption,
    load_config,
    require_extra,
)

if TYPE_CHECKING:
    from mammosono.appliance.node.outbox import Entry, Outbox


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check every destination: reached, trusted, what it takes, whether it commits to keep it.

    Nothing is stored there. Exit status 1 if something fails.
    """
    from mammosono.appliance.doctor import State, lines_json, worst
    from mammosono.appliance.doctor.show import print_results

    require_extra()
    from mammosono.appliance.node.check import check as checked

    loaded = load_config(config)
    outbox = _open(made=True)
    with Console(stderr=True).status("Checking the destinations"):
        results = list(checked(loaded.destinations, outbox, (loaded.listen, loaded.port)))
    if as_json:
        say_json(lines_json(results))
    else:
        print_results(Console(), results)
    if worst(results) is State.FAIL:
        raise typer.Exit(1)


def outbox(as_json: JsonOption = False) -> None:
    """List what is sent, a line for each case and destination, and why not, if it is not."""
    rows = _rows(_open().entries())
    if as_json:
        say_json(json.dumps({"cases": rows}))
        return
    table = Table("Case", "To", "Objects", "Reason")
    for row in rows:
        counted = ", ".join(f"{count} {state}" for state, count in row["objects"].items())
        table.add_row(row["case"][:SHOWN_DIGITS], row["destination"], counted, row["reason"])
    Console().print(table if rows else "The outbox is empty.")


def send(
    case: Annotated[str, typer.Argument(metavar="CASE", help="Its key, or how it begins.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME", help="A destination; by default all that had it."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Send a case's objects again; a PACS that has them keeps one of each.

    `mammosono node run` does the sending; what waits already is not hurried.
    """
    names = [destination.name for destination in load_config(config).destinations]
    if to is not None and to not in names:
        known = ", ".join(names) or "none"
        fail(f"dicom.toml has no destination of this name; there are: {known}", "unknown_place")
    box = _open()
    cases = {entry.case for entry in box.entries() if entry.case.startswith(case)}
    if not case or len(cases) != 1:
        fail(
            "several cases begin so; give more of the key" if cases else "no case begins so",
            "unknown_case",
        )
    count = box.send_again(cases.pop(), to)
    say(f"{count} objects wait to be sent." if count else "All of it waits to be sent already.")


def fetch(
    source: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The destination that has the exams.")
    ],
    patient_id: Annotated[str, typer.Option("--patient-id", metavar="ID")] = "",
    issuer: Annotated[str, typer.Option(metavar="X", help="Of the ID.")] = "",
    dates: Annotated[
        str, typer.Option(metavar="DATES", help="Of the studies: 20261101 or 20261101-20261130.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Have a PACS send the mammograms and ultrasound of a patient, or of some days, to the node.

    `mammosono node run` takes them, as if they had just been made.
    """
    require_extra()
    from mammosono.appliance.node import query
    from mammosono.appliance.node.association import Rejected
    from mammosono.appliance.node.destinations import Dimse
    from mammosono.appliance.node.peers import fetching
    from mammosono.appliance.node.probe import Unreachable
    from mammosono.appliance.node.quiet import quiet_libraries

    quiet_libraries()
    ways = {each.name: each.way for each in load_config(config).destinations}
    way = ways.get(source)
    if not isinstance(way, Dimse):
        known = ", ".join(name for name, each in ways.items() if isinstance(each, Dimse)) or "none"
        fail(f"there is no such destination that speaks DICOM; there are: {known}", "unknown_place")
    total = query.Moved()
    try:
        found = query.find(way, patient_id=patient_id, issuer=issuer, dates=dates)
        with fetching(settings().state_folder(), source):
            for series, moved in query.fetch(way, found):
                total += moved
                say(f"{series.modality} of {series.date}: {moved.stored} images")
    except OSError:
        fail("the state folder cannot be written; run this as the node's user", "storage_failed")
    except (query.QueryFailed, Rejected, Unreachable) as error:
        fail(str(error), "not_fetched", source)
    if total.failed:
        fail(f"{total.failed} images did not come; node run says why", "not_fetched", source)
    say(f"{total.stored} images came." if found else "The PACS has no such exam.")


def conformance() -> None:
    """Print the DICOM conformance statement of this version, in Markdown."""
    require_extra()
    from mammosono.appliance.node.conformance import statement

    say(statement(), end=False)


def _open(*, made: bool = False) -> Outbox:
    """made: even if there is none yet."""
    import sqlite3

    from mammosono.appliance.node.outbox import FOLDER, Outbox, OutboxError

    folder = settings().state_folder() / FOLDER
    if not made and not folder.exists():
        fail("nothing was ever to be sent from this state folder", "no_node")
    try:
        return Outbox(folder)
    except OutboxError as error:
        fail(str(error), "storage_failed")
    except (OSError, sqlite3.Error):
        fail("the outbox cannot be opened; run this as the node's user", "storage_failed")


def _rows(entries: list[Entry]) -> list[dict[str, Any]]:
    """reason: of one that waits or was refused, as all mostly have the same."""
    grouped: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        grouped.setdefault((entry.case, entry.destination), []).append(entry)
    return [
        {
            "case": case,
            "destination": destination,
            "objects": Counter(entry.state.value for entry in some),
            "reason": next((entry.reason for entry in some if entry.reason), ""),
        }
        for (case, destination), some in grouped.items()
    ]
