"""Our pixels beside those of DCMTK, GDCM and Pillow; all of it is `make decoders`."""

from __future__ import annotations

import pytest
from decoders.comparison import KNOWN, compare
from decoders.independent import missing
from decoders.pictures import drawn, pydicoms

pytestmark = pytest.mark.skipif(
    bool(missing()), reason=f"not installed: {', '.join(missing())} (dcmtk, libgdcm-tools)"
)

FILES = dict(drawn())
for part in ("SC_rgb_jpeg*", "JPEG*", "MR_small_*", "693*"):
    FILES |= dict(pydicoms(f"{part}.dcm"))


@pytest.mark.parametrize("name", FILES)
def test_every_decoder_that_shows_a_file_shows_what_we_show(name: str) -> None:
    row = compare(name, FILES[name])
    assert row.agrees or name in KNOWN, row
