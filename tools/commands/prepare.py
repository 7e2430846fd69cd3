"""`prepare` and `phantoms`."""

from __future__ import annotations

import json
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mammosono.appliance.commands.kit import Console, say_json
from mammosono.tools.commands.shared import Json
from mammosono.tools.console import bars, fail, refusals
from mammosono.tools.prepare.readers import Layout

if TYPE_CHECKING:
    from mammosono.tools.prepare.item import Remark
    from mammosono.tools.prepare.run import PreparedSet, Tally


_SHOWN_OF_A_REASON = 20


class ModalityName(str, Enum):
    mammogram = "mammogram"
    ultrasound = "ultrasound"


def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE", help="Folders or files of data sets; several make one set."
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the prepared set; resumed if it exists.")
    ],
    layout: Annotated[
        Layout, typer.Option("--format", help="Layout of the sources; auto looks at each.")
    ] = Layout.AUTO,
    modality: Annotated[
        ModalityName | None,
        typer.Option(help="Of VIA pictures whose file attributes do not say it."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Draws among equal groups.")] = 0,
    keep_split: Annotated[
        bool,
        typer.Option("--keep-split", help="Keep the source's own split where it has one."),
    ] = False,
    denoise: Annotated[
        bool,
        typer.Option("--denoise", help="Also write the pictures denoised at network size."),
    ] = False,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Network size for --denoise.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn data sets as downloaded into images, masks, index.csv, VIA and COCO, split 8:1:1.

    Groups of a patient and of near-duplicates stay on one side. A second run goes on where the
    first stopped. What was left out stands in skipped.csv, a line each.
    """
    if denoise != (size is not None):
        fail("--denoise and --size go together, for example --denoise --size 640x448")
    network_size = _size(size) if size else None
    if any(out.resolve() in (source.resolve(), *source.resolve().parents) for source in sources):
        fail("the output folder holds the source, whose index would be lost; give another --out")
    console = Console(stderr=as_json)
    with refusals():
        from mammosono.appliance.modality import BY_PART
        from mammosono.tools.prepare.denoised import write_denoised
        from mammosono.tools.prepare.readers.detect import offer
        from mammosono.tools.prepare.run import prepare as run

        stated = BY_PART[modality.value] if modality else None
        offers = [(source.name, offer(source, layout, stated)) for source in sources]
        with bars(console) as on_progress:
            prepared = run(
                offers, out, seed=seed, keep_split=keep_split, on_progress=on_progress,
                on_remark=_Lines(console),
            )  # fmt: skip
            denoised = network_size and write_denoised(
                prepared.placed,
                out,
                network_size,
                seed=seed,
                kept=keep_split,
                on_progress=on_progress,
            )
    summary = _summary(prepared, denoised or None)
    if as_json:
        say_json(json.dumps(summary, indent=2, allow_nan=False))
    else:
        _show(console, out, summary)


class _Lines:
    """One line a remark, so many of a reason; the rest is in skipped.csv."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts: Counter[str] = Counter()

    def __call__(self, kind: str, remark: Remark) -> None:
        self._counts[remark.reason] += 1
        count = self._counts[remark.reason]
        if count <= _SHOWN_OF_A_REASON:
            text = f"{kind}: {remark.what}: {remark.reason}"
        elif count == _SHOWN_OF_A_REASON + 1:
            text = f"{kind}: more of them: {remark.reason} (all in skipped.csv)"
        else:
            return
        # Names come from files and may hold line ends and terminal codes.
        line = "".join(sign if sign.isprintable() else "?" for sign in text)
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _summary(prepared: PreparedSet, denoised: Tally | None) -> dict[str, Any]:
    summary = _counts(prepared.tally)
    if denoised:
        summary["denoised"] = _counts(denoised)
    return {**summary, "split": prepared.split}


def _counts(tally: Tally) -> dict[str, Any]:
    return {
        "images": tally.stored + tally.kept,
        "written": tally.stored,
        "kept": tally.kept,
        "skipped": tally.counts("skipped"),
        "noted": tally.counts("noted"),
    }


def _show(console: Console, out: Path, summary: dict[str, Any]) -> None:
    def line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    line(f"Read: {summary['images']} ({summary['written']} new, {summary['kept']} from before).")
    for kind in ("skipped", "noted"):
        for reason, count in summary[kind].items():
            line(f"{kind.capitalize()}: {count}: {reason}")
    split = summary["split"]
    for name, strata in split["counts"].items():
        counted = ", ".join(f"{stratum} {count}" for stratum, count in strata.items())
        line(f"{name}: {sum(strata.values())} ({counted})")
    if split["largest_group"] > summary["images"] / 10:
        line(
            f"Beware: one group has {split['largest_group']} pictures, so the shares are not 8:1:1."
        )
    if "denoised" in summary:
        again = summary["denoised"]
        line(f"Denoised: {again['images']} ({again['kept']} from before).")
    line(f"Groups: {split['groups']}. Split sha256: {split['sha256']}")
    line(f"Prepared: {out / 'index.csv'}")


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        fail("--size is HEIGHTxWIDTH, for example 640x448")
    if min(height, width) < 64:
        fail("--size must be at least 64 on each side")
    return height, width


def phantoms(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the PNGs and index.csv.")],
    count: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Pictures of each modality; 12 fill every split."),
    ] = 12,
    seed: Annotated[int, typer.Option(metavar="N", help="First seed.")] = 1,
) -> None:
    """Draw labelled test pictures with exact masks, as an index that train and evaluate read.

    Their source is `phantom`: the name to give with --source.
    """
    with refusals():
        from mammosono.tools.data.draw import draw_index

        path = draw_index(out, count, seed)
    Console().print(f"Drawn: {path}", highlight=False, soft_wrap=True)
