"""A bundle with a network for each modality, read in this process and by a worker of Python 3.6."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tiny_bundle import drawn_bundle, drawn_networks
from worker_bench import python36_with_onnxruntime

from mammosono.appliance.errors import ModalityNotRead
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.self_test import drawn_pair
from mammosono.appliance.values import ImageReading, Reading
from mammosono.engines.bundle import open_bundle
from mammosono.engines.options import EngineOptions
from mammosono.engines.trt.parity import stages_in_order
from mammosono.tools.benchmarks.measure import stage_flops
from mammosono.tools.evaluation.operating_points import enter
from mammosono.tools.export.half_precision import add_half_precision

pytestmark = pytest.mark.slow

PORTRAIT, LANDSCAPE = (96, 64), (64, 96)
HERE = EngineOptions("onnxruntime", threads=1)
PAIR = drawn_pair()


def a_worker() -> EngineOptions:
    return HERE._replace(worker_python=sys.executable)


def a_worker_of_36() -> EngineOptions:
    python, reason = python36_with_onnxruntime()
    if not python:
        pytest.skip(reason)
    return HERE._replace(worker_python=python)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each modality's own network, of its own canvas and weights."""
    folder = tmp_path_factory.mktemp("two") / "bundle"
    return drawn_networks(folder, {"MG": (PORTRAIT, 1), "US": (LANDSCAPE, 2)})


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network for both."""
    folder = tmp_path_factory.mktemp("one") / "bundle"
    return drawn_networks(folder, {"MG": (PORTRAIT, 1), "US": (PORTRAIT, 1)})


def read(bundle: Path, options: EngineOptions = HERE) -> Reading:
    with Reader.open(bundle, options) as reader:
        return reader.read(PAIR)


def numbers(image: ImageReading) -> list[float]:
    findings = [[*f.box, f.score, f.area_px] for f in image.findings]
    return [float(image.score or 0), *np.ravel(findings).tolist()]


@pytest.mark.parametrize("way", [a_worker, a_worker_of_36])
@pytest.mark.parametrize("which", ["two", "one"])
def test_the_same_pair_is_read_alike_in_this_process_and_by_a_worker(
    which: str, way: Callable[[], EngineOptions], request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(which)
    wanted, got = read(bundle), read(bundle, way())
    assert got.verdict == wanted.verdict
    for a, b in zip(got.images, wanted.images, strict=True):
        assert (a.modality, a.verdict) == (b.modality, b.verdict)
        assert len(a.findings) == len(b.findings)
        # Two releases of onnxruntime sum in another order: a mask's edge may move by a pixel.
        np.testing.assert_allclose(numbers(a), numbers(b), rtol=1e-3, atol=1.5)
        assert a.score == pytest.approx(b.score, abs=1e-4)


def test_a_mammogram_does_not_care_for_the_network_of_the_ultrasound(two: Path, one: Path) -> None:
    mammogram, ultrasound = (
        [numbers(read(bundle).images[k]) for bundle in (two, one)] for k in (0, 1)
    )
    assert mammogram[0] == mammogram[1]
    assert ultrasound[0] != ultrasound[1]


def test_a_bundle_of_one_modality_reads_it_and_refuses_the_other(tmp_path: Path) -> None:
    bundle = drawn_networks(tmp_path / "bundle", {"MG": (PORTRAIT, 1)})
    with Reader.open(bundle, HERE) as reader:
        assert reader.read(PAIR[:1]).incomplete
        with pytest.raises(ModalityNotRead, match="reads MG and no US"):
            reader.read(PAIR)


def test_schema_1_and_the_same_bundle_as_schema_2_read_identically(
    one: Path, tmp_path: Path
) -> None:
    old = read(drawn_bundle(tmp_path / "old"))
    new = read(one)
    assert len(old.images) == len(new.images) == 2
    assert old.images == new.images
    assert old.verdict == new.verdict
    assert replace(old.model, sha256="", networks={}) == replace(new.model, sha256="", networks={})


def test_an_operating_point_is_entered_where_its_modality_has_it(tmp_path: Path) -> None:
    bundle = drawn_networks(tmp_path / "two", {"MG": (PORTRAIT, 1), "US": (LANDSCAPE, 2)})
    before = open_bundle(bundle)
    enter(bundle, {"operating_points": {"MG": 0.6}, "operating_points_chosen": {"on": "val"}})
    after = open_bundle(bundle)
    assert after.modalities["MG"] == {**before.modalities["MG"], "operating_point": 0.6}
    assert after.modalities["US"] == before.modalities["US"]
    assert after.manifest["operating_points_chosen"] == {"on": "val"}
    assert "operating_points" not in after.manifest


def test_a_bench_counts_each_images_own_network(two: Path, one: Path) -> None:
    alone, both = stage_flops(one), stage_flops(two)
    assert set(both) == set(alone) == {"trunk", "heads", "masks"}
    assert both["heads"] == alone["heads"]  # rows of RoIs, whatever the canvas


def test_what_a_device_builder_needs_is_added_for_every_network(two: Path, tmp_path: Path) -> None:
    bundle = drawn_networks(tmp_path / "two", {"MG": (PORTRAIT, 1), "US": (LANDSCAPE, 2)})
    add_half_precision(bundle)
    opened = open_bundle(bundle)
    assert {stage.network for stage in opened.stages.values()} == set(opened.networks)
    for stage in opened.stages.values():
        assert stage.fp32
        stored = [Path(file.path).name for file in stage.variants.values()]
        assert stored == ([] if stage.name.endswith(".heads") else [f"{stage.name}.mixed.onnx"])
    order = [stage.name for stage in stages_in_order(opened)]
    for network in opened.networks.values():
        assert order.index(network.stages["trunk"]) < order.index(network.stages["masks"])
    from mammosono.tools.export import check

    found = check.check_graphs([bundle], check.phantoms(), lambda *_: None)
    failed = [c for c in found if c.state == "fail"]
    assert not [c for c in failed if "stored tensors in FP32" in c.what], failed
    assert {c.stage for c in found if c.what == "FP16 range"} == set(opened.stages)
    assert {c.stage for c in found if c.what == "FP16 reads alike"} == set(opened.networks)
