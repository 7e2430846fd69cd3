"""Is a plan right? Measures, bounds and the order in which stages are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_graphs import parity_tensors, scaled, sha256, write_bundle

from mammosono.engines.bundle import MEASURES as KNOWN
from mammosono.engines.bundle import Bundle, Stage, open_bundle, write_manifest
from mammosono.engines.errors import BundleError, EngineFault, EngineLost, EngineUnavailable
from mammosono.engines.interface import Engine, Tensor
from mammosono.engines.onnx_engine import OnnxEngine
from mammosono.engines.schema1 import TOLERANCES
from mammosono.engines.trt.parity import PlanCheck, read_tensors, reads, stages_in_order, try_plans
from mammosono.engines.trt.tolerances import (
    MEASURES,
    TOP,
    measure,
    outside,
    overlap,
    relative,
    worst,
)

Array = NDArray[Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


class Wrong(Engine):
    """onnxruntime with some stages' graphs replaced, or failing."""

    def __init__(
        self,
        bundle: Bundle,
        graphs: Mapping[str, bytes] | None = None,
        faults: Mapping[str, EngineFault] | None = None,
    ) -> None:
        folder = Path(bundle.folder)
        stages = dict(bundle.stages)
        for name, data in (graphs or {}).items():
            path = folder / f"{name}-{sha256(data)[:8]}.onnx"
            path.write_bytes(data)
            stages[name] = stages[name]._replace(path=str(path), sha256=sha256(data))
        self._engine = OnnxEngine(bundle._replace(stages=stages), threads=1)
        self._faults = faults or {}
        self.runs: list[tuple[str, tuple[str, ...]]] = []

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        self.runs.append((stage, tuple(keep)))
        if stage in self._faults:
            raise self._faults[stage]
        return self._engine.run(stage, inputs, keep)

    def close(self) -> None:
        self._engine.close()


def tried(bundle: Bundle, engine: Engine, told: list[str] | None = None) -> dict[str, PlanCheck]:
    say = (told if told is not None else []).append
    verdicts = try_plans(engine, bundle, read_tensors(bundle), say)
    return {verdict.stage: verdict for verdict in verdicts}


# Trying


def test_a_plan_that_computes_what_the_graph_does_passes_with_its_figures(bundle: Bundle) -> None:
    told: list[str] = []
    engine = Wrong(bundle)
    verdicts = tried(bundle, engine, told)
    assert [verdict.reason for verdict in verdicts.values()] == ["", "", ""]
    assert told == ["trunk", "heads", "masks"] * 2  # both cases, one after the other
    # All of the trunk's outputs are looked at, and the pyramid handed on as the device keeps it.
    assert engine.runs[:3] == [("trunk", ()), ("trunk", ("pyramid",)), ("heads", ())]
    assert set(verdicts["trunk"].figures) == {
        "objectness.overlap", "objectness.largest_of_best", "deltas.largest_of_best",
        "image_classes.largest",
    }  # fmt: skip
    assert verdicts["trunk"].figures["objectness.overlap"] == 1.0
    assert 0 < verdicts["masks"].figures["masks.largest"] < 1e-3  # they are stored as halves


@pytest.mark.parametrize(
    ("stage", "weight", "figure"),
    [
        ("trunk", "rpn.weight", "objectness.largest_of_best"),
        ("trunk", "deltas.weight", "deltas.largest_of_best"),
        ("trunk", "head.weight", "image_classes.largest"),
        ("heads", "cls.weight", "classes.largest"),
        ("heads", "fc7.weight", "box_deltas.largest"),
        ("masks", "mask.weight", "masks.largest"),
    ],
)
def test_a_wrong_stage_is_named_with_the_figure_that_is_out(
    bundle: Bundle, stage: str, weight: str, figure: str
) -> None:
    verdicts = tried(bundle, Wrong(bundle, {stage: scaled(stage, weight, 2.0)}))
    assert [name for name, verdict in verdicts.items() if verdict.reason] == [stage]
    assert figure in verdicts[stage].reason
    assert "is wanted" in verdicts[stage].reason


