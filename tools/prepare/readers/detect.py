"""Detection of a source's layout, which selects its reader."""

from __future__ import annotations

from pathlib import Path

from mammosono.appliance.values import Modality
from mammosono.tools.prepare.item import Offer
from mammosono.tools.prepare.readers import (
    Layout,
    bus_bra,
    busi,
    cbis_ddsm,
    index,
    mini_mias,
    via,
)


def offer(source: Path, layout: Layout, modality: Modality | None) -> Offer:
    """What a source holds. modality: of VIA pictures that do not say it.

    Raises ValueError if the source is missing, or not of the layout, or of none that is known.
    """
    if not source.exists():
        raise ValueError(f"{source.name} is not there")
    if layout is Layout.AUTO:
        layout = _detect(source)
    if layout is Layout.VIA:
        return via.offer(source, modality)
    if layout is Layout.DDSM_TFRECORDS:
        # The only one that needs the train extra, for its checksums.
        from mammosono.tools.prepare.readers import ddsm_tfrecords

        return ddsm_tfrecords.offer(source)
    readers = {
        Layout.BUSI: busi.offer,
        Layout.BUS_BRA: bus_bra.offer,
        Layout.CBIS_DDSM: cbis_ddsm.offer,
        Layout.MINI_MIAS: mini_mias.offer,
        Layout.INDEX: index.offer,
    }
    return readers[layout](source)


def _detect(source: Path) -> Layout:
    """By suffix for a file; by the content of a folder, the surest sign first."""
    if source.is_file():
        suffixes = {
            ".json": Layout.VIA,
            ".csv": Layout.INDEX,
            ".tfrecord": Layout.DDSM_TFRECORDS,
            ".tfrecords": Layout.DDSM_TFRECORDS,
        }
        if source.suffix in suffixes:
            return suffixes[source.suffix]
    elif index.find(source):
        return Layout.INDEX
    elif bus_bra.find(source):
        return Layout.BUS_BRA
    elif cbis_ddsm.find(source):
        return Layout.CBIS_DDSM
    elif next(source.rglob("*.tfrecord*"), None):
        return Layout.DDSM_TFRECORDS
    elif mini_mias.find(source):
        return Layout.MINI_MIAS
    elif busi.find(source):
        return Layout.BUSI
    names = ", ".join(layout.value for layout in Layout if layout is not Layout.AUTO)
    raise ValueError(f"{source.name} has no known layout; name it with --format: {names}")
