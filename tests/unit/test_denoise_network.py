"""The mammogram's branch with a network: what it is fed, what is done with its answer, and the
gates that hold whatever the weights. The engines here compute with numpy; no graph, no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.noise import poisson_gauss
from mammosono.appliance.pipeline.denoise import Gaussian, denoise
from mammosono.appliance.pipeline.denoise.network import (
    FARTHEST,
    LARGEST_CHANGE,
    STAGE,
    centred,
    network,
)
from mammosono.appliance.values import Label, Modality
from mammosono.engines.errors import EngineFault
from mammosono.engines.interface import Engine, Tensor

SIZE = (160, 128)
Image = np.ndarray


class Numpy(Engine):
    """A denoiser's stage of that input size whose noise is some function of the picture."""

    def __init__(self, noise: Callable[[Image], Image], size: tuple[int, int] = SIZE) -> None:
        self.noise, self.size, self.runs = noise, size, 0

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        noisy = inputs["noisy"]
        assert isinstance(noisy, np.ndarray)
        assert (stage, noisy.shape, noisy.dtype) == (STAGE, (1, 1, *self.size), np.float32)
        assert np.isfinite(noisy).all()
        self.runs += 1
        return {"noise": np.asarray(self.noise(noisy[0, 0]), np.float32)[None, None]}

    def close(self) -> None:
        """Holds nothing."""


def blurred(picture: Image) -> Image:
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def smoothing() -> Gaussian:
    """As plain a denoiser as there is: the noise is what a blur takes away."""
    return network(Numpy(lambda picture: picture - blurred(picture)), SIZE)


def noise_of(shape: tuple[int, int], seed: int = 0) -> Image:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


# What the network sees


def test_the_level_is_taken_away_and_the_noise_is_left() -> None:
    noise = noise_of((200, 150))
    ramp = np.linspace(0, 300, 200 * 150, dtype=np.float32).reshape(200, 150)
    for level in (0, 10_000 * np.ones_like(ramp), ramp):
        seen = centred(noise + level)[16:-16, 16:-16]
        assert np.abs(seen - noise[16:-16, 16:-16]).max() < 0.25
        assert seen.dtype == np.float32


def test_no_edge_is_so_high_that_half_precision_would_lose_the_noise_beside_it() -> None:
    step = np.zeros((100, 100), np.float32)
    step[:, 50:] = 500
    assert np.abs(centred(step)).max() == FARTHEST


# Tiles


@pytest.mark.parametrize(
    "shape",
    [SIZE, (1, 1), (3, 200), (159, 40), (161, 128), (160, 129), (400, 500), (352, 320), (1000, 9)],
)
def test_a_picture_of_any_size_is_covered_once(shape: tuple[int, int]) -> None:
    picture = 5 * noise_of(shape)
    result = network(Numpy(lambda seen: 0.1 * seen), SIZE)(picture)
    assert result.shape == shape
    np.testing.assert_allclose(result, picture - 0.1 * centred(picture), atol=1e-5)


def test_tiles_overlap_so_far_that_no_seam_is_seen() -> None:
    picture = noise_of((400, 300)) + 50
    found = smoothing()(picture)
    whole = network(Numpy(lambda seen: seen - blurred(seen), (400, 300)), (400, 300))(picture)
    # A blur of 1.5 px reaches 6 px; the rim of a tile is 32.
    np.testing.assert_allclose(found, whole, atol=1e-5)


def test_a_picture_of_the_networks_size_is_one_run() -> None:
    engine = Numpy(np.zeros_like)
    remove = network(engine, SIZE)
    remove(noise_of((150, 100)))
    assert engine.runs == 1
    remove(noise_of((161, 100)))
    assert engine.runs == 3


# What is done with the answer


def test_what_stands_out_from_the_noise_is_left_whatever_the_network_says() -> None:
    picture = noise_of(SIZE)
    picture[40, 50] = 60
    result = network(Numpy(lambda seen: 100 * seen), SIZE)(picture)
    assert np.abs(result - picture).max() <= LARGEST_CHANGE * 1.0001
    assert result[40, 50] >= 60 - LARGEST_CHANGE * 1.0001


def test_a_network_that_finds_no_noise_leaves_the_picture_as_it_is() -> None:
    """Twelve bits and more come through: the picture itself never goes through the network."""
    deep = phantom(Modality.MG, 1, None, height=160, width=128).clean * 257
    deep = np.clip(poisson_gauss(deep, 30, 60, np.random.default_rng(0)), 0, 65535)
    remove = network(Numpy(np.zeros_like), SIZE)
    result, record = denoise(deep, Modality.MG, peak=65535, gaussian=remove)
    gain = record.parameters["gain"]
    # An eighth of a quantum is what the inverse adds for the mean of the noise.
    assert np.abs(result - deep).max() < 0.3 * gain + 0.05 * 60
    assert np.unique(result).size > 5000