def test_nan_in_an_answer_fails_its_stage_alone(bundle: Bundle) -> None:
    verdicts = tried(bundle, Wrong(bundle, {"heads": scaled("heads", "fc7.weight", np.nan)}))
    assert "NaN" in verdicts["heads"].reason
    assert verdicts["trunk"].reason == verdicts["masks"].reason == ""


def test_nan_in_what_is_kept_on_the_device_fails_the_stage_that_made_it(bundle: Bundle) -> None:
    # The stages that sample it may miss the rows that are spoilt; here every row is.
    verdicts = tried(bundle, Wrong(bundle, {"trunk": scaled("trunk", "stem.weight", np.inf)}))
    assert "trunk: " in verdicts["trunk"].reason
    assert verdicts["heads"].reason == verdicts["masks"].reason == "a stage before it failed"


def test_a_lost_device_leaves_the_other_stages_untried(bundle: Bundle) -> None:
    engine = Wrong(bundle, faults={"heads": EngineLost("stage heads: the GPU failed")})
    assert tried(bundle, engine) == {"heads": PlanCheck("heads", {}, "stage heads: the GPU failed")}


def test_a_case_that_has_no_use_for_a_stage_does_not_fail_it(bundle: Bundle) -> None:
    """As an ultrasound has none for the mammogram's denoiser."""
    tensors = {
        name: value
        for name, value in read_tensors(bundle).items()
        if not name.startswith("us/masks/")
    }
    told: list[str] = []
    verdicts = try_plans(Wrong(bundle), bundle, tensors, told.append)
    assert [verdict.reason for verdict in verdicts] == ["", "", ""]
    assert told == ["trunk", "heads", "masks", "trunk", "heads"]


def test_stages_come_behind_those_that_they_read(bundle: Bundle) -> None:
    order = [stage.name for stage in stages_in_order(bundle)]
    assert order[0] == "trunk"
    assert sorted(order) == ["heads", "masks", "trunk"]
    stages = bundle.stages
    assert reads(stages["heads"], stages["trunk"])
    assert not reads(stages["heads"], stages["masks"])


def test_stages_that_read_each_other_are_refused(bundle: Bundle) -> None:
    one = Stage("one", "", "", {"b": ("float32", (1,))}, {"a": ("float32", (1,))})
    other = Stage("other", "", "", {"a": ("float32", (1,))}, {"b": ("float32", (1,))})
    with pytest.raises(EngineUnavailable, match="read each other"):
        stages_in_order(bundle._replace(stages={"one": one, "other": other}))


# What is stored


def test_a_bundle_without_tensors_cannot_be_tried(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="holds no tensors to try a plan on; export"):
        read_tensors(write_bundle(tmp_path, parity=False))


def stored(bundle: Bundle, folder: Path, tensors: Mapping[str, Array]) -> Bundle:
    """A copy of the bundle with these tensors."""
    np.savez(folder / "parity.npz", **tensors)
    manifest = dict(bundle.manifest)
    for stage in bundle.stages.values():
        (folder / Path(stage.path).name).write_bytes(Path(stage.path).read_bytes())
    data = (folder / "parity.npz").read_bytes()
    manifest["parity"] = {"file": "parity.npz", "sha256": sha256(data)}
    write_manifest(folder, manifest)
    return open_bundle(folder)


def test_a_stage_without_right_answers_cannot_be_tried(bundle: Bundle, tmp_path: Path) -> None:
    tensors = {
        k: v for k, v in parity_tensors(Path(bundle.folder)).items() if "/masks/out/" not in k
    }
    with pytest.raises(EngineUnavailable, match="no tensors to try stage masks on"):
        read_tensors(stored(bundle, tmp_path, tensors))


def test_tensors_of_another_shape_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    tensors = parity_tensors(Path(bundle.folder))
    tensors["mg/heads/in/rows"] = tensors["mg/heads/in/rows"][:5]
    other = stored(bundle, tmp_path, tensors)
    with pytest.raises(EngineUnavailable, match="try stage heads on has another shape"):
        try_plans(OnnxEngine(other, 1), other, read_tensors(other), lambda _: None)


