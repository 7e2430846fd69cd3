"""What `train` says at its start of a bundle that could not be exported later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from mammosono.appliance.values import Modality
from mammosono.tools.data.index import Record, read_index
from mammosono.tools.training.datasets import phantom_samples
from mammosono.tools.training.exportable import gaps


@pytest.fixture(scope="module")
def records(phantom_index: Path) -> tuple[Record, ...]:
    return read_index(phantom_index)


def test_nothing_is_said_of_data_that_suffices(records: tuple[Record, ...]) -> None:
    assert gaps(records, ("MG", "US")) == []


def test_data_of_one_modality_alone_suffices_for_its_bundle(records: tuple[Record, ...]) -> None:
    assert gaps([r for r in records if r.modality is Modality.MG], ("MG", "US")) == []


def test_each_thing_that_nothing_can_be_chosen_on_is_said(records: tuple[Record, ...]) -> None:
    def without(**changes: object) -> list[Record]:
        def val_us(record: Record) -> bool:
            return record.modality is Modality.US and record.split == "val"

        return [replace(r, **changes) if val_us(r) else r for r in records]

    assert gaps(without(split="train"), ("MG", "US")) == [
        "US has no val image: no operating point can be chosen"
    ]
    assert gaps(without(label="benign"), ("US",)) == [
        "US has no malignant val images: no operating point can be chosen"
    ]
    assert gaps(without(label="malignant"), ("US",)) == [
        "US has none but malignant val images: no operating point can be chosen"
    ]
    assert gaps(without(masks=()), ("US",)) == [
        "US has no val image with a lesion mask: no finding threshold can be chosen"
    ]
    assert gaps(without(split="train"), ("MG",)) == []


def test_phantoms_are_of_the_modalities_that_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammosono.tools.training.datasets.PHANTOMS", 12)
    both = phantom_samples((96, 64))
    films = phantom_samples((96, 64), modalities=[Modality.MG])
    assert len(films) * 2 == len(both)
