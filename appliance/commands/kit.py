"""Helpers of all commands: refusal in one line, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import typer

from mammosono.appliance.output.printable import printable

if TYPE_CHECKING:
    from mammosono.appliance.settings import Settings


def fail(message: str, code: str | None = None, name: str | None = None) -> NoReturn:
    """End with one line on standard error, `error: name: message (code)`, and exit status 2."""
    line = ": ".join(part for part in ("error", name, message) if part)
    typer.echo(printable(f"{line} ({code})" if code else line), err=True)
    raise typer.Exit(2)


def settings(**options: object) -> Settings:
    """The settings of the environment; options of the command line, if not None, replace them."""
    from pydantic import ValidationError

    from mammosono.appliance.settings import Settings

    try:
        return Settings.model_validate({k: v for k, v in options.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"{first['loc'][0]}: {first['msg']}", "invalid_setting")
