"""Colours of findings for a display, as PS3.3 C.10.7.1.1 encodes CIELab."""

from __future__ import annotations

import cv2
import numpy as np

from mammosono.appliance.output.render import COLOURS
from mammosono.appliance.values import Label


def cielab(label: Label) -> list[int]:
    """L* of 0 to 100, a* and b* of -128 to 127, each over 0 to 65535."""
    rgb = np.array([[COLOURS[label]]], np.float32) / 255
    lightness, a, b = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0, 0]
    shares = (lightness / 100, (a + 128) / 255, (b + 128) / 255)
    return [int(np.clip(round(float(share) * 65535), 0, 65535)) for share in shares]
