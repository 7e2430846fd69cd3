"""Small phantom pairs as PNG bytes: the load."""

from __future__ import annotations

from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality


def phantom_pairs(count: int) -> list[tuple[bytes, bytes]]:
    """Mammogram and ultrasound of `count` studies, different in every one."""
    return [
        (
            grey_png(phantom(Modality.MG, k, Label.MALIGNANT, height=320, width=240).pixels),
            grey_png(phantom(Modality.US, k, Label.BENIGN, height=240, width=280).pixels),
        )
        for k in range(count)
    ]
