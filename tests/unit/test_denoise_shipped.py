"""The gates of mammogram denoising with the network that ships, on phantoms it never saw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from test_denoise_modalities import drawn, lesion_dice, psnr

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.phantoms.noise import poisson_gauss
from mammosono.appliance.pipeline import model as models
from mammosono.appliance.pipeline.denoise import Gaussian, denoise
from mammosono.appliance.pipeline.denoise.network import STAGE, network
from mammosono.appliance.values import Label, Modality
from mammosono.engines.bundle import open_bundle
from mammosono.engines.onnx_engine import OnnxEngine

MG = Modality.MG


@pytest.fixture(scope="module")
def shipped() -> Iterator[Gaussian]:
    bundle = open_bundle(models.SHIPPED)
    stage = bundle.stages.get(STAGE)
    if stage is None:
        pytest.skip("the shipped bundle leaves mammograms to the classical way")
    engine = OnnxEngine(bundle._replace(stages={STAGE: stage}), threads=1)
    height, width = stage.inputs["noisy"][1][2:]
    yield network(engine, (height, width))
    engine.close()


@pytest.mark.parametrize("dose", [0.2, 1.0, 4.0])
def test_one_network_serves_every_dose_better_than_non_local_means(
    shipped: Gaussian, dose: float
) -> None:
    gains: dict[str, list[float]] = {"network": [], "means": []}
    for seed in range(6):
        clean = phantom(MG, seed, Label.MALIGNANT, height=320, width=256).clean
        noisy = poisson_gauss(clean, 0.4 / dose, 1.0 / dose, np.random.default_rng(seed))
        noisy = np.clip(noisy, 0, 255).astype(np.float32)
        for name, gaussian in (("network", shipped), ("means", None)):
            result, _ = denoise(noisy, MG, peak=255, gaussian=gaussian)
            gains[name].append(psnr(result, clean) - psnr(noisy, clean))
    assert np.mean(gains["network"]) > 8
    assert np.mean(gains["network"]) > np.mean(gains["means"]) + 0.5


def test_the_edge_of_a_lesion_is_found_better_than_in_the_noise(shipped: Gaussian) -> None:
    gains = []
    for seed in range(10):
        picture = drawn(MG, Label.MALIGNANT, seed)
        if lesion_dice(picture.clean, picture, MG) < 0.7:
            continue
        image = picture.pixels.astype(np.float32)
        result, _ = denoise(image, MG, peak=255, gaussian=shipped)
        gains.append(lesion_dice(result, picture, MG) - lesion_dice(image, picture, MG))
    assert len(gains) >= 4
    assert min(gains) > -0.01
    assert np.mean(gains) > 0.005


def test_mean_range_and_second_pass(shipped: Gaussian) -> None:
    image = drawn(MG, Label.BENIGN, 3).pixels.astype(np.float32)
    once, record = denoise(image, MG, peak=255, gaussian=shipped)
    twice, _ = denoise(once, MG, peak=255, gaussian=shipped)
    assert record.method == "anscombe-cnn"
    assert once.mean() == pytest.approx(image.mean(), rel=0.01)
    assert image.min() <= once.min()
    assert once.max() <= image.max()
    assert np.abs(twice - once).mean() < 0.5 * np.abs(once - image).mean()
    assert np.array_equal(once, denoise(image, MG, peak=255, gaussian=shipped)[0])


def test_sixteen_bits_are_denoised_as_finely_as_they_are(shipped: Gaussian) -> None:
    clean = phantom(MG, 2, None, height=320, width=256).clean * 257
    image = np.clip(poisson_gauss(clean, 20, 60, np.random.default_rng(0)), 0, 65535)
    result, _ = denoise(image, MG, peak=65535, gaussian=shipped)
    assert np.unique(np.rint(result)).size > 2000
    narrow, _ = denoise(image / 257, MG, peak=255, gaussian=shipped)
    assert np.allclose(result / 257, narrow, atol=0.02)


def test_a_bright_grain_survives(shipped: Gaussian) -> None:
    """A microcalcification is a pixel or two at this scale, and far above the noise."""
    clean = phantom(MG, 1, None, height=320, width=256).clean
    noisy = poisson_gauss(clean, 0.4, 1.0, np.random.default_rng(0))
    noisy[160, 60] = noisy[150:152, 70] = 250
    noisy = np.clip(noisy, 0, 255).astype(np.float32)
    result, _ = denoise(noisy, MG, peak=255, gaussian=shipped)
    assert min(result[160, 60], result[150, 70], result[151, 70]) > 150
