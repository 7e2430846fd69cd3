"""Console of the offline commands: refusals in one line, progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from mammosono.appliance.commands.kit import fail
from mammosono.appliance.errors import ApplianceError
from mammosono.engines.errors import EngineError

__all__ = ["bar", "bars", "fail", "refusals"]


@contextmanager
def refusals() -> Iterator[None]:
    """What a user can mend is one line and exit status 2."""
    try:
        yield
    except OSError as error:
        fail(f"{Path(str(error.filename or 'file')).name}: {error.strerror or error}")
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed: pip install 'mammosono[train]'")
    except (ApplianceError, EngineError, ValueError, ArithmeticError) as error:
        fail(str(error))


@contextmanager
def bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each kind of work as it begins."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as progress:

        def advance(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done)

        yield advance


@contextmanager
def bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    with bars(console) as advance:
        yield lambda done, of: advance(what, done, of)
