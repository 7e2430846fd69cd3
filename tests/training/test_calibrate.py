"""What a bundle learns from images that trained nothing: what is shown, scores, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import GEOMETRY, FakeEngine, Lesion, Scene, fake_model
from files import picture, png

from mammosono.appliance.errors import CorruptImage
from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Evidence, Modality, Verdict
from mammosono.tools.data.index import Record
from mammosono.tools.export.calibrate import GRID, Calibration, Look, calibrate, look_at

HEIGHT, WIDTH = GEOMETRY.input_size
TRUE = (20.0, 30.0, 60.0, 70.0)
"""The lesion: 40 x 40 px. The pictures have the input's size, so its px are theirs."""
AWAY = (60.0, 84.0, 84.0, 108.0)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Case:
    """A validation image, what the network sees in it, and what is true."""

    label: str
    seen: Scene
    lesions: tuple[Box, ...] = ()


def sees(*found: tuple[Box, float], head: float = 0.5) -> Scene:
    """A network that finds these boxes, with these lesion scores, all of it malignancy."""
    rest = (1 - head) / 2
    lesions = tuple(Lesion(box, benign=0.0, malignant=score) for box, score in found)
    return Scene(lesions, (rest, rest, head))


OTHERS = (
    Case("malignant", sees((TRUE, 0.9), head=0.9), (TRUE,)),
    Case("normal", sees(head=0.1)),
)
"""Enough of the other modality to choose on."""


class Validation:
    """Cases on disk, ultrasound first, and the engine that sees what they say."""

    def __init__(self, folder: Path, cases: Sequence[Case], others: Sequence[Case] = OTHERS):
        self.cases = [(Modality.US, case) for case in cases]
        self.cases += [(Modality.MG, case) for case in others]
        self.records = [
            written(folder, k, modality, case) for k, (modality, case) in enumerate(self.cases)
        ]
        self.told: list[tuple[int, int]] = []

    def engine(self) -> FakeEngine:
        return FakeEngine([case.seen for _, case in self.cases])

    def looks(self) -> list[Look]:
        return look_at(
            self.engine(),
            fake_model(),
            self.records,
            lambda done, of: self.told.append((done, of)),
        )

    def calibrated(
        self, sensitivity: float = 0.9, false_positives: float = 0.0
    ) -> dict[Modality, Calibration]:
        looks = self.looks()
        return {
            modality: calibrate(
                [one for one in looks if one.record.modality is modality],
                sensitivity,
                false_positives=false_positives,
            )
            for modality in Modality
        }


def written(folder: Path, k: int, modality: Modality, case: Case) -> Record:
    image = folder / f"{k}.png"
    image.write_bytes(png(picture(HEIGHT, WIDTH)))
    masks = []
    for n, (x0, y0, x1, y1) in enumerate(case.lesions):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[int(y0) : int(y1), int(x0) : int(x1)] = 255
        masks.append(folder / f"{k}_mask_{n}.png")
        cv2.imwrite(str(masks[-1]), mask)
    return Record(
        modality, case.label, image.name, image, tuple(masks), (), image.stem, "drawn", "val"
    )


FOUND = (
    Case("malignant", sees((TRUE, 0.72), (AWAY, 0.31)), (TRUE,)),
    Case("benign", sees((TRUE, 0.83), (AWAY, 0.55), head=0.1), (TRUE,)),
)


@pytest.mark.parametrize(
    ("false_positives", "threshold", "sensitivity"),
    [(0.0, 0.56, 1.0), (0.5, 0.32, 1.0), (1.0, GRID[0], 1.0)],
)
def test_findings_are_shown_down_to_the_stated_false_positives_an_image(
    false_positives: float, threshold: float, sensitivity: float, tmp_path: Path
) -> None:
    shown = Validation(tmp_path, FOUND).calibrated(0.9, false_positives)[Modality.US].shown
    assert (shown.threshold, shown.sensitivity) == (threshold, sensitivity)
    assert shown.false_positives == false_positives


