"""What the denoiser learns from: clean patches at any dose, noise that is known, pictures without
their secret given away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the denoiser is trained with torch")

from mammosono.appliance.pipeline.denoise.estimate import noise_std  # noqa: E402
from mammosono.appliance.pipeline.denoise.network import FARTHEST  # noqa: E402
from mammosono.tools.data.index import read_index  # noqa: E402
from mammosono.tools.denoiser import pictures as reading  # noqa: E402
from mammosono.tools.denoiser.pictures import (  # noqa: E402  # noqa: E402
    AMPLITUDES,
    OWN_NOISE,
    PATCH,
    Picture,
    clean_patch,
    clean_pictures,
    crop,
    noisy_pictures,
    self_supervised,
    supervised,
)
from mammosono.tools.denoiser.validation import Trial, gains, trials  # noqa: E402

SIZE = (320, 224)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ramp(side: int = 200, noise: float = 0.0, drawn: bool = True) -> Picture:
    image = np.repeat(np.linspace(0, 1, side, dtype=np.float32)[None], side, axis=0)
    return Picture(
        image + np.float32(noise) * rng().standard_normal(image.shape, np.float32), drawn
    )


# Patches


def test_the_noise_of_a_supervised_patch_is_white_and_of_unit_std_and_is_in_it() -> None:
    for seed in range(5):
        noisy, noise = supervised([ramp()], rng(seed))
        assert noisy.shape == noise.shape == (PATCH, PATCH)
        assert noisy.dtype == noise.dtype == np.float32
        assert noise.std() == pytest.approx(1, abs=0.05)
        rest = noisy - noise  # the picture less its level: a ramp has none, but for the rim's
        assert np.corrcoef(rest.ravel(), noise.ravel())[0, 1] == pytest.approx(0, abs=0.1)
        assert np.abs(noisy).max() <= FARTHEST


def test_the_doses_cover_what_is_stated() -> None:
    draw = rng()
    spans = [float(np.ptp(clean_patch([ramp()], 200, draw))) for _ in range(300)]
    assert min(spans) >= AMPLITUDES[0] * 0.999
    assert max(spans) <= AMPLITUDES[1] * 1.001
    assert min(spans) < 18
    assert max(spans) > 400


def test_a_film_is_shown_only_where_its_own_noise_is_small_beside_the_drawn_one() -> None:
    film = ramp(noise=0.002, drawn=False)
    draw = rng()
    for _ in range(50):
        patch = clean_patch([film], 128, draw)
        assert (noise_std(patch) or 0) <= OWN_NOISE * 1.001


def test_films_that_are_too_noisy_or_pictures_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="too noisy"):
        clean_patch([ramp(noise=0.1, drawn=False)], 128, rng())
    with pytest.raises(ValueError, match="too small"):
        clean_patch([ramp(side=100)], 128, rng())
    with pytest.raises(ValueError, match="too small"):
        self_supervised([ramp(side=100)], rng())


def test_a_self_supervised_target_is_right_without_the_clean_picture_being_known() -> None:
    """What a perfect denoiser would say of the input must be the best guess of the target: so the
    target's part that can be known is the noise in the input, and the rest is independent."""
    image = np.zeros((400, 400), np.float32)
    truth = rng(1).standard_normal(image.shape, np.float32)
    inputs, targets = zip(
        *(self_supervised([Picture(image + truth, True)], rng(k)) for k in range(30)), strict=True
    )
    noisy, target = np.stack(inputs), np.stack(targets)
    # Of a flat picture the input is noise alone, so it is itself the best guess of the target.
    slope = float((noisy * target).sum() / (noisy * noisy).sum())
    assert slope == pytest.approx(1, abs=0.02)
    assert noisy.std() == pytest.approx(1, abs=0.03)
    rest = target - noisy
    assert np.corrcoef(rest.ravel(), noisy.ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_a_crop_is_cut_from_anywhere_and_any_way_up() -> None:
    image = np.arange(64, dtype=np.float32).reshape(8, 8)
    draw = rng()
    cuts = [crop(image, 8, draw) for _ in range(100)]
    assert all(cut is not None and sorted(cut.ravel()) == sorted(image.ravel()) for cut in cuts)
    assert len({cut.tobytes() for cut in cuts if cut is not None}) == 8
    corners = {float(cut[0, 0]) for _ in range(300) if (cut := crop(image, 1, draw)) is not None}
    assert len(corners) == 64
    assert crop(image, 9, draw) is None


# Pictures


def test_phantoms_and_films_are_read_at_network_scale(
    phantom_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PHANTOM_SIZE", (512, 320))
    monkeypatch.setattr(reading, "FILMS", 2)
    films = [r for r in read_index(phantom_index) if r.modality.value == "MG"]
    told: list[tuple[int, int]] = []
    clean = clean_pictures(films, range(2), SIZE, lambda *seen: told.append(seen))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [picture.drawn for picture in clean] == [True, True, False, False, False, False]
    for picture in clean:
        assert picture.image.dtype == np.float32
        assert 0 <= picture.image.min() < picture.image.max() < 1.5
        assert picture.image.shape[0] <= SIZE[0]
        assert picture.image.shape[1] <= SIZE[1]
    # A film comes a second time at half its size, with about a half of its own noise.
    film, half = clean[2].image, clean[3].image
    assert half.shape[0] == pytest.approx(film.shape[0] / 2, abs=1)
    assert (noise_std(half) or 0) < (noise_std(film) or 0)
    noisy = noisy_pictures(films, range(2), SIZE, lambda *_: None)
    assert [picture.drawn for picture in noisy] == [True, True, False, False]
    for picture in noisy:
        assert noise_std(picture.image, picture.image > picture.image.mean()) == pytest.approx(
            1, rel=0.25
        )


def test_a_film_that_cannot_be_read_is_named(phantom_index: Path) -> None:
    from dataclasses import replace

    from mammosono.tools.data.truth import BadTruth

    record = replace(read_index(phantom_index)[0], image=Path("none.jpg"), name="none.jpg")
    with pytest.raises(BadTruth, match=r"none\.jpg"):
        clean_pictures([record], (), SIZE, lambda *_: None)


# Judging


def test_the_gain_of_a_denoiser_is_what_it_takes_from_the_noise() -> None:
    tried = trials([ramp(side=256), ramp(side=256, drawn=False)], of_each=3)
    assert [trial.kind for trial in tried] == ["phantom"] * 3 + ["film"] * 3
    assert gains(lambda noisy: noisy, tried)["phantom"] == pytest.approx(0, abs=0.2)
    truth = {trial.noisy.tobytes(): trial for trial in tried}

    def halved(noisy: np.ndarray) -> np.ndarray:
        trial: Trial = truth[noisy.tobytes()]
        return (noisy + trial.clean) / 2

    found = gains(halved, tried)
    assert found == pytest.approx({"phantom": 6.02, "film": 6.02}, abs=0.2)


def test_the_trials_of_the_same_pictures_are_the_same() -> None:
    one, again = (trials([ramp(side=256)], of_each=2) for _ in range(2))
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a.noisy, b.noisy)
    assert not np.array_equal(one[0].noisy, one[1].noisy)
