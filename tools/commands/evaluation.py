"""`evaluate`, `operating-points` and `report`: figures of a bundle on labelled images."""

from __future__ import annotations

import json
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mammosono.appliance.commands.kit import Console, say, say_json
from mammosono.tools.commands.shared import Index, Json, OutOfFold, Sources, trained_sources
from mammosono.tools.console import bar, bars, refusals

ClassFree = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Judge only lesions on this source, not benign and malignant; may be repeated. "
        "[default: as the bundle was trained]",
    ),
]


class Split(str, Enum):
    train = "train"
    val = "val"
    test = "test"


class DenoiseChoice(str, Enum):
    on = "on"
    off = "off"
    log = "log"


def evaluate(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to judge.")],
    data: Index,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for tables and per-image rows.")],
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.test,
    source: Sources = None,
    denoise: Annotated[
        DenoiseChoice,
        typer.Option(help="As on the device; not at all; ultrasound by log shrinkage."),
    ] = DenoiseChoice.on,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MG:US",
            help="Also fuse pairs of these two sources, mammograms first; may be repeated.",
        ),
    ] = None,
    class_free: ClassFree = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json, nothing else.")
    ] = False,
) -> None:
    """Run the device's own reader over labelled images and measure it, with 95 % intervals."""
    console = Console()
    with refusals():
        from mammosono.tools.evaluation.evaluate import Denoising
        from mammosono.tools.evaluation.files import run_evaluation
        from mammosono.tools.evaluation.table import as_dict, as_rich

        with bar(Console(stderr=True) if as_json else console, "reading") as progress:
            evaluation = run_evaluation(
                bundle, data, split.value, out,
                sources=source, denoising=Denoising(denoise.value),
                class_free=class_free or (), pairs=[_two_sources(text) for text in pair or ()],
                progress=progress,
            )  # fmt: skip
    if as_json:
        say_json(json.dumps(as_dict(evaluation), indent=2, allow_nan=False))
    else:
        console.print(as_rich(evaluation))


def perturb_test(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to judge.")],
    data: Index,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for readings and tables; gone on with.")
    ],
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.test,
    source: Sources = None,
    class_free: ClassFree = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=2, help="At most N images of each source, labels as there, drawn."
        ),
    ] = None,
) -> None:
    """Read pictures changed by what no reading should hang on, and say what is lost.

    Grey levels, compression, blur, resolution, borders, mirroring, marks drawn on or painted out,
    denoising off. Ctrl-C stops; the same command goes on from there.
    """
    console = Console()
    with refusals():
        from mammosono.tools.data.index import read_index, select
        from mammosono.tools.evaluation import perturbation
        from mammosono.tools.tables import terminal

        records = select(read_index(data), split=split.value, sources=source)
        with bars(console) as progress:
            rows = perturbation.perturb_test(
                bundle, perturbation.limited(records, limit), out,
                class_free=class_free or (), progress=progress,
            )  # fmt: skip
    console.print(terminal(perturbation.brief(rows), note=f"With intervals: {out}/table.md"))


def leave_one_out(
    run: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FOLDER",
            help="A run of `train` or a bundle, and what to call its row; may be repeated.",
        ),
    ],
    data: Index,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the table.")],
    split: Annotated[Split, typer.Option(help="Which images.")] = Split.test,
    source: Sources = None,
    class_free: ClassFree = None,
    denoiser: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run of `train-denoiser` that the runs learned with."),
    ] = None,
) -> None:
    """Judge runs or bundles on every hospital: those that each learned from, and the others.

    For example BUSI against BUS-BRA: train one run on either and give both.
    """
    console = Console()
    with refusals():
        from mammosono.tools.data.index import read_index, select
        from mammosono.tools.sweep import leave_one_out as crossing
        from mammosono.tools.tables import terminal

        rows = dict(_named(text) for text in run)
        records = select(read_index(data), split=split.value, sources=source)
        with bars(console) as progress:
            found = crossing.leave_one_out(
                rows, records, out,
                class_free=class_free or (), denoiser=denoiser, progress=progress,
            )  # fmt: skip
    console.print(terminal(crossing.table(found), labels=2, note=crossing.NOTE))