def test_a_damaged_file_of_tensors_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = stored(bundle, tmp_path, parity_tensors(Path(bundle.folder)))
    (tmp_path / "parity.npz").write_bytes(b"PK")
    with pytest.raises(BundleError, match="sha256"):
        read_tensors(other)


# Measures


@given(st.integers(0, 1000), st.integers(10, 500))
@settings(max_examples=30, deadline=None)
def test_the_best_scores_overlap_whatever_their_order(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.normal(0, 1, (1, count))
    assert overlap(right, 3 * right + 1) == 1.0  # the same ranking
    assert overlap(right, -right) == 0.0  # never more than half of them are the best


def test_near_ties_may_change_places_but_the_best_must_not_be_lost() -> None:
    right = np.linspace(1, 0, 400)[None]
    shaken = right + np.where(np.arange(400) % 2, 0.0015, -0.0015)  # half the gap of two
    assert overlap(right, shaken) >= 1 - 2 / TOP
    lost = right.copy()
    lost[0, :20] = 0
    assert overlap(right, lost) == pytest.approx(0.8)
    figures = measure({"objectness": right}, {"objectness": lost}, TOLERANCES)
    assert "objectness.overlap is 0.8, at least 0.9 is wanted" in outside(figures, TOLERANCES)


def test_boxes_are_compared_where_one_would_be_proposed() -> None:
    scores = np.linspace(1, 0, 400)[None]
    right = np.zeros((1, 400, 4))
    far = right.copy()
    far[0, TOP:] = 5.0  # of anchors that no one looks at
    near = right.copy()
    near[0, 3, 2] = 0.3
    answers = {"objectness": scores, "deltas": right}
    figures = measure(answers, {"objectness": scores, "deltas": far}, TOLERANCES)
    assert figures["deltas.largest_of_best"] == 0.0
    figures = measure(answers, {"objectness": scores, "deltas": near}, TOLERANCES)
    assert figures["deltas.largest_of_best"] == pytest.approx(0.3)


def test_an_output_without_a_bound_of_its_own_is_measured_by_its_largest_value() -> None:
    right = np.array([0.0, 50.0, -100.0])
    figures = measure({"denoised": right}, {"denoised": right + 3.0}, TOLERANCES)
    assert figures == {"denoised.relative": pytest.approx(0.03)}
    assert outside(figures, TOLERANCES) == "denoised.relative is 0.03, at most 0.02 is wanted"
    assert relative(np.zeros(3), np.zeros(3)) == 0.0


def test_of_two_cases_the_worse_counts() -> None:
    one = {"objectness.overlap": 0.95, "masks.mean": 0.001}
    other = {"objectness.overlap": 0.99, "masks.mean": 0.002}
    merged = {"objectness.overlap": 0.95, "masks.mean": 0.002}
    assert worst(one, other) == worst(other, one) == merged
    assert worst({}, one) == one


@pytest.mark.parametrize("kind", KNOWN)
def test_no_bound_holds_for_nan(kind: str) -> None:
    bounds = {"masks": {kind: 0.5}}
    assert outside({f"masks.{kind}": float("nan")}, bounds)
    assert not outside({f"masks.{kind}": 0.5}, bounds)


def test_a_manifest_may_bound_what_is_measured_and_nothing_else() -> None:
    assert set(KNOWN) == set(MEASURES)


def test_every_output_of_the_shipped_stages_has_bounds_of_its_own() -> None:
    from mammosono import engines

    shipped = open_bundle(Path(engines.__file__).parent / "bundles" / "default")
    named = {name for stage in shipped.stages.values() for name in stage.outputs}
    # The denoiser's stage is one that a bundle may do without.
    # What kind of image it is was not asked by bundles of schema 1, whose bounds these are.
    assert (named | {"noise"}) - {"pyramid", "kind"} == set(TOLERANCES)
    for stage in shipped.stages.values():
        assert set(stage.tolerances) == set(stage.outputs) - {"pyramid"}
