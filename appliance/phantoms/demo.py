"""Demo study: a phantom of each modality, drawn from fixed seeds."""

from __future__ import annotations

from pathlib import Path

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import Phantom, phantom
from mammosono.appliance.values import Caution, Label, Modality

NOTICE = Caution("phantom", "This picture is a phantom: a program drew it, it shows no patient.")

_LESION = {Modality.MG: (3, Label.MALIGNANT), Modality.US: (8, Label.BENIGN)}
"""By modality, the seed and what it draws."""


def demo_phantom(modality: Modality, reduction: int = 1) -> Phantom:
    """The demo's picture of a modality: a mammogram with a malignant lesion, an ultrasound with a
    benign one. Its sides are a `reduction`th of a phantom's usual size.
    """
    seed, label = _LESION[modality]
    height, width = (side // reduction for side in MODALITIES[modality].phantom_size)
    return phantom(modality, seed, label, height=height, width=width)


def draw_pair(folder: Path) -> tuple[Path, Path]:
    """Write mammogram.png and ultrasound.png. Raises OSError if the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    mammogram, ultrasound = (folder / f"{record.part}.png" for record in MODALITIES.values())
    for file, modality in zip((mammogram, ultrasound), MODALITIES, strict=True):
        file.write_bytes(grey_png(demo_phantom(modality).pixels))
    return mammogram, ultrasound
