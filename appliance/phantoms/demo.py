"""The demo's study: a phantom mammogram and a phantom ultrasound, drawn from fixed seeds."""

from __future__ import annotations

from pathlib import Path

from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality

NOTICE = "This picture is a phantom: a program drew it, it shows no patient."

MAMMOGRAM_SEED = 3
ULTRASOUND_SEED = 8


def draw_pair(folder: Path) -> tuple[Path, Path]:
    """Write mammogram.png, with a malignant lesion, and ultrasound.png, with a benign one.

    Raises OSError if the folder cannot be written.
    """
    mammogram = phantom(Modality.MG, MAMMOGRAM_SEED, Label.MALIGNANT, height=1024, width=640)
    ultrasound = phantom(Modality.US, ULTRASOUND_SEED, Label.BENIGN, height=480, width=560)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "mammogram.png", folder / "ultrasound.png"
    for file, picture in zip(files, (mammogram, ultrasound), strict=True):
        file.write_bytes(grey_png(picture.pixels))
    return files
