"""The host's half of the network, run by an engine that sees what it was told to see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import GEOMETRY, FakeEngine, Lesion, Scene
from numpy.testing import assert_allclose

from mammosono.appliance.pipeline.detector.detector import Detector, choose_findings
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.engines.errors import EngineFault

CANVAS = np.zeros(GEOMETRY.input_size, np.float32)
LEFT = Lesion((10, 20, 34, 44), benign=0.2, malignant=0.7)
RIGHT = Lesion((56, 70, 86, 100), benign=0.6, malignant=0.1)
FAINT = Lesion((10, 90, 30, 110), benign=0.15, malignant=0.1)


def detect(*lesions, threshold=0.3, geometry=GEOMETRY, **engine):
    return Detector(FakeEngine([Scene(lesions)], geometry, **engine), geometry).detect(
        CANVAS, threshold
    )


def test_lesions_come_back_at_their_boxes_best_first():
    seen = detect(RIGHT, LEFT)
    assert_allclose(seen.boxes, [LEFT.box, RIGHT.box], atol=1e-3)
    assert seen.benign == pytest.approx([0.2, 0.6])
    assert seen.malignant == pytest.approx([0.7, 0.1])
    assert seen.lesion == pytest.approx([0.9, 0.7])
    assert seen.masks.shape == (2, 56, 56)
    assert (seen.masks == 1).all()


def test_the_whole_images_probabilities_are_passed_on():
    scene = Scene((), image=(0.2, 0.5, 0.3))
    seen = Detector(FakeEngine([scene]), GEOMETRY).detect(CANVAS, 0.3)
    assert seen.image == pytest.approx([0.2, 0.5, 0.3])


def test_a_lesion_below_the_threshold_is_no_finding_and_one_at_it_is():
    assert len(detect(LEFT, FAINT).boxes) == 1
    at = float(np.float32(FAINT.benign) + np.float32(FAINT.malignant))
    assert len(detect(LEFT, FAINT, threshold=at).boxes) == 2


def test_each_mask_belongs_to_its_finding():
    seen = detect(replace(RIGHT, mask=0.25), replace(LEFT, mask=0.75))
    assert seen.masks[:, 0, 0].tolist() == [0.75, 0.25]


def test_box_deltas_are_decoded_with_the_geometrys_weights():
    class Shifting(FakeEngine):
        def _heads(self, inputs):
            answer = super()._heads(inputs)
            answer["box_deltas"][:] = 5.0, 0.0, 0.0, 5.0 * np.log(2)
            return answer

    seen = Detector(Shifting([Scene((LEFT,))]), GEOMETRY).detect(CANVAS, 0.3)
    # Half a width to the right, twice as high: the weights are 10, 10, 5, 5.
    assert_allclose(seen.boxes, [[22, 8, 46, 56]], atol=1e-3)


def test_boxes_end_at_the_inputs_rim():
    class Growing(FakeEngine):
        def _heads(self, inputs):
            answer = super()._heads(inputs)
            answer["box_deltas"][:] = 0.0, 0.0, 50.0, 50.0
            return answer

    seen = Detector(Growing([Scene((LEFT,))]), GEOMETRY).detect(CANVAS, 0.3)
    assert seen.boxes.tolist() == [[0, 0, 96, 128]]


def test_rows_beyond_the_proposals_and_findings_have_zero_weight():
    engine = FakeEngine([Scene((LEFT, RIGHT))], replace(GEOMETRY, proposals=40, pre_nms_top_n=8))
    Detector(engine, engine.geometry).detect(CANVAS, 0.3)
    for stage, least in (("heads", 2), ("masks", 2)):
        weights = engine.inputs_of(stage)[0]["weights"]
        rows = engine.inputs_of(stage)[0]["rows"]
        used = weights.sum(axis=(1, 2)) > 0
        count = int(used.sum())
        assert least <= count < len(used)
        assert used[:count].all()
        assert np.allclose(weights[:count].sum(axis=2), 1, atol=1e-5)
        assert not weights[count:].any()
        assert not rows[count:].any()
    assert (engine.inputs_of("masks")[0]["weights"].sum(axis=(1, 2)) > 0).sum() == 2


def test_padding_rows_cannot_become_findings():
    """A head may say anything about row 0's features taken nothing times."""

    class Shouting(FakeEngine):
        def _heads(self, inputs):
            answer = super()._heads(inputs)
            unused = inputs["weights"].sum(axis=(1, 2)) == 0
            assert unused.any()
            answer["classes"][unused] = 0.0, 0.0, 1.0
            return answer

    geometry = replace(GEOMETRY, proposals=40, pre_nms_top_n=8)
    seen = Detector(Shouting([Scene((LEFT,))], geometry), geometry).detect(CANVAS, 0.3)
    assert seen.malignant == pytest.approx([0.7])


