"""What a bundle learns from validation images: thresholds and the score's mixture."""

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
from mammosono.appliance.values import Modality, Verdict
from mammosono.tools.data.index import Record
from mammosono.tools.export.calibrate import GRID, Calibration, calibrate

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

    def calibrated(self, sensitivity: float = 0.9) -> dict[Modality, Calibration]:
        return calibrate(
            self.engine(),
            fake_model(),
            self.records,
            sensitivity,
            lambda done, of: self.told.append((done, of)),
        )


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


def test_the_finding_threshold_is_the_highest_of_those_with_the_best_dice(tmp_path: Path) -> None:
    cases = [
        Case("malignant", sees((TRUE, 0.72), (AWAY, 0.31)), (TRUE,)),
        Case("benign", sees((TRUE, 0.83), head=0.1), (TRUE,)),
    ]
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert chosen.finding_threshold == 0.7  # 0.35 is as good; 0.75 loses a lesion
    assert chosen.mean_dice == pytest.approx(1)


def test_a_weak_lesion_keeps_the_finding_threshold_low(tmp_path: Path) -> None:
    cases = [
        Case("malignant", sees((TRUE, 0.22)), (TRUE,)),
        Case("benign", sees(head=0.1)),
    ]
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert chosen.finding_threshold == 0.2


@pytest.mark.parametrize(
    ("side", "threshold"), [pytest.param(3, 0.9, id="below"), pytest.param(16, 0.4, id="above")]
)
def test_less_than_a_hundredth_of_dice_is_given_for_a_higher_finding_threshold(
    side: int, threshold: float, tmp_path: Path
) -> None:
    small = (62.0, 84.0, 62.0 + side, 84.0 + side)
    cases = [
        Case("malignant", sees((TRUE, 0.92), (small, 0.42)), (TRUE, small)),
        Case("benign", sees(head=0.1)),
    ]
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert chosen.finding_threshold == threshold


def test_dice_is_that_of_the_union_and_images_without_masks_do_not_count(tmp_path: Path) -> None:
    half = (20.0, 30.0, 40.0, 70.0)
    cases = [
        Case("malignant", sees((half, 0.96)), (TRUE,)),
        Case("normal", sees((AWAY, 0.96), head=0.1)),
    ]
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert chosen.mean_dice == pytest.approx(2 * 800 / (800 + 1600), abs=1e-3)
    assert chosen.finding_threshold == GRID[-1]
    assert chosen.images == 2


def test_a_black_mask_is_no_lesion(tmp_path: Path) -> None:
    cases = [
        Case("malignant", sees((TRUE, 0.52)), (TRUE,)),
        Case("benign", sees(head=0.1), ((0.0, 0.0, 0.0, 0.0),)),
    ]
    chosen = Validation(tmp_path, cases).calibrated()[Modality.US]
    assert (chosen.finding_threshold, chosen.mean_dice) == (0.5, pytest.approx(1))


def test_a_finding_below_the_threshold_does_not_score(tmp_path: Path) -> None:
    # The false finding at 0.61 is the normal image's whole score until the threshold drops it.
    cases = [
        Case("malignant", sees((TRUE, 0.8), head=0.2), (TRUE,)),
        Case("malignant", sees((TRUE, 0.7), head=0.2), (TRUE,)),
        Case("benign", sees((TRUE, 0.75), (AWAY, 0.61), head=0.2), (TRUE,)),
        Case("normal", sees((AWAY, 0.61), head=0.2)),
    ]
    chosen = Validation(tmp_path, cases).calibrated(sensitivity=1.0)[Modality.US]
    assert chosen.finding_threshold == 0.7
    assert chosen.operating_point.tpr == 1
    assert chosen.operating_point.tnr == 0.5


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
    assert abs(chosen.image_score.weight - weight) < 0.5
    assert chosen.image_score.auc == 1


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
                head_weight=numbers.image_score.weight,
                finding_threshold=numbers.finding_threshold,
                operating_point=numbers.operating_point.threshold,
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
        assert np.mean(positive[True]) == pytest.approx(numbers.operating_point.tpr)
        assert 1 - np.mean(positive[False]) == pytest.approx(numbers.operating_point.tnr)
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
    with pytest.raises(ValueError, match="nothing can be chosen on these US images: give"):
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