def _named(text: str) -> tuple[str, Path]:
    """Raises ValueError."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ValueError("--run is NAME=FOLDER")
    return name, Path(folder)


def _two_sources(text: str) -> tuple[str, str]:
    """Raises ValueError."""
    mammograms, colon, ultrasounds = text.partition(":")
    if not (mammograms and colon and ultrasounds):
        raise ValueError("--pair is MAMMOGRAMS:ULTRASOUNDS, two sources")
    return mammograms, ultrasounds


def operating_points(
    bundle: Annotated[Path, typer.Option(metavar="BUNDLE", help="Bundle folder to choose for.")],
    data: Index,
    target_sensitivity: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.01, max=1.0, help="Of the fused verdict, at least."),
    ] = None,
    target_specificity: Annotated[
        float | None,
        typer.Option(metavar="S", min=0.01, max=1.0, help="Of the fused verdict, at least."),
    ] = None,
    least: Annotated[
        float,
        typer.Option(
            metavar="S", min=0.0, max=1.0, help="Sensitivity that either modality keeps alone."
        ),
    ] = 0.5,
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0.0,
            max=0.99,
            help="Share of draws of hospitals and cases in which the target must hold.",
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="Images to choose on.")] = Split.val,
    source: Sources = None,
    out_of_fold: OutOfFold = None,
    denoiser: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run of `train-denoiser` that those runs learned with."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the points as JSON.", dir_okay=False)
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Enter the points into the bundle's manifest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Choose the two operating points together, so that the fused verdict meets a target.

    Every pair of thresholds is tried; give one target. The bundle is only changed with --write.
    """
    console = Console()
    with refusals():
        if split is Split.test:
            raise ValueError("test images choose nothing; take val")
        from mammosono.appliance.values import Modality
        from mammosono.engines.bundle import open_bundle
        from mammosono.tools.data.index import read_index, select
        from mammosono.tools.evaluation.operating_points import (
            Scored,
            Target,
            choose_for_bundle,
            enter,
        )
        from mammosono.tools.evaluation.roles import roles_of
        from mammosono.tools.export.out_of_fold import chosen_on, out_of_folds, scored_for

        target = Target(target_sensitivity, target_specificity, least, confidence)
        free = roles_of(open_bundle(bundle).manifest).class_free
        sources = [name for name in source or trained_sources(bundle) if name not in free]
        index = read_index(data)
        records = select(index, split=split.value, sources=sources)
        if not records:
            raise ValueError(
                f"no {split.value} image to choose on: sources of which only lesions are judged "
                "choose no operating point"
            )
        scored: dict[Modality, list[Scored]] = {}
        with bars(Console(stderr=True) if as_json else console) as progress:
            if out_of_fold:
                looks = out_of_folds(
                    out_of_fold, index, sources, partial(progress, "out of fold"), denoiser
                )
                scored = scored_for(bundle, looks)
            chosen = choose_for_bundle(
                bundle, records, target, partial(progress, "reading"), scored,
                chosen_on(scored, tuple(Modality), split.value),
            )  # fmt: skip
        text = json.dumps(chosen, indent=2, allow_nan=False)
        if out:
            out.write_text(text + "\n", encoding="utf-8")
        sha256 = enter(bundle, chosen) if write else None
    if as_json:
        say(text)
        return
    why = chosen["operating_points_chosen"]
    console.print(f"{why['for']}, on {why['on']}", highlight=False)
    for name, rates in why["reached"].items():
        point = chosen["operating_points"].get(name)
        at = "" if point is None else f" at {point:.4f}, {rates['n']} images"
        line = f"{name}{at}: sensitivity {rates['tpr']:.3f}, specificity {rates['tnr']:.3f}"
        console.print(line, highlight=False)
    if sha256:
        console.print(f"Written; the bundle is now sha256 {sha256[:12]}.", highlight=False)


def contact_sheets(
    evaluation: Annotated[
        Path, typer.Argument(metavar="EVALUATION", help="Folder that `evaluate` wrote.")
    ],
    data: Index,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the sheets.")],
) -> None:
    """Draw small sheets of an evaluation: each hospital's best, worst, missed and false images.

    They bear no names. The pictures are your data: put the sheets only where the data may be.
    """
    console = Console()
    with refusals():
        from mammosono.tools.data.index import read_index
        from mammosono.tools.report.evaluation_folder import read_evaluation
        from mammosono.tools.report.sheets import write_sheets

        records = {record.name: record for record in read_index(data)}
        for file, choice in write_sheets(read_evaluation(evaluation), records, out).items():
            line = f"{file.name}: {len(choice.images)} of {choice.of}"
            console.print(line, highlight=False)


def report(
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="EVALUATION...", help="Folders that `evaluate` wrote.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML file to write.", dir_okay=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="INDEX",
            help="index.csv of the images, for the pictures; they go into the report.",
            dir_okay=False,
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Run folder of `train`, for its curves; may be repeated."),
    ] = None,
    paper: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="The paper's Table I as printed; see docs/judging.md.",
            dir_okay=False,
        ),
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Print a PDF beside it, with an installed Chromium.")
    ] = False,
) -> None:
    """Make one self-contained HTML file of evaluations: tables, curves, pictures, caveats."""
    console = Console()
    with refusals():
        from mammosono.tools.report.page import make_report, print_pdf

        make_report(evaluations, out, index=data, runs=run or (), paper=paper)
        if pdf:
            print_pdf(out, out.with_suffix(".pdf"))
    for file in (out, out.with_suffix(".pdf")) if pdf else (out,):
        console.print(f"Report: {file}", highlight=False, soft_wrap=True)
