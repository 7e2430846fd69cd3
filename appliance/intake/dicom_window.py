"""Display window in the units that the rescaling leads to (PS3.3 C.11.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mammosono.appliance.intake.dicom_numbers import meant, stated

WINDOW_KEYWORDS = ("WindowCenter", "WindowWidth", "VOILUTFunction")


class VoiFunction(str, Enum):
    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR

    @property
    def ends(self) -> tuple[float, float]:
        """The levels shown as black and as white (C.11.2.1.2.1, C.11.2.1.3.2)."""
        center, width = self.center, self.width
        if self.function is VoiFunction.LINEAR and width > 1:  # ends half a level inside
            center, width = center - 0.5, width - 1
        return center - width / 2, center + width / 2

    def sigmoid(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """0 to 1 (C.11.2.1.3.1)."""
        power = np.clip(-4 * (levels - self.center) / self.width, -700, 700)
        return np.asarray(1 / (1 + np.exp(power)))


def stated_window(ds: Dataset) -> tuple[Window | None, bool]:
    """The first of the file's windows that can be meant, and whether it states one at all."""
    centers, widths = stated(ds, "WindowCenter"), stated(ds, "WindowWidth")
    name = str(ds.get("VOILUTFunction") or "").strip().upper()
    function = VoiFunction(name) if name in set(VoiFunction) else VoiFunction.LINEAR
    for center, width in zip(centers, widths, strict=False):
        if meant(center) and meant(width) and width > 0:
            return Window(center, width, function), True
    return None, bool(centers or widths)
