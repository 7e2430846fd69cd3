"""The curves for TensorBoard: what is in the event files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the board belongs to training")
pytest.importorskip("tensorboardX", reason="the board is written by tensorboardX")

from tensorboardX.proto.event_pb2 import Event

from mammosono.tools.training.display import TensorBoardLog, Throughput
from mammosono.tools.training.validate import Validation


def events(folder: Path) -> Iterator[Event]:
    """Every file's records: length, its checksum, the event, its checksum."""
    for file in sorted(folder.iterdir()):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack_from("<Q", data)
            yield Event.FromString(data[12 : 12 + size])
            data = data[size + 16 :]


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events(folder)
        for value in event.summary.value
    }


def test_steps_and_epochs_can_be_read_back(tmp_path: Path) -> None:
    board = TensorBoardLog(tmp_path / "tensorboard", 0)
    board.step(1, 4.5, 1e-3, Throughput(10.0, 0.25, None))
    board.step(2, 3.5, 2e-3, Throughput(12.0, 0.125, 7.5))
    board.epoch(1, {"mask": 0.5, "accuracy": 0.75}, Validation({"MG": 0.625}, {"US": 0.25}))
    board.epoch(2, {"mask": 0.25, "accuracy": 1.0}, None)
    board.close()
    found = scalars(tmp_path / "tensorboard")
    assert found == {
        ("step/loss", 1): 4.5,
        ("step/learning_rate", 1): pytest.approx(1e-3),
        ("step/images_per_second", 1): 10.0,
        ("step/wait_share", 1): 0.25,
        ("step/loss", 2): 3.5,
        ("step/learning_rate", 2): pytest.approx(2e-3),
        ("step/images_per_second", 2): 12.0,
        ("step/wait_share", 2): 0.125,
        ("step/gpu_memory_gib", 2): 7.5,
        ("train/mask", 1): 0.5,
        ("train/accuracy", 1): 0.75,
        ("val/auc_MG", 1): 0.625,
        ("val/dice_US", 1): 0.25,
        ("train/mask", 2): 0.25,
        ("train/accuracy", 2): 1.0,
    }


def test_a_resumed_run_takes_back_what_it_will_repeat(tmp_path: Path) -> None:
    TensorBoardLog(tmp_path, 0).close()
    board = TensorBoardLog(tmp_path, 7)
    board.step(8, 1.0, 1e-3, Throughput(1.0, 0.0, None))
    board.close()
    starts = [e.step for e in events(tmp_path) if e.HasField("session_log")]
    assert starts == [7]
