"""Side and view by the name of a file."""

from __future__ import annotations

import pytest

from mammosono.appliance.intake.file_name import side_and_view
from mammosono.appliance.values import Laterality

L, R = Laterality.LEFT, Laterality.RIGHT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("P_00017_LEFT_CC.jpg", (L, "CC")),
        ("mammogram/cbis/malignant/P_00017_RIGHT_MLO.png", (R, "MLO")),
        ("C:\\films\\left_exam\\R-MLO.dcm", (R, "MLO")),
        ("lcc.png", (L, "CC")),
        ("RMLO.tif", (R, "MLO")),
        ("12345 L CC 2.dcm", (L, "CC")),
        ("P_1_LEFT_CC.tar.gz", (L, "CC")),
        ("left.png", (None, None)),
        ("cc.png", (None, None)),
        ("L_R_CC.png", (None, None)),
        ("LCC_RCC.png", (None, None)),
        ("L_CC_MLO.png", (None, None)),
        ("LCC_RMLO.png", (None, None)),
        ("wellcome_cc.png", (None, None)),
        ("acclaim.png", (None, None)),
        ("IMG-RIGHTCC.png", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_name_says_side_and_view_together_and_once_or_nothing(name, said):
    assert side_and_view(name) == said
