"""Readers, one for each data set layout; they read lazily and name what they cannot use."""

from __future__ import annotations

from enum import Enum


class Layout(str, Enum):
    """The layouts that can be read. Here, so that a command's help needs no decoder."""

    AUTO = "auto"
    DDSM_TFRECORDS = "ddsm-tfrecords"
    BUSI = "busi"
    BUS_BRA = "bus-bra"
    CBIS_DDSM = "cbis-ddsm"
    MINI_MIAS = "mini-mias"
    INDEX = "index"
    VIA = "via"