def test_without_findings_the_masks_are_not_asked_for():
    engine = FakeEngine([Scene()])
    seen = Detector(engine, GEOMETRY).detect(CANVAS, 0.3)
    assert [stage for stage, _ in engine.calls] == ["trunk", "heads"]
    assert seen.boxes.shape == (0, 4)
    assert seen.masks.shape == (0, 56, 56)
    assert len(seen.benign) == len(seen.malignant) == len(seen.lesion) == 0


def test_an_image_without_a_single_proposal_is_an_image_without_findings():
    class Blind(FakeEngine):
        def _trunk(self, inputs):
            answer = super()._trunk(inputs)
            answer["deltas"][..., 0] = -1e4
            return answer

    engine = Blind([Scene(image=(0.1, 0.2, 0.7))])
    seen = Detector(engine, GEOMETRY).detect(CANVAS, 0.3)
    assert not engine.inputs_of("heads")[0]["weights"].any()
    assert seen.boxes.shape == (0, 4)
    assert seen.image[2] == pytest.approx(0.7)


def test_the_pyramid_never_comes_to_the_host():
    engine = FakeEngine([Scene((LEFT,))])
    Detector(engine, GEOMETRY).detect(CANVAS, 0.3)
    assert {stage for stage, inputs in engine.calls if "pyramid" in inputs} == {"heads", "masks"}
    # The fake refuses a pyramid that is an array, or an older image's.


@pytest.mark.parametrize("stage", ["trunk", "heads", "masks"])
def test_a_failing_stage_is_a_fault_and_no_empty_answer(stage):
    with pytest.raises(EngineFault, match=stage):
        detect(LEFT, fault=stage)


@pytest.mark.parametrize("broken", [replace(LEFT, malignant=np.nan), replace(LEFT, mask=np.inf)])
def test_nan_and_infinity_are_a_fault(broken):
    with pytest.raises(EngineFault, match="NaN"):
        detect(broken, RIGHT)


def test_the_clock_hears_of_every_step():
    laps: list[tuple[str, float]] = []
    engine = FakeEngine([Scene((LEFT,))])
    Detector(engine, GEOMETRY).detect(CANVAS, 0.3, lambda step, ms: laps.append((step, ms)))
    assert [step for step, _ in laps] == ["trunk", "proposals", "heads", "proposals", "masks"]
    assert all(ms >= 0 for _, ms in laps)


def choose(boxes, lesion, threshold=0.3, geometry: Geometry = GEOMETRY):
    return choose_findings(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(lesion, np.float32),
        threshold,
        geometry,
    ).tolist()


def test_of_two_findings_in_one_place_the_surer_stays_whatever_their_class():
    boxes = [(10, 10, 40, 40), (12, 10, 42, 40), (60, 60, 80, 80)]
    assert choose(boxes, [0.6, 0.9, 0.5]) == [1, 2]
    seen = detect(replace(RIGHT, box=(18, 20, 42, 44)), LEFT)  # IoU 0.5: proposed both
    assert seen.malignant == pytest.approx([0.7])


def test_at_most_d_findings_the_best_ones():
    apart = [(x, y, x + 8, y + 8) for x in (0, 20, 40) for y in (0, 20, 40)]
    scores = np.linspace(0.4, 0.9, 9)
    assert choose(apart, scores) == [8, 7, 6, 5]


def test_slivers_and_empty_boxes_are_no_findings():
    assert choose([(5, 5, 6, 50), (5, 5, 5, 5), (5, 5, 7, 7)], [0.9, 0.9, 0.9]) == [2]


def test_nothing_is_chosen_from_nothing():
    assert choose([], []) == []
