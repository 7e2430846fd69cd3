"""The conformance statement is that of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="the extra `dicom` is not installed")

from mammosono.appliance.node import sender
from mammosono.appliance.node.conformance import statement
from mammosono.appliance.node.contexts import (
    IMAGES,
    KIND_OF,
    OBJECTS,
    ObjectKind,
    Use,
    images,
)
from mammosono.appliance.node.outcome import Became, of_status
from mammosono.appliance.node.uids import IMPLEMENTATION_VERSION

FILE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_docs_conformance_is_current() -> None:
    assert FILE.read_text("utf-8") == statement(), (
        "run: mammosono node conformance > docs/conformance.md"
    )


def test_every_sop_class_and_transfer_syntax_of_the_tables_is_in_it() -> None:
    text = statement()
    for context in (*IMAGES, *OBJECTS):
        assert context.name in text
        for uid in (context.sop_class, *context.syntaxes):
            assert f"`{uid}`" in text


def test_each_sop_class_is_of_one_kind_of_object() -> None:
    assert set(KIND_OF.values()) == set(ObjectKind)
    assert len(KIND_OF) == len(OBJECTS)


def test_secondary_captures_are_taken_where_that_is_configured() -> None:
    assert set(IMAGES) - set(images(captures=False)) == {
        each for each in IMAGES if each.use is Use.SWITCH
    }
    assert images(captures=True) == IMAGES


def test_the_version_name_is_no_longer_than_dicom_allows() -> None:
    assert len(IMPLEMENTATION_VERSION) <= 16


def test_what_is_proposed_for_an_object_is_what_the_tables_say() -> None:
    for context in OBJECTS:
        for syntax in context.syntaxes:
            proposed = list(sender._store_contexts(context.sop_class, syntax))
            assert proposed == [(context.sop_class, context.syntaxes)]


def test_no_status_is_without_an_outcome_and_every_failure_has_a_reason() -> None:
    for status in range(0x10000):
        outcome = of_status(status)
        assert (outcome.became is Became.STORED) == (
            status == 0 or status in (0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF
        )
        assert outcome.reason or status == 0