def test_a_lesion_is_given_up_where_a_false_finding_is_surer(tmp_path: Path) -> None:
    cases = [
        Case("malignant", sees((TRUE, 0.4)), (TRUE,)),
        Case("benign", sees((TRUE, 0.9), (AWAY, 0.6), head=0.1), (TRUE,)),
    ]
    shown = Validation(tmp_path, cases).calibrated()[Modality.US].shown
    assert (shown.threshold, shown.sensitivity) == (0.61, 0.5)
    assert shown.dice == pytest.approx(0.5)  # the one that is given up, and the other


def test_dice_is_that_of_the_union_and_images_without_masks_do_not_count(tmp_path: Path) -> None:
    half = (20.0, 30.0, 40.0, 70.0)
    cases = [
        Case("malignant", sees((half, 0.96)), (TRUE,)),
        Case("normal", sees(head=0.1)),
    ]
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert chosen.shown.dice == pytest.approx(2 * 800 / (800 + 1600), abs=1e-3)
    assert chosen.image.n == 2


def test_a_black_mask_is_no_lesion(tmp_path: Path) -> None:
    cases = [
        Case("malignant", sees((TRUE, 0.52)), (TRUE,)),
        Case("benign", sees((AWAY, 0.2), head=0.1), ((0.0, 0.0, 0.0, 0.0),)),
    ]
    shown = Validation(tmp_path, cases).calibrated()[Modality.US].shown
    assert (shown.threshold, shown.dice) == (0.21, pytest.approx(1))


def test_a_region_scores_whether_it_is_shown_or_not(tmp_path: Path) -> None:
    """The malignant lesion lies far under the threshold of findings; its score still parts."""
    cases = [
        Case("malignant", sees((TRUE, 0.3), head=0.2), (TRUE,)),
        Case("benign", sees((AWAY, 0.12), head=0.2), ()),
        Case("normal", sees((AWAY, 0.1), head=0.2)),
    ]
    chosen = Validation(tmp_path, cases).calibrated(1.0)[Modality.US]
    assert chosen.image.auc == 1
    assert chosen.image.point.tnr == 1


def test_a_class_free_source_chooses_what_is_shown_and_no_score(tmp_path: Path) -> None:
    validation = Validation(tmp_path, FOUND)
    looks = [one for one in validation.looks() if one.record.modality is Modality.US]
    free = [
        replace(one, record=replace(one.record, source="digital", label="malignant"))
        for one in looks
    ]
    both = calibrate([*looks, *free], 0.9, ("digital",), 0.5)
    alone = calibrate(looks, 0.9, (), 0.5)
    assert (both.scoring, both.image) == (alone.scoring, alone.image)
    assert both.image.n == 2
    surer = [replace(one, lesion=np.minimum(one.lesion + 0.1, 1)) for one in free]
    shifted = calibrate([*looks, *surer], 0.9, ("digital",), 0.25)
    assert shifted.shown.threshold == pytest.approx(0.56)
    assert shifted.scoring == alone.scoring


def film(case: str, name: str, label: str, score: float) -> Look:
    record = Record(Modality.MG, label, name, Path(name), (), (), case, "drawn", "val")
    return Look(
        record, Evidence(score, score), np.array([0.9]), np.ones((1, 1), bool), np.ones(len(GRID))
    )


def test_a_breast_is_its_two_views_by_name_and_has_a_calibration_and_a_point_of_its_own() -> None:
    """One image of each breast misleads; their means part the breasts."""
    looks = []
    for k in range(12):
        label, base = ("malignant", 0.6) if k % 2 else ("benign", 0.4)
        for view, off in (("CC", 0.15), ("MLO", -0.15)):
            off = off if k % 3 else -off
            looks.append(film(f"p{k}", f"p{k}_LEFT_{view}.png", label, base + off + k / 1000))
    single = film("p99", "p99_RIGHT_CC.png", "benign", 0.1)
    chosen = calibrate([*looks, single], 0.9)
    assert chosen.image.auc < 1
    assert chosen.image.n == 25
    assert chosen.breast is not None
    assert (chosen.breast.n, chosen.breast.malignant, chosen.breast.auc) == (12, 6, 1)
    assert chosen.scoring.breast is not None
    assert chosen.scoring.breast.operating_point == chosen.breast.point.threshold
    assert chosen.breast.point.tnr == 1