def test_a_fault_of_the_engine_is_told() -> None:
    def broken(_: Image) -> Image:
        raise EngineFault("stage denoise_mg: noise holds NaN or Inf")

    with pytest.raises(EngineFault, match="NaN"):
        denoise(mammogram()[1], Modality.MG, peak=255, gaussian=network(Numpy(broken), SIZE))


# The gates of the whole branch, whatever the weights


def mammogram(seed: int = 0) -> tuple[Image, Image]:
    """Clean and noisy."""
    clean = phantom(Modality.MG, seed, Label.MALIGNANT, height=320, width=256).clean
    noisy = poisson_gauss(clean, 0.5, 1.0, np.random.default_rng(seed))
    return clean, np.clip(noisy, 0, 255).astype(np.float32)


def psnr(image: Image, truth: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((image - truth) ** 2)))


def test_a_phantom_comes_closer_to_its_clean_picture_and_the_record_says_how() -> None:
    for seed in range(3):
        clean, noisy = mammogram(seed)
        result, record = denoise(noisy, Modality.MG, peak=255, gaussian=smoothing())
        assert psnr(result, clean) - psnr(noisy, clean) >= 6
        assert record.method == "anscombe-cnn"
        assert set(record.parameters) == {"gain", "sigma", "mu", "unevenness", "straightened"}
        assert record.noise_before is not None
        assert record.noise_after is not None
        assert record.noise_after < 0.5 * record.noise_before


def test_without_a_network_the_classical_way_is_taken_and_the_record_says_so() -> None:
    _, noisy = mammogram()
    _, record = denoise(noisy, Modality.MG, peak=255)
    assert record.method == "anscombe-nlm"
    assert {"strength", "search_radius", "patch_radius"} <= set(record.parameters)


def test_ultrasound_has_no_use_for_it() -> None:
    def never(_: Image) -> Image:
        raise AssertionError

    _, noisy = mammogram()
    assert denoise(noisy, Modality.US, peak=255, gaussian=never)[1].method == "obnlm"


def test_the_mean_is_kept_within_one_percent() -> None:
    _, noisy = mammogram()
    result, _ = denoise(noisy, Modality.MG, peak=255, gaussian=smoothing())
    assert result.mean() == pytest.approx(noisy.mean(), rel=0.01)


@pytest.mark.parametrize("factor", [1.0, -3.0, 1e6])
def test_the_range_of_the_input_is_not_left_whatever_the_network_says(factor: float) -> None:
    _, noisy = mammogram()
    remove = network(Numpy(lambda seen: factor * seen), SIZE)
    result, _ = denoise(noisy, Modality.MG, peak=255, gaussian=remove)
    assert noisy.min() <= result.min()
    assert result.max() <= noisy.max()


def test_a_second_pass_changes_less_than_the_first_and_twice_is_the_same() -> None:
    _, noisy = mammogram()
    once, _ = denoise(noisy, Modality.MG, peak=255, gaussian=smoothing())
    again, _ = denoise(noisy, Modality.MG, peak=255, gaussian=smoothing())
    assert np.array_equal(once, again)
    twice, _ = denoise(once, Modality.MG, peak=255, gaussian=smoothing())
    assert np.abs(twice - once).mean() < 0.5 * np.abs(once - noisy).mean()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((64, 48)), id="all black"),
        pytest.param(np.full((64, 48), 255.0), id="saturated"),
        pytest.param(np.full((64, 48), 77.3), id="constant"),
        pytest.param(np.arange(200.0)[:, None], id="one pixel wide"),
        pytest.param(np.arange(200.0)[None], id="one pixel high"),
        pytest.param(np.kron(np.eye(8), np.full((16, 16), 200.0)), id="posterised"),
    ],
)
def test_a_picture_without_measurable_noise_never_reaches_the_network(image: Image) -> None:
    engine = Numpy(lambda seen: 3 * seen)
    image = image.astype(np.float32)
    result, record = denoise(image, Modality.MG, peak=255, gaussian=network(engine, SIZE))
    assert np.array_equal(result, image)
    assert (record.method, engine.runs) == ("none", 0)


def test_nan_is_refused_before_the_network_sees_it() -> None:
    engine = Numpy(np.zeros_like)
    _, noisy = mammogram()
    noisy[3, 4] = np.nan
    with pytest.raises(ValueError, match="finite"):
        denoise(noisy, Modality.MG, peak=255, gaussian=network(engine, SIZE))
    assert engine.runs == 0


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 255.0, 65535.0]),
    st.integers(2, 256),
)
@settings(max_examples=25, deadline=None)
def test_any_picture_gives_finite_pixels_in_its_own_range(
    height: int, width: int, seed: int, peak: float, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, levels, (height, width)) * (peak / (levels - 1))
    image = np.minimum(image, peak).astype(np.float32)
    result, record = denoise(image, Modality.MG, peak=peak, gaussian=smoothing())
    assert np.isfinite(result).all()
    assert result.min() >= image.min()
    assert result.max() <= image.max()
    assert all(np.isfinite(v) for v in record.parameters.values())
