"""Sampling: balanced over source and label, and reproducible draw by draw."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the sampler feeds torch")

import tiny  # noqa: E402

from mammosono.appliance.values import Label  # noqa: E402
from mammosono.tools.data.sample import Sample  # noqa: E402
from mammosono.tools.data.sampler import Draws, draw_weights, stack_images  # noqa: E402

INPUT = tiny.GEOMETRY.input_size


def crowd(**counts: int) -> list[Sample]:
    """`source_label=n` samples of that source and label."""
    samples = []
    for key, count in counts.items():
        source, _, label = key.partition("_")
        lesion = None if label == "normal" else Label(label)
        discs = ((30, 45, 10),) if lesion else ()
        samples += [tiny.disc_sample(*discs, label=lesion, source=source)] * count
    return samples


def share(samples: list[Sample], weights: np.ndarray, source: str, label: str = "") -> float:
    return float(
        sum(
            w
            for s, w in zip(samples, weights, strict=True)
            if s.source == source and label in ("", s.label)
        )
    )


def draws(seed: int = 1, length: int = 40, epoch: int = 0) -> Draws:
    samples = crowd(films_benign=3, films_malignant=3, phantom_normal=2)
    made = Draws(samples, INPUT, (1.0, 99.0), 0.2, seed, length)
    made.epoch = epoch
    return made


def test_a_group_is_drawn_by_the_square_root_of_its_size() -> None:
    samples = crowd(films_benign=64, films_malignant=16, scans_benign=4)
    weights = draw_weights(samples, 0.1)
    assert weights.sum() == pytest.approx(1)
    assert share(samples, weights, "films", "benign") == pytest.approx(8 / 14)
    assert share(samples, weights, "films", "malignant") == pytest.approx(4 / 14)
    assert share(samples, weights, "scans") == pytest.approx(2 / 14)


@pytest.mark.parametrize("phantom_share", [0.0, 0.08, 0.5])
def test_phantoms_take_their_share_however_many_there_are(phantom_share: float) -> None:
    samples = crowd(films_benign=9, phantom_normal=100, phantom_benign=25)
    weights = draw_weights(samples, phantom_share)
    assert weights.sum() == pytest.approx(1)
    assert share(samples, weights, "phantom") == pytest.approx(phantom_share)
    expected = phantom_share * 2 / 3
    assert share(samples, weights, "phantom", "normal") == pytest.approx(expected)


def test_phantoms_alone_are_drawn_whatever_their_share() -> None:
    weights = draw_weights(crowd(phantom_normal=4, phantom_benign=1), 0.08)
    assert weights.tolist() == pytest.approx([1 / 6] * 4 + [1 / 3])


def test_a_draw_depends_on_seed_epoch_and_number_alone() -> None:
    one, other = draws(), draws()
    backwards = {k: other[k] for k in reversed(range(10))}
    for k in range(10):
        assert np.array_equal(one[k].image, backwards[k].image)
        assert np.array_equal(one[k].boxes, backwards[k].boxes)


@pytest.mark.parametrize("changed", [draws(seed=2)[3], draws(epoch=1)[3], draws()[4]])
def test_another_seed_epoch_or_number_draws_something_else(changed) -> None:
    assert not np.array_equal(draws()[3].image, changed.image)


def test_what_is_drawn_follows_the_weights() -> None:
    made = draws(length=400)
    normal = np.mean([made[k].image_class == 0 for k in range(400)])
    assert len(made) == 400
    assert 0.12 < normal < 0.29  # the phantoms' 0.2


def test_images_are_stacked_and_standardised() -> None:
    made = draws()
    images = stack_images([made[0], made[1]], mean=0.4, std=0.2)
    assert images.shape == (2, 1, *INPUT)
    assert images.dtype == torch.float32
    assert np.allclose(images[1, 0].numpy(), (made[1].image - 0.4) / 0.2, atol=1e-6)
