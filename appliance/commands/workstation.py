"""`mammosono post` and `mammosono watch`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mammosono.appliance.commands.images import Lateralities, Mammograms, Ultrasounds, Views
from mammosono.appliance.commands.kit import Console, fail, say_json
from mammosono.appliance.output.printable import printable

LOOK_S = 1.0

Url = Annotated[
    str,
    typer.Option(
        metavar="URL", envvar="MAMMOSONO_URL", help="The appliance, https://ADDRESS:PORT."
    ),
]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that holds the workstation's token.")
]
Ca = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The appliance's certificate, if self-signed.")
]


def post(
    url: Url,
    token_file: TokenFile = None,
    ca: Ca = None,
    mammogram: Mammograms = None,
    ultrasound: Ultrasounds = None,
    laterality: Lateralities = None,
    view: Views = None,
    study: Annotated[
        str | None, typer.Option(metavar="ID", help="Your key for the study; no patient's name.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result document and nothing else.")
    ] = False,
) -> None:
    """Have the images of one patient read by an appliance.

    Exit status 0: a reading was made, whatever the verdict. 2: it was not; one line says why.
    """
    from mammosono.appliance.output.document import Result
    from mammosono.appliance.output.terminal import print_reading
    from mammosono.appliance.values import Modality
    from mammosono.appliance.workstation.client import (
        ApplianceClient,
        ClientError,
        Unavailable,
        new_study_id,
    )

    files = [(Modality.MG, path) for path in mammogram or []]
    files += [(Modality.US, path) for path in ultrasound or []]
    if not files:
        fail("Give a file with --mammogram, --ultrasound or both.")
    study = study or new_study_id()
    try:
        with (
            Console(stderr=True).status(escape(f"Waiting for {url}")),
            ApplianceClient(url, _token(token_file), ca) as appliance,
        ):
            document = appliance.read(files, study, laterality or [], view or [])
    except OSError as error:
        fail(f"{error.strerror}: {Path(error.filename or '').name}")
    except Unavailable as error:
        fail(f"{error}; to go on, post the same files with --study {study}")
    except ClientError as error:
        fail(str(error))
    if as_json:
        say_json(json.dumps(document))
        return
    try:
        result = Result.parse(document)
    except ValueError:
        fail("The answer is no result that this version can read; --json prints it as it is.")
    print_reading(Console(), result.id, result.reading())


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False)],
    url: Url,
    token_file: TokenFile = None,
    ca: Ca = None,
    settle: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds a file must be unchanged.")
    ] = 3.0,
    alone: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="Seconds one test waits for the other; then alone."),
    ] = 600.0,
    pair_days: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Days that a DICOM pair's two dates may lie apart; 0 is none."
        ),
    ] = 0,
) -> None:
    """Post every pair that appears in a folder, once it is whole; the answer lies beside it.

    A pair is DICOM files of one patient and day, or KEY_mg.png with KEY_us.png. The answer is
    KEY.result.json, or KEY.problem.json. Ends with Ctrl-C; can be killed and started again.
    """
    from mammosono.appliance.workstation.client import ApplianceClient, ClientError
    from mammosono.appliance.workstation.hot_folder import HotFolder, Timing

    try:
        with ApplianceClient(url, _token(token_file), ca) as appliance:
            hot_folder = HotFolder(
                folder, appliance, Timing(settle, alone), log=_log, pair_days=pair_days
            )
            _log(f"watching {folder.name}")
            while True:
                hot_folder.look()
                time.sleep(LOOK_S)
    except ClientError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.strerror}: {Path(error.filename or '').name}")
    except KeyboardInterrupt:
        _log("ended")


def _log(line: str) -> None:
    """A line with its time; a name of a file may hold anything."""
    text = f"{time.strftime('%H:%M:%S')} {printable(line)}"
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _token(file: Path | None) -> str | None:
    """Raises OSError."""
    try:
        return file.read_text("utf-8").strip() if file else None
    except UnicodeDecodeError:
        fail("The token file holds no text.")
