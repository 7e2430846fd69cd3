"""Engine build: started under the worker's Python, its progress shown.

Nothing is computed here: the Python that has NVIDIA's module may be another one than this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mammosono.engines.bundle import open_bundle
from mammosono.engines.errors import EngineUnavailable
from mammosono.engines.python_launch import OF_THIS_PYTHON, command
from mammosono.engines.trt.build import PRECISIONS, WORKSPACE_MB
from mammosono.engines.trt.build_job import LOG, BuildEvent, parse_event
from mammosono.engines.trt.plan import plans_of

LAST_LINES = 12
STOP_S = 10.0


class BuildFailed(EngineUnavailable):
    """No plans were built; those that were there are as they were."""


def build_engine(
    folder: Path,
    console: Console,
    *,
    python: Path | None = None,
    plans: Path | None = None,
    workspace_mb: int = WORKSPACE_MB,
    precision: str = PRECISIONS[0],
) -> None:
    """Build the plans of the bundle in `folder` on this device and show it on `console`.

    python: the interpreter that has TensorRT and PyCUDA; this one if None.
    plans: folder of the plans; `plans` in the bundle's folder if None.
    workspace_mb: device memory that one layer may use, MiB. precision: "fp16" or "fp32".

    Raises BundleError, or BuildFailed with the remedy after the end of the log was shown.
    """
    bundle = open_bundle(folder)
    target = Path(plans_of(bundle)) if plans is None else plans.absolute()
    log = target / LOG
    before = _changed(log)
    arguments = [bundle.folder, "--plans", str(target), "--precision", precision]
    arguments += ["--workspace-mb", str(workspace_mb)]
    start = command(str(python or sys.executable), "mammosono.engines.trt.build", arguments)
    try:
        with _activity(console) as doing:
            for event in _events(start, own=python is None):
                if (now := activity(event)) is not None:
                    doing(now)
                if (line := lasting_line(event)) is not None:
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
    except BuildFailed:
        if _changed(log) != before:  # else nobody wrote to it this time
            for line in log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]:
                console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
        raise
    console.print(f"Plans: {target}", markup=False, highlight=False, soft_wrap=True)


def activity(event: BuildEvent) -> str | None:
    """What is being done from this event on; None if the event does not say."""
    match event:
        case {"event": "stage", "stage": stage, "precision": precision, "number": n, "of": of}:
            return f"{stage}, {precision}, {n} of {of}"
        case {"event": "progress", "stage": stage, "timed": timed, "layer": layer}:
            return f"{stage}: {timed} kernels timed, now {layer}"
        case {"event": "trial"}:
            return "trying the plans"
        case {"event": "trying", "stage": stage}:
            return f"trying {stage}"
    return None


def lasting_line(event: BuildEvent) -> str | None:
    """The line that stays on the screen; None if the event leaves none."""
    match event:
        case {"event": "built", "stage": stage, "precision": precision, "log": log}:
            return f"{stage}: built, {precision}, {'; '.join(log)}"
        case {"event": "verdict", "stage": stage, "reason": "", "figures": figures}:
            return f"{stage}: good; " + ", ".join(f"{k} {v:.3g}" for k, v in figures.items())
        case {"event": "verdict", "stage": stage, "reason": reason}:
            return f"{stage}: not good; {reason}"
        case {"event": "fallback", "stage": stage, "precision": precision}:
            return f"{stage}: to be built again, {precision}"
    return None


def _events(start: list[str], own: bool) -> Iterator[BuildEvent]:
    """Events of the build, to its end. own: it runs under this very Python."""
    env = {k: v for k, v in os.environ.items() if own or k not in OF_THIS_PYTHON}
    with TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                start, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words,
                cwd="/", env=env,
            )  # fmt: skip
        except OSError as error:
            raise BuildFailed(
                f"the worker's Python cannot be started ({error.strerror}); name one that is "
                "installed: --python /usr/bin/python3.6"
            ) from error
        failure = ""
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    event = parse_event(line)
                    if event is not None and event["event"] == "error":
                        failure = str(event["message"])
                    elif event is not None:
                        yield event
            status = process.wait()
        except KeyboardInterrupt as error:
            raise BuildFailed("stopped; the plans are as they were") from error
        finally:
            _stop(process)
        if status or failure:
            words.seek(0)
            raise BuildFailed(failure or _ended(status, words.read().decode("utf-8", "replace")))


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ended(status: int, words: str) -> str:
    last = next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "")
    how = f"signal {-status}" if status < 0 else f"status {status}"
    reason = f" ({last[:200]})" if last else ""
    return (
        f"the build ended with {how}{reason}; numpy, TensorRT and PyCUDA must be installed for "
        "the Python given with --python"
    )


def _changed(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


@contextmanager
def _activity(console: Console) -> Iterator[Callable[[str], None]]:
    """A line at the foot of the screen: what is being done, and for how long it has been."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda text: progress.update(task, description=text)
