"""`mammosono post` and `mammosono watch`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

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
    mammogram: Annotated[
        list[Path] | None,
        typer.Option("--mammogram", "-m", metavar="FILE", help="Mammogram; up to 4 times."),
    ] = None,
    ultrasound: Annotated[
        list[Path] | None,
        typer.Option("--ultrasound", "-u", metavar="FILE", help="Ultrasound; up to 4 times."),
    ] = None,
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
    from mammosono.appliance.workstation.client import ApplianceClient, ClientError

    files = [(Modality.MG, path) for path in mammogram or []]
    files += [(Modality.US, path) for path in ultrasound or []]
    if not files:
        fail("Give a file with --mammogram, --ultrasound or both.")
    try:
        with (
            Console(stderr=True).status(escape(f"Waiting for {url}")),
            ApplianceClient(url, _token(token_file), ca) as appliance,
        ):
            document = appliance.read(files, study)
    except OSError as error:
        fail(f"{error.strerror}: {Path(error.filename or '').name}")
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
) -> None:
    """Post every pair that appears in a folder, once it is whole; the answer lies beside it.

    A pair is DICOM files of one patient and day, or KEY_mg.png with KEY_us.png. The answer is
    KEY.result.json, or KEY.problem.json. Ends with Ctrl-C; can be killed and started again.
    """
    from mammosono.appliance.workstation.client import ApplianceClient, ClientError
    from mammosono.appliance.workstation.hot_folder import HotFolder, Timing

    console = Console(stderr=True)

    def log(line: str) -> None:
        console.log(printable(line), markup=False, highlight=False)

    try:
        with ApplianceClient(url, _token(token_file), ca) as appliance:
            hot_folder = HotFolder(folder, appliance, Timing(settle, alone), log=log)
            log(f"watching {folder.name}")
            while True:
                hot_folder.look()
                time.sleep(LOOK_S)
    except ClientError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.strerror}: {Path(error.filename or '').name}")
    except KeyboardInterrupt:
        log("ended")


def _token(file: Path | None) -> str | None:
    return file.read_text("utf-8").strip() if file else None
