"""`mammosono read` and `mammosono demo`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammosono.appliance.commands.kit import Console, fail, say_json, settings
from mammosono.appliance.errors import ApplianceError, InvalidField, NoImages, TooManyImages

if TYPE_CHECKING:
    from mammosono.appliance.values import Laterality, Modality, Reading, SourceImage

MAX_IMAGES = 4
"""Of one modality in a study."""

BundleOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the model bundle; by default the one shipped."),
]


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the pictures and the report.")
    ] = Path("demo"),
    bundle: BundleOption = None,
) -> None:
    """Draw a sample pair of pictures, read it, and write a report. Starts no service."""
    from mammosono.appliance.output.terminal import print_reading
    from mammosono.appliance.phantoms.demo import NOTICE, draw_pair
    from mammosono.appliance.values import Modality

    console = Console()
    console.print("A sample pair is drawn: these are phantoms, no patient's images.")
    try:
        mammogram, ultrasound = draw_pair(out)
    except OSError as error:
        fail(f"cannot be written: {error.strerror}", "unwritable_folder", out.name)
    images = [
        replace(image, warnings=(*image.warnings, NOTICE))
        for image in (_load(mammogram, Modality.MG), _load(ultrasound, Modality.US))
    ]
    reading = _read(images, bundle)
    _save(out, study_id(images), reading)
    print_reading(console, study_id(images), reading)
    console.print(f"Report: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def read(
    mammogram: Annotated[
        list[Path] | None,
        typer.Option("--mammogram", "-m", metavar="FILE", help="Mammogram; up to 4 times."),
    ] = None,
    ultrasound: Annotated[
        list[Path] | None,
        typer.Option("--ultrasound", "-u", metavar="FILE", help="Ultrasound; up to 4 times."),
    ] = None,
    laterality: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L|R",
            help="Side, where the file does not say: of all images, or once for each, mammograms "
            "first.",
        ),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(metavar="CC|MLO|...", help="View of the mammograms, likewise."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write result.json, report.html and the pictures here."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result document and nothing else.")
    ] = False,
    bundle: BundleOption = None,
) -> None:
    """Read the images of one patient: PNG, JPEG, TIFF or DICOM files.

    Exit status 0: a reading was made, whatever the verdict.
    Exit status 2: it was refused; one line on standard error says why.
    """
    from mammosono.appliance.output.document import Result
    from mammosono.appliance.output.terminal import print_reading
    from mammosono.appliance.values import Modality

    chosen = {Modality.MG: mammogram or [], Modality.US: ultrasound or []}
    if not any(chosen.values()):
        fail("Give a file with --mammogram, --ultrasound or both.", NoImages.code)
    if any(len(files) > MAX_IMAGES for files in chosen.values()):
        fail(f"Give up to {MAX_IMAGES} images of a modality.", TooManyImages.code)
    files = [(modality, file) for modality, files in chosen.items() for file in files]
    said = _said(laterality or [], view or [], len(files))
    images = [
        _load(file, modality, *each) for (modality, file), each in zip(files, said, strict=True)
    ]
    study = study_id(images)
    reading = _read(images, bundle)
    if out is not None:
        _save(out, study, reading)
    if as_json:
        say_json(Result.of(study, reading).to_json())
    else:
        print_reading(Console(), study, reading)


def study_id(images: Sequence[SourceImage]) -> str:
    """Id of a study of these images: the same for the same images in the same order."""
    return hashlib.sha256("".join(image.sha256 for image in images).encode()).hexdigest()[:16]


def _said(
    sides: Sequence[str], seen: Sequence[str], images: int
) -> list[tuple[Laterality | None, str | None]]:
    from mammosono.appliance.intake.posted import lateralities, views

    try:
        return list(zip(lateralities(sides, images), views(seen, images), strict=True))
    except InvalidField as error:
        fail(str(error), error.code)


def _load(
    file: Path, modality: Modality, side: Laterality | None = None, view: str | None = None
) -> SourceImage:
    from mammosono.appliance.intake import read_image
    from mammosono.appliance.intake.file_name import cleaned
    from mammosono.appliance.intake.limits import Limits
    from mammosono.appliance.values import Posted

    if file.is_dir():
        fail(
            "cannot be read: it is a folder; give each of its images by an option of its own, or "
            "have the folder read with mammosono watch",
            "unreadable_file",
            file.name,
        )
    try:
        posted = Posted(cleaned(file.name), side, view)
        # Before the bytes are in memory: the name may be that of a disk image.
        Limits().admit_file(file.stat().st_size)
        return read_image(file.read_bytes(), modality, posted=posted)
    except ApplianceError as error:
        fail(str(error), error.code, file.name)
    except OSError as error:
        fail(f"cannot be read: {error.strerror}", "unreadable_file", file.name)


def _read(images: Sequence[SourceImage], bundle: Path | None) -> Reading:
    from mammosono.appliance.pipeline.reader import Reader

    chosen = settings(bundle=bundle)
    try:
        with (
            Console(stderr=True).status(f"Reading {len(images)} images"),
            Reader.open(chosen.bundle, chosen.engine()) as reader,
        ):
            return reader.read(images)
    except ApplianceError as error:
        fail(str(error), error.code)


def _save(folder: Path, study: str, reading: Reading) -> None:
    from mammosono.appliance.output.save import save_reading

    try:
        save_reading(folder, study, reading)
    except OSError as error:
        fail(f"cannot be written: {error.strerror}", "unwritable_folder", folder.name)
