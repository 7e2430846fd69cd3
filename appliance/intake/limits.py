"""Limits on a posted picture's size."""

from __future__ import annotations

from dataclasses import dataclass

from mammosono.appliance.errors import EmptyFile, ImageTooLarge, ImageTooSmall


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may hold. Checked against its header, before any pixel is decoded.

    max_file_bytes: 60 million pixels of 16 bits, uncompressed, and room for a header.
    min_side_px: below this a lesion has no texture left to judge.
    max_side_px: twice the longest side of today's largest mammography detectors (about 6000).
    max_pixels: a 24 x 30 cm detector at 50 micrometres has 29 million; film scans reach the
        double. A picture of 60 million takes 120 MB in 16 bits, what a 4 GB device can spare.
    max_aspect: longer side over shorter. Mammograms stay under 3 and panoramic ultrasound
        under 6; beyond it lies a strip of a picture.
    """

    max_file_bytes: int = 128 * 2**20
    min_side_px: int = 64
    max_side_px: int = 12_000
    max_pixels: int = 60_000_000
    max_aspect: float = 8.0

    def admit_file(self, size_bytes: int) -> None:
        """Raises EmptyFile or ImageTooLarge."""
        if size_bytes == 0:
            raise EmptyFile("The file has no bytes; post it again from its source.")
        if size_bytes > self.max_file_bytes:
            raise ImageTooLarge(
                f"The file has {size_bytes / 2**20:.0f} MiB, more than the "
                f"{self.max_file_bytes / 2**20:.0f} MiB that are read; compress or crop it."
            )

    def admit_picture(self, width_px: int, height_px: int) -> None:
        """Raises ImageTooSmall or ImageTooLarge."""
        shorter, longer = sorted((width_px, height_px))
        if shorter < self.min_side_px:
            raise ImageTooSmall(
                f"The picture is {width_px} x {height_px} pixels; post one of at least "
                f"{self.min_side_px} on each side."
            )
        if longer > self.max_side_px or width_px * height_px > self.max_pixels:
            raise ImageTooLarge(
                f"The picture is {width_px} x {height_px} pixels; reduce it to at most "
                f"{self.max_side_px} a side and {self.max_pixels / 1e6:.0f} million in all."
            )
        if longer > self.max_aspect * shorter:
            raise ImageTooSmall(
                f"The picture is a strip of {width_px} x {height_px} pixels; post the whole "
                f"picture, with sides of at most {self.max_aspect:g} to 1."
            )
