"""Header of a raster file, as our own small parsers read it before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Header:
    """Geometry of one picture as stored, before its orientation is applied.

    bits: of one sample: 1 to 16, or 32 and 64 where `floating`.
    inverted: the decoder leaves 0 as white.
    """

    width: int
    height: int
    bits: int
    inverted: bool = False
    floating: bool = False
