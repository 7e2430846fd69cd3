"""Average precision: pycocotools' own numbers, and its files."""

from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from searches import drawn_searches, finding, lesion, search

from mammosono.tools.evaluation.bootstrap import case_weights
from mammosono.tools.evaluation.coco import average_precision, findings_file, match, truth_file
from mammosono.tools.evaluation.outcome import Search

HERE, AWAY = (10, 10, 20, 20), (50, 30, 20, 20)


def by_pycocotools(searches: list[Search], kind: str, folder: Path) -> tuple[float, float]:
    """AP50:95 and AP50 of the two files as a stranger would have them computed."""
    (folder / "truth.json").write_text(json.dumps(truth_file(searches)))
    (folder / "found.json").write_text(json.dumps(findings_file(searches)))
    with redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
        judge = COCOeval(truth, truth.loadRes(str(folder / "found.json")), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_precision_is_that_of_pycocotools_on_the_files_we_write(
    seed: int, kind: str, tmp_path: Path
) -> None:
    searches = drawn_searches(seed, 12)
    ap = average_precision(match(searches, kind), np.ones(12))
    whole, at_half = by_pycocotools(searches, kind, tmp_path)
    assert 0 < whole < at_half < 1
    assert float(ap.mean()) == pytest.approx(whole, abs=1e-9)
    assert float(ap[0]) == pytest.approx(at_half, abs=1e-9)


def test_a_weight_counts_like_so_many_copies_of_the_image() -> None:
    searches = drawn_searches(5, 10)
    weights = case_weights([s.record.case for s in searches], 5, np.random.default_rng(2))
    resampled = average_precision(match(searches, "bbox"), weights)
    for row, value in zip(weights, resampled, strict=True):
        copies = [s for s, n in zip(searches, row, strict=True) for _ in range(int(n))]
        plain = average_precision(match(copies, "bbox"), np.ones(len(copies)))
        # Copies of one score may stand in another order; precision at their end is the same.
        np.testing.assert_allclose(value, plain, atol=0.02)


def test_one_found_of_two_after_one_false_alarm_is_half_the_recalls_at_half_the_precision() -> None:
    image = search("a", [lesion(HERE), lesion(AWAY)], [finding((70, 0, 9, 9), 0.9)])
    image = search("a", list(image.lesions), [*image.seen, finding(HERE, 0.8)])
    ap = average_precision(match([image], "segm"), np.ones(1))
    # 51 of the 101 recalls, 0 to 0.50, have precision 1/2; the others none.
    np.testing.assert_allclose(ap, 51 / 101 / 2)


def test_a_perfect_search_has_precision_one_and_no_lesion_leaves_it_undefined() -> None:
    perfect = search("a", [lesion(HERE)], [finding(HERE, 0.9)])
    np.testing.assert_allclose(average_precision(match([perfect], "bbox"), np.ones(1)), 1)
    nothing = search("b", [], [finding(HERE, 0.9)])
    assert np.isnan(average_precision(match([nothing], "bbox"), np.ones(1))).all()
    blind = search("c", [lesion(HERE)], [])
    assert average_precision(match([blind], "bbox"), np.ones(1)).tolist() == [0] * 10


def test_what_has_no_box_or_mask_is_refused_and_not_guessed() -> None:
    circle = search("a", [lesion(HERE, circle=True)], [])
    with pytest.raises(ValueError, match="no box"):
        match([circle], "bbox")
    with pytest.raises(ValueError, match="no mask"):
        match([circle], "segm")


def test_the_files_name_every_image_lesion_and_finding_and_what_the_device_reports() -> None:
    searches = [
        search("a.png", [lesion(HERE)], [finding(HERE, 0.9), finding(AWAY, 0.2)]),
        search("b.png", [], []),
    ]
    truth, results = truth_file(searches), findings_file(searches)
    assert [image["file_name"] for image in truth["images"]] == ["a.png", "b.png"]
    assert truth["annotations"][0]["bbox"] == [10, 10, 20, 20]
    assert truth["annotations"][0]["label"] == "benign"
    assert [(r["image_id"], r["score"], r["reported"]) for r in results] == [
        (1, 0.9, True),
        (1, 0.2, False),
    ]
    assert not math.isnan(json.loads(json.dumps(truth))["images"][0]["width"])
