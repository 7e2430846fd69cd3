"""Helpers of all commands: what they print and refuse, settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import rich.console
import typer
from rich.segment import Segment

from mammosono.appliance.output.printable import escaped, printable, printable_lines

if TYPE_CHECKING:
    from mammosono.appliance.settings import Settings


class Console(rich.console.Console):
    """Console on which nothing but the console itself moves the cursor, sets colours or titles."""

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable_lines(segment.text), segment.style)


def say(text: str, *, end: bool = True) -> None:
    """Print lines on standard output. end: with a line end behind the last one."""
    typer.echo(printable_lines(text), nl=end)


def say_json(document: str) -> None:
    """Print a JSON document on standard output."""
    typer.echo(escaped(document))


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
