"""The images that the node's tests send are what a modality would send."""

from __future__ import annotations

from pathlib import Path

import pytest
from images import mammogram, save, ultrasound
from validators import iod_errors

from mammosono.appliance.intake import read_image
from mammosono.appliance.values import Laterality, Modality


@pytest.mark.parametrize(
    "ds",
    [mammogram("R", "MLO"), mammogram("L", "CC"), ultrasound(), ultrasound(2, side="L")],
    ids=["R MLO", "L CC", "US", "US L"],
)
def test_they_satisfy_their_iod(ds, tmp_path: Path) -> None:
    assert iod_errors(save(ds, tmp_path)) == []


def test_the_appliance_reads_them(tmp_path: Path) -> None:
    mg = read_image(save(mammogram("L", "CC"), tmp_path).read_bytes(), Modality.MG)
    assert (mg.laterality, mg.view, mg.spacing_mm) == (Laterality.LEFT, "CC", (0.1, 0.1))
    us = read_image(save(ultrasound(), tmp_path).read_bytes(), Modality.US)
    assert (us.laterality, us.spacing_mm, us.warnings) == (None, (0.1, 0.1), ())
