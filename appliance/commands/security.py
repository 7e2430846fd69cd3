"""`mammosono token ...` and `mammosono audit ...`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table

from mammosono.appliance.commands.kit import Console, fail, say, say_json, settings
from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.security import audit, tokens
from mammosono.appliance.security import audit_events as events
from mammosono.appliance.security.audit import REMEDY, AuditLog, BrokenChain
from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import TokenRefused, Tokens

token_app = typer.Typer(
    help="Who may use the service: add, list and revoke tokens. It needs no restart.",
    no_args_is_help=True,
)
audit_app = typer.Typer(help="The record of who did what.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON document and nothing else.")]


@token_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Of the workstation or the person.")],
    role: Annotated[
        list[Role],
        typer.Option(
            "--role",
            "-r",
            help="workstation: posts, sees its own studies. reader: sees all. technician: "
            "health, deletes. May be given several times.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it. It is shown this once; the appliance keeps only its hash."""
    state = settings().state_folder()
    roles = sorted(set(role))
    try:
        secret = Tokens(state / tokens.FILE).add(name, roles)
    except (TokenRefused, StorageFailed, OSError) as error:
        _refuse(error)
    _record(state, events.token_added(name, roles))
    if as_json:
        names = [role.value for role in roles]
        say_json(json.dumps({"name": name, "roles": names, "token": secret}))
    else:
        say(secret)


@token_app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the tokens by name, role and date; the tokens themselves are stored nowhere."""
    try:
        known = sorted(
            Tokens(settings().state_folder() / tokens.FILE).all(), key=lambda token: token.name
        )
    except (StorageFailed, OSError) as error:
        _refuse(error)
    rows = [
        (token.name, sorted(role.value for role in token.roles), token.created.isoformat())
        for token in known
    ]
    if as_json:
        documents = [{"name": n, "roles": roles, "created": made} for n, roles, made in rows]
        say_json(json.dumps({"tokens": documents}))
        return
    table = Table("Name", "Roles", "Created")
    for name, roles, made in rows:
        table.add_row(name, ", ".join(roles), made)
    Console().print(table if rows else "No tokens.")


@token_app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="Of the token.")]) -> None:
    """Take a token back. Its next request is refused; its studies stay under its name."""
    state = settings().state_folder()
    store = Tokens(state / tokens.FILE)
    try:
        store.revoke(name)
    except (TokenRefused, StorageFailed, OSError) as error:
        _refuse(error)
    _record(state, events.token_revoked(name))
    last = "" if store.all() else " It was the last one: nobody gets in until another is added."
    say(f"Revoked.{last}")


@token_app.command("forget")
def forget() -> None:
    """Remove all tokens, and open the service to everybody on this machine, as at its first start.

    Also for a token file that is lost or damaged. It holds from the next start on.
    """
    state = settings().state_folder()
    try:
        Tokens(state / tokens.FILE).forget()
    except OSError as error:
        _refuse(error)
    _record(state, events.tokens_forgotten())
    say("Forgotten: from the next start on, everybody on this machine may do everything.")


@audit_app.command("verify")
def verify_(
    holds: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A hash noted earlier that must be part of the chain."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that no line of the audit log was changed, taken out or put in, at its end, too.

    Exit status 2 if one was. Note the hash somewhere else, and give it as --holds the next time:
    then the log cannot have been written anew, either.
    """
    try:
        log = AuditLog(settings().state_folder() / audit.FILE).verify(holds)
    except FileNotFoundError:
        fail("there is no audit log yet", "no_audit_log")
    except OSError as error:
        fail(f"the audit log cannot be read: {error.strerror}", "storage_failed")
    except BrokenChain as error:
        fail(f"the audit log was tampered with or damaged: {error}; {REMEDY}", "broken_chain")
    if not log.known:
        fail("the audit log does not hold that hash: it was cut or written anew", "broken_chain")
    if as_json:
        say_json(json.dumps({"events": log.events, "head": log.head, "torn": log.torn}))
        return
    say(f"{log.events} events, unbroken. Hash of the last: {log.head}")
    if log.torn:
        say("The last line is cut short, as by a power cut; the next event replaces it.")
    if not log.recorded:
        say("An earlier version wrote it: lines missing at its end would not show.")


@audit_app.command("begin-anew")
def begin_anew() -> None:
    """Put the audit log away and begin another, whose first event names the last one of the old.

    For a log that was found cut or damaged, and for one that has grown large. Keep what was put
    away; it lies beside the new one.
    """
    try:
        put_away = AuditLog(settings().state_folder() / audit.FILE).begin_anew(
            events.log_begun_anew
        )
    except OSError as error:
        fail(f"the audit log cannot be begun anew: {error.strerror}", "storage_failed")
    say(f"Begun anew. The old one is {put_away.name}." if put_away else "Begun anew.")


def _record(state: Path, event: events.AuditEvent) -> None:
    try:
        AuditLog(state / audit.FILE).append(event)
    except OSError as error:
        fail(f"done, but the audit log cannot be written: {error.strerror}", "storage_failed")


def _refuse(error: Exception) -> NoReturn:
    if isinstance(error, OSError):
        fail(f"the state folder cannot be written: {error.strerror}", "storage_failed")
    code = "token_refused" if isinstance(error, TokenRefused) else StorageFailed.code
    fail(str(error), code)
