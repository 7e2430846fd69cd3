"""What is still known of a file that cannot be read as an image."""

from __future__ import annotations

from typing import Any

import pytest
from files import dicom, picture, png, with_transfer_syntax
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.errors import IntakeError
from mammosono.appliance.intake import read_image
from mammosono.appliance.intake.unread import describe_unread
from mammosono.appliance.values import Laterality, Modality, Origin, Posted, UnreadImage

L = Laterality.LEFT
WHOLE = dicom(
    picture(), modality="MG", ImageLaterality="L", ViewPosition="MLO", PatientID="4711"
)  # fmt: skip
DEFLATED, HTJ2K, MPEG = (
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.102",
)


def unread(data: bytes, posted: Posted = Posted(), modality: Modality = Modality.MG) -> UnreadImage:
    with pytest.raises(IntakeError) as refused:
        read_image(data, modality, posted=posted)
    return describe_unread(data, modality, posted, "ab" * 32, refused.value)


def edited(**elements: Any) -> bytes:
    known = {"ImageLaterality": "L", "ViewPosition": "MLO", "PatientID": "4711"}
    return dicom(picture(), **{"modality": "MG"} | known | elements)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (edited(NumberOfFrames=30), "multi_frame"),
        (edited(modality="US"), "modality_mismatch"),
        (edited(Rows=9), "image_too_small"),
        (WHOLE[:-400], "corrupt_dicom"),
        (with_transfer_syntax(WHOLE, HTJ2K), "unsupported_transfer_syntax"),
        (with_transfer_syntax(WHOLE, MPEG), "unsupported_transfer_syntax"),
        (with_transfer_syntax(WHOLE, "1.2.3"), "unsupported_transfer_syntax"),
    ],
    ids=["a clip", "the other modality", "a strip", "cut off", "HTJ2K", "MPEG", "any coding"],
)
def test_side_view_and_patient_are_known_by_the_header(data: bytes, code: str) -> None:
    lost = unread(data)
    assert lost.reasons == (code,)
    assert (lost.laterality, lost.view) == (L, "MLO")
    assert lost.laterality_from is lost.view_from is Origin.HEADER
    assert lost.identity.patient_id == ("4711", "")
    assert "4711" not in repr(lost)


@pytest.mark.parametrize("data", [b"", b"%PDF", png(picture())[:-40]])
def test_else_by_what_was_posted_with_it_and_by_its_name(data: bytes) -> None:
    named = unread(data, Posted("R_MLO.png"))
    assert (named.laterality, named.laterality_from) == (Laterality.RIGHT, Origin.FILE_NAME)
    told = unread(data, Posted("x.png", L, "CC"))
    assert (told.laterality, told.view, told.view_from, told.name) == (
        L,
        "CC",
        Origin.FORM,
        "x.png",
    )
    contradicted = unread(data, Posted("R_MLO.png", L))
    assert contradicted.laterality is None


def test_a_header_that_is_compressed_as_well_tells_nothing() -> None:
    lost = unread(with_transfer_syntax(WHOLE, DEFLATED))
    assert lost.laterality is L  # the bytes are not: it was called so
    garbled = with_transfer_syntax(WHOLE[:400] + bytes(range(256)) * 20, DEFLATED)
    assert unread(garbled).identity.name == ()


@settings(deadline=None, max_examples=150)
@given(st.integers(132, len(WHOLE)), st.binary(max_size=40), st.sampled_from(Modality))
def test_whatever_is_in_the_file_it_never_fails(at: int, put: bytes, modality: Modality) -> None:
    damaged = WHOLE[:at] + put
    for data in (damaged, with_transfer_syntax(WHOLE, HTJ2K)[:at] + put):
        try:
            read_image(data, modality)
        except IntakeError as error:
            describe_unread(data, modality, Posted(), "ab" * 32, error)
