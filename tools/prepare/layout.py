"""The data set layouts that can be read. Apart, so that a command's help needs no decoder."""

from __future__ import annotations

from enum import Enum


class Layout(str, Enum):
    AUTO = "auto"
    DDSM_TFRECORDS = "ddsm-tfrecords"
    BUSI = "busi"
    BUS_BRA = "bus-bra"
    CBIS_DDSM = "cbis-ddsm"
    MINI_MIAS = "mini-mias"
    INDEX = "index"
    VIA = "via"
