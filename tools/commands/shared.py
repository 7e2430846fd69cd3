"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Index = Annotated[
    Path,
    typer.Option(
        "--data", metavar="INDEX", help="index.csv of the labelled images.", dir_okay=False
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="NAME", help="Use this source alone; may be repeated."),
]
OutOfFold = Annotated[
    list[Path] | None,
    typer.Option(
        "--out-of-fold",
        metavar="RUN",
        help="Run of a fold or of other hospitals: what it has not learned from, read by it, "
        "chooses in place of val. Repeated, until every image was held back once.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]


def trained_sources(bundle: Path | None) -> list[str]:
    """The sources that a bundle learned from; None is the shipped one.

    Raises BundleError, and ValueError if its manifest does not say.
    """
    from mammosono.appliance.pipeline.model import SHIPPED
    from mammosono.engines.bundle import open_bundle

    training = open_bundle(bundle or SHIPPED).manifest.get("training", {})
    if "sources" not in training:
        raise ValueError("the bundle does not say what it learned from: name --source")
    return list(training["sources"])
