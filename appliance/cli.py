"""The command line of the appliance."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from mammosono.appliance.commands import workstation as station
from mammosono.appliance.commands.security import audit_app, token_app
from mammosono.appliance.errors import ApplianceError, NoImages, TooManyImages
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.output.document import SOFTWARE, result_json
from mammosono.appliance.output.save import save_reading
from mammosono.appliance.output.terminal import print_reading
from mammosono.appliance.phantoms.demo import NOTICE, draw_pair
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Modality, Reading, SourceImage

if TYPE_CHECKING:
    from mammosono.appliance.settings import Settings

MAX_IMAGES = 4
"""Of one modality in a study."""

app = typer.Typer(
    name="mammosono",
    help="Read a mammogram and a breast ultrasound together: denoise, find, one fused verdict.\n\n"
    "Research and engineering use only. Not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show what must not be shown.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(token_app, name="token")
app.add_typer(audit_app, name="audit")

Bundle = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the model bundle; by default the one shipped."),
]


app.command()(station.post)
app.command()(station.watch)


def main() -> None:
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(SOFTWARE)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the pictures and the report.")
    ] = Path("demo"),
    bundle: Bundle = None,
) -> None:
    """Draw a sample pair of pictures, read it, and write a report. Starts no service."""
    console = Console()
    console.print("A sample pair is drawn: these are phantoms, no patient's images.")
    try:
        mammogram, ultrasound = draw_pair(out)
    except OSError as error:
        _fail(f"cannot be written: {error.strerror}", "unwritable_folder", out.name)
    images = [
        replace(image, warnings=(*image.warnings, NOTICE))
        for image in (_load(mammogram, Modality.MG), _load(ultrasound, Modality.US))
    ]
    reading = _read(images, bundle)
    _save(out, study_id(images), reading)
    print_reading(console, study_id(images), reading)
    console.print(f"Report: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def read(
    mammogram: Annotated[
        list[Path] | None,
        typer.Option("--mammogram", "-m", metavar="FILE", help="Mammogram; up to 4 times."),
    ] = None,
    ultrasound: Annotated[
        list[Path] | None,
        typer.Option("--ultrasound", "-u", metavar="FILE", help="Ultrasound; up to 4 times."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write result.json, report.html and the pictures here."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result document and nothing else.")
    ] = False,
    bundle: Bundle = None,
) -> None:
    """Read the images of one patient: PNG, JPEG, TIFF or DICOM files.

    Exit status 0: a reading was made, whatever the verdict.
    Exit status 2: it was refused; one line on standard error says why.
    """
    chosen = {Modality.MG: mammogram or [], Modality.US: ultrasound or []}
    if not any(chosen.values()):
        _fail("Give a file with --mammogram, --ultrasound or both.", NoImages.code)
    if any(len(files) > MAX_IMAGES for files in chosen.values()):
        _fail(f"Give up to {MAX_IMAGES} images of a modality.", TooManyImages.code)
    images = [_load(file, modality) for modality, files in chosen.items() for file in files]
    study = study_id(images)
    reading = _read(images, bundle)
    if out is not None:
        _save(out, study, reading)
    if as_json:
        typer.echo(result_json(study, reading))
    else:
        print_reading(Console(), study, reading)


@app.command()
def serve(
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where to listen; by default 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=65535, help="TCP port; by default 8000."),
    ] = None,
    bundle: Bundle = None,
) -> None:
    """Run the HTTP service until it is stopped.

    Every setting can also be given in the environment as MAMMOSONO_HOST, MAMMOSONO_PORT and so on.
    """
    # The web framework takes as long to load as a reading takes to make; only here is it needed.
    from mammosono.appliance.http.app import create_app
    from mammosono.appliance.http.request_id import request_id
    from mammosono.appliance.http.server import make_server
    from mammosono.appliance.security.exposure import StartRefused
    from mammosono.appliance.telemetry import logs

    settings = _settings(host=host, port=port, bundle=bundle)
    try:
        service = create_app(settings)
        server = make_server(service, settings)
    except (StartRefused, ApplianceError) as error:
        _fail(str(error), error.code)
    with _listen(settings.host, settings.port) as listening:
        logs.set_up(settings.log_format, request_id.get)
        logger = logging.getLogger(__name__)
        logger.info("listening on %s port %d", *listening.getsockname()[:2])
        if service.state.access.open:
            logger.warning("there are no tokens: whoever reaches the box may do everything")
        server.run(sockets=[listening])


@app.command()
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the lines as JSON and nothing else.")
    ] = False,
    bundle: Bundle = None,
) -> None:
    """Look at everything that can be wrong on this box, and say what to do about it.

    Exit status 0: nothing fails. Exit status 1: something does.
    """
    from mammosono.appliance.doctor import Host, State, examine, lines_json, print_lines, worst

    settings = _settings(bundle=bundle)
    with Console(stderr=True).status("Looking at this box"):
        lines = examine(settings, Host())
    if as_json:
        typer.echo(lines_json(lines))
    else:
        print_lines(Console(), lines)
    if worst(lines) is State.FAIL:
        raise typer.Exit(1)


def _settings(**given: object) -> Settings:
    """The environment's settings, and over them what the command line gave."""
    from pydantic import ValidationError

    from mammosono.appliance.settings import Settings

    try:
        return Settings.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        _fail(f"{first['loc'][0]}: {first['msg']}", "invalid_setting")


def study_id(images: Sequence[SourceImage]) -> str:
    """A name for the study that the same images in the same order always get."""
    return hashlib.sha256("".join(image.sha256 for image in images).encode()).hexdigest()[:16]


def _listen(host: str, port: int) -> socket.socket:
    # Before the service starts, so that a taken port is one line and not a log.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        _fail(f"cannot listen: {error.strerror}", "address_unavailable", host)
    # asyncio sends at once, without Nagle's 40 ms, only where it sees that the protocol is TCP.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())


def _load(file: Path, modality: Modality) -> SourceImage:
    try:
        # Before the bytes are in memory: the name may be that of a disk image.
        Limits().admit_file(file.stat().st_size)
        return read_image(file.read_bytes(), modality)
    except ApplianceError as error:
        _fail(str(error), error.code, file.name)
    except OSError as error:
        _fail(f"cannot be read: {error.strerror}", "unreadable_file", file.name)


def _read(images: Sequence[SourceImage], bundle: Path | None) -> Reading:
    settings = _settings(bundle=bundle)
    try:
        with (
            Console(stderr=True).status(f"Reading {len(images)} images"),
            Reader.open(settings.bundle, settings.network()) as reader,
        ):
            return reader.read(images)
    except ApplianceError as error:
        _fail(str(error), error.code)


def _save(folder: Path, study: str, reading: Reading) -> None:
    try:
        save_reading(folder, study, reading)
    except OSError as error:
        _fail(f"cannot be written: {error.strerror}", "unwritable_folder", folder.name)


def _fail(message: str, code: str, name: str | None = None) -> NoReturn:
    """End with one line on standard error and exit status 2."""
    line = f"error: {name}: {message} ({code})" if name else f"error: {message} ({code})"
    # A file name may hold line ends and terminal codes.
    typer.echo("".join(sign if sign.isprintable() else "?" for sign in line), err=True)
    raise typer.Exit(2)
