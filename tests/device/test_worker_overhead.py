"""The worker's bench on the tiny network: both ways are timed, and the ratio is pair by pair."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from tiny_bundle import drawn_network, export_stages

from mammosono.engines.bundle import write_manifest
from mammosono.tools.benchmarks.figures import Spread
from mammosono.tools.benchmarks.worker_overhead import WorkerOverhead, as_text, worker_overhead

pytestmark = pytest.mark.slow

MEASURED = WorkerOverhead(
    ("onnxruntime 1 cpu", "onnxruntime 2 cpu"), 3, 1,
    Spread(100, 99, 102), Spread(104, 101, 109), Spread(1.04, 1.01, 1.08),
)  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    codes = ("MG", "US")
    write_manifest(
        tmp_path,
        {
            "schema": 1,
            "name": "tiny",
            "version": "1",
            "stages": export_stages(drawn_network(), tmp_path),
            "geometry": tiny.GEOMETRY.to_manifest(),
            "normalisation": {"percentiles": [1.0, 99.7], "mean": 0.35, "std": 0.25},
            "image_score": {code: {"head_weight": 0.5} for code in codes},
            "finding_thresholds": dict.fromkeys(codes, 0.5),
            "operating_points": dict.fromkeys(codes, 0.5),
        },
    )
    return tmp_path


def test_pairs_are_read_both_ways(bundle: Path) -> None:
    told: list[tuple[int, int]] = []
    measured = worker_overhead(
        sys.executable, bundle, pairs=3, on_pair=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert measured.runtimes[0] == measured.runtimes[1]
    assert 0 < measured.ratio.low <= measured.ratio.median <= measured.ratio.high
    assert measured.direct_ms.low > 0


def test_the_target_is_five_per_cent_of_the_median() -> None:
    assert MEASURED.target_met
    assert not replace(MEASURED, ratio=Spread(1.05, 1.0, 1.1)).target_met


def test_people_read_one_line() -> None:
    text = as_text(MEASURED)
    assert "100.0 ms here (onnxruntime 1 cpu), 104.0 ms in a worker (onnxruntime 2 cpu)" in text
    assert text.endswith("ratio 1.040 (1.010 - 1.080); less than 1.05: met")