@pytest.mark.parametrize(
    ("head_tells", "weight"),
    [pytest.param(True, 1.0, id="head"), pytest.param(False, 0.0, id="rois")],
)
def test_the_score_leans_on_whichever_part_ranks_the_images(
    head_tells: bool, weight: float, tmp_path: Path
) -> None:
    cases = []
    for k, label in enumerate(["malignant", "benign"] * 4):
        tells, misleads = (0.9, 0.2) if label == "malignant" else (0.3, 0.95)
        tells, misleads = tells + k / 100, misleads + k / 200
        head, finding = (tells, misleads) if head_tells else (misleads, tells)
        cases.append(Case(label, sees((TRUE, finding), head=head), (TRUE,)))
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert abs(chosen.scoring.head_weight - weight) < 0.5
    assert chosen.image.auc == 1


@pytest.mark.parametrize("sensitivity", [0.5, 0.8, 0.9, 1.0])
def test_the_device_reaches_the_stated_sensitivity_with_the_chosen_numbers(
    sensitivity: float, tmp_path: Path
) -> None:
    validation = Validation(tmp_path, noisy_cases(6, seed=3), noisy_cases(3, seed=4))
    chosen = validation.calibrated(sensitivity)
    model = replace(
        fake_model(),
        modalities={
            modality: replace(
                fake_model().of(modality),
                finding_threshold=numbers.shown.threshold,
                scoring=numbers.scoring,
            )
            for modality, numbers in chosen.items()
        },
    )
    with Reader(validation.engine(), model) as reader:
        readings = [
            reader.read([read_image(record.image.read_bytes(), record.modality)])
            for record in validation.records
        ]
    for modality, numbers in chosen.items():
        positive = {True: [], False: []}
        for record, reading in zip(validation.records, readings, strict=True):
            if record.modality is modality:
                malignant = record.label == "malignant"
                positive[malignant].append(reading.images[0].verdict is Verdict.POSITIVE)
        assert np.mean(positive[True]) == pytest.approx(numbers.image.point.tpr)
        assert 1 - np.mean(positive[False]) == pytest.approx(numbers.image.point.tnr)
        assert np.mean(positive[True]) >= sensitivity


def noisy_cases(count: int, seed: int) -> list[Case]:
    """`count` malignant and as many other images; scores overlap, some lesions are missed."""
    rng = np.random.default_rng(seed)
    cases = []
    for k in range(2 * count):
        malignant = k % 2 == 0
        found = [(TRUE, float(rng.beta(3, 2) if malignant else rng.beta(2, 4)))]
        found += [(AWAY, float(rng.beta(1, 4)))] * (k % 3 == 0)
        head = float(rng.beta(3, 2) if malignant else rng.beta(2, 3))
        cases.append(Case("malignant" if malignant else "benign", sees(*found, head=head), (TRUE,)))
    return cases


def test_every_image_is_read_once_and_told(tmp_path: Path) -> None:
    validation = Validation(tmp_path, OTHERS)
    assert set(validation.calibrated()) == set(Modality)
    assert validation.told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "cases",
    [
        [],
        [OTHERS[0], OTHERS[0]],
        [OTHERS[1], Case("benign", sees(), (TRUE,))],
        [Case("malignant", sees()), OTHERS[1]],
    ],
    ids=["none", "all malignant", "none malignant", "no mask"],
)
def test_a_modality_without_the_images_to_choose_on_is_refused(
    cases: list[Case], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"nothing can be chosen on these (US )?images: give"):
        Validation(tmp_path, cases).calibrated()


def test_a_mask_that_does_not_fit_its_image_is_refused_by_the_image_name(tmp_path: Path) -> None:
    validation = Validation(tmp_path, OTHERS)
    validation.records[0].masks[0].write_bytes(png(np.zeros((8, 8), np.uint8)))
    with pytest.raises(ValueError, match=r"0\.png: mask 1 is of another size"):
        validation.calibrated()
    validation.records[0].masks[0].unlink()
    with pytest.raises(ValueError, match=r"0\.png: mask 1 is missing"):
        validation.calibrated()


def test_an_image_that_cannot_be_read_is_no_reason_to_go_on_without_it(tmp_path: Path) -> None:
    validation = Validation(tmp_path, OTHERS)
    validation.records[1].image.write_bytes(png(picture(HEIGHT, WIDTH))[:200])
    with pytest.raises(CorruptImage):
        validation.calibrated()
