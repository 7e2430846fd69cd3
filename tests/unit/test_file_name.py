"""Side and view by the name of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammosono.appliance.intake.file_name import LONGEST_NAME, cleaned, side_and_view
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
        ("L_CC_MAG.png", (None, None)),
        ("RMLO spot.png", (None, None)),
        ("L_CC_ML.png", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_name_says_side_and_view_together_and_once_or_nothing(name, said):
    assert side_and_view(name) == said


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("R MLO.dcm", "R MLO.dcm"),
        ("/home/jane/R-MLO.dcm", "R-MLO.dcm"),
        ("C:\\Users\\jane\\R-MLO.dcm", "R-MLO.dcm"),
        ("a\0b\r\n\x1b[31m.png", "ab[31m.png"),
        ("\u202egnp.scan", "gnp.scan"),
        ("Müller 山田.png", "Müller 山田.png"),
        ("..%22..", '.."..'),
        ("\n", None),
        ("", None),
    ],
)
def test_a_name_is_shown_without_its_folders_and_what_does_not_show(name, shown):
    assert cleaned(name) == shown


@given(st.text())
def test_whatever_was_sent_as_a_name_can_be_shown_on_one_line(name):
    shown = cleaned(name)
    assert shown is None or (shown.isprintable() and 0 < len(shown) <= LONGEST_NAME)
