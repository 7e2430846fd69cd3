"""`mammosono read` and `mammosono demo`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammosono.appliance.commands.images import Lateralities, Mammograms, Ultrasounds, Views
from mammosono.appliance.commands.kit import Console, fail, say_json, settings
from mammosono.appliance.errors import ApplianceError, InvalidField, NoImages, TooManyImages

if TYPE_CHECKING:
    from mammosono.appliance.pipeline.reader import Reader
    from mammosono.appliance.studies.reader_process.job import StoredFile
    from mammosono.appliance.values import Laterality, Modality, Pictures, Reading, SourceImage

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
    with _opened(bundle) as reader:
        reading = reader.read(images)
    _save(out, study_id(images), reading)
    print_reading(console, study_id(images), reading)
    console.print(f"Report: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def read(
    mammogram: Mammograms = None,
    ultrasound: Ultrasounds = None,
    laterality: Lateralities = None,
    view: Views = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write result.json, report.html and the pictures here."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result document and nothing else.")
    ] = False,
    bundle: BundleOption = None,
) -> None:
    """Read the images of one patient: PNG, JPEG, TIFF or DICOM files, up to 24 of a modality.

    A file that cannot be read is shown as not read, and the study is never negative.
    Exit status 0: a reading was made, whatever the verdict.
    Exit status 2: it was refused; one line on standard error says why.
    """
    from mammosono.appliance.output.document import Result
    from mammosono.appliance.output.terminal import print_reading
    from mammosono.appliance.pipeline.stopwatch import Stopwatch
    from mammosono.appliance.studies.exam import Exam, decoded
    from mammosono.appliance.values import Modality

    chosen = {Modality.MG: mammogram or [], Modality.US: ultrasound or []}
    if not any(chosen.values()):
        fail("Give a file with --mammogram, --ultrasound or both.", NoImages.code)
    most = settings().max_images
    if any(len(files) > most for files in chosen.values()):
        fail(
            f"Give up to {most} images of a modality, or set MAMMOSONO_MAX_IMAGES.",
            TooManyImages.code,
        )
    named = [(modality, file) for modality, files in chosen.items() for file in files]
    said = _said(laterality or [], view or [], len(named))
    files = [_stored(*one, *each) for one, each in zip(named, said, strict=True)]
    study = study_id(files)
    names = [file.path.name for file in files]
    with _opened(bundle) as reader:
        reading = reader.read(Exam(files, reader.reduce, Stopwatch(), names))
        if out is not None:
            seen = (image.index for image in reading.images)
            pictures = (reader.pictures(decoded(files[k], names[k])) for k in seen)
            _save(out, study, reading, pictures)
    if as_json:
        say_json(Result.of(study, reading).to_json())
    else:
        print_reading(Console(), study, reading)


def study_id(images: Sequence[SourceImage | StoredFile]) -> str:
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


def _stored(
    modality: Modality, file: Path, side: Laterality | None = None, view: str | None = None
) -> StoredFile:
    from mammosono.appliance.intake.file_name import cleaned
    from mammosono.appliance.studies.reader_process.job import StoredFile
    from mammosono.appliance.values import Posted
    from mammosono.appliance.workstation.listing import sha256_of

    _refuse_folder(file)
    if file.exists() and not file.is_file():
        fail("is no file", "unreadable_file", file.name)
    try:
        posted = Posted(cleaned(file.name), side, view)
        return StoredFile(modality, file, sha256_of(file).hex(), posted)
    except OSError as error:
        fail(f"cannot be read: {error.strerror}", "unreadable_file", file.name)


def _refuse_folder(file: Path) -> None:
    if file.is_dir():
        fail(
            "cannot be read: it is a folder; give each of its images by an option of its own, or "
            "have the folder read with mammosono watch",
            "unreadable_file",
            file.name,
        )


def _load(file: Path, modality: Modality) -> SourceImage:
    from mammosono.appliance.intake import read_image
    from mammosono.appliance.intake.file_name import cleaned
    from mammosono.appliance.intake.limits import Limits
    from mammosono.appliance.values import Posted

    _refuse_folder(file)
    try:
        # Before the bytes are in memory: the name may be that of a disk image.
        Limits().admit_file(file.stat().st_size)
        return read_image(file.read_bytes(), modality, posted=Posted(cleaned(file.name)))
    except ApplianceError as error:
        fail(str(error), error.code, file.name)
    except OSError as error:
        fail(f"cannot be read: {error.strerror}", "unreadable_file", file.name)


@contextmanager
def _opened(bundle: Path | None) -> Iterator[Reader]:
    """What it refuses within ends the command."""
    from mammosono.appliance.pipeline.reader import Reader

    chosen = settings(bundle=bundle)
    try:
        with (
            Console(stderr=True).status("Reading the images"),
            Reader.open(chosen.bundle, chosen.engine()) as reader,
        ):
            yield reader
    except ApplianceError as error:
        fail(str(error), error.code)


def _save(
    folder: Path, study: str, reading: Reading, pictures: Iterable[Pictures] | None = None
) -> None:
    from mammosono.appliance.output.save import save_reading

    try:
        save_reading(folder, study, reading, pictures)
    except OSError as error:
        fail(f"cannot be written: {error.strerror}", "unwritable_folder", folder.name)
