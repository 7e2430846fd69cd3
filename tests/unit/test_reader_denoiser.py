"""A reader whose bundle has a denoiser: its stage is run by another thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from fakes import GEOMETRY, FakeEngine, Scene, fake_model
from test_reader import BENIGN, CALM, MALIGNANT, MG, PAIR, US, P, posted

from mammosono.appliance.errors import ModelFault
from mammosono.appliance.pipeline.denoise.network import STAGE
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.pipeline.model import BundleModel
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import DenoiseRecord, Modality
from mammosono.engines.errors import EngineLost
from mammosono.engines.interface import Tensor

MODEL: BundleModel = replace(
    fake_model(),
    modalities={
        **fake_model().modalities,
        Modality.MG: replace(fake_model().of(Modality.MG), denoiser=STAGE),
    },
)


class Denoising(FakeEngine):
    """With a stage that finds no noise, and knows which threads ran what."""

    def _denoise_mg(self, inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        self.__dict__.setdefault("threads", {}).setdefault(STAGE, set()).add(threading.get_ident())
        noisy = inputs["noisy"]
        assert isinstance(noisy, np.ndarray)
        assert noisy.shape == (1, 1, *GEOMETRY.input_size)
        return {"noise": np.zeros_like(noisy)}


def test_a_mammogram_is_denoised_by_the_network_and_an_ultrasound_is_not() -> None:
    engine = Denoising([CALM])
    reading = Reader(engine, MODEL, threads=1).read(PAIR)
    assert [image.denoise.method for image in reading.images] == ["anscombe-cnn", "obnlm"]
    assert len(engine.inputs_of(STAGE)) == 1


def test_a_bundle_without_the_stage_is_read_the_classical_way() -> None:
    engine = Denoising([CALM])
    reading = Reader(engine, fake_model(), threads=1).read(PAIR)
    assert reading.images[0].denoise.method == "anscombe-nlm"
    assert not engine.inputs_of(STAGE)


def test_the_pyramid_is_the_right_one_though_the_next_image_is_denoised_meanwhile() -> None:
    """The fake asserts that heads and masks get the pyramid of the last trunk."""
    images = tuple(posted(MG, seed) for seed in range(5))
    engine = Denoising([MALIGNANT, BENIGN, CALM, BENIGN, MALIGNANT])
    reading = Reader(engine, MODEL, threads=1).read(images)
    assert len(engine.inputs_of(STAGE)) == 5
    assert threading.get_ident() not in engine.__dict__["threads"][STAGE]
    assert [image.verdict is P for image in reading.images] == [True, False, False, False, True]


def test_a_failing_denoiser_is_an_error_and_never_a_negative() -> None:
    engine = Denoising([MALIGNANT], fault=STAGE)
    with pytest.raises(ModelFault, match=STAGE) as caught:
        Reader(engine, MODEL, threads=1).read(PAIR)
    assert caught.value.code == "engine_fault"


def test_a_denoiser_that_answers_nan_is_an_error() -> None:
    class NotANumber(Denoising):
        def _denoise_mg(self, inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
            return {"noise": np.full((1, 1, *GEOMETRY.input_size), np.nan, np.float32)}

    with pytest.raises(ModelFault, match="NaN"):
        Reader(NotANumber([CALM]), MODEL, threads=1).read(PAIR)


class Losing(Denoising):
    """Its process dies over the denoiser's stage, the first `losses` times."""

    losses = 1

    def run(self, stage, inputs, keep=()):  # type: ignore[no-untyped-def]
        if stage == STAGE and self.losses:
            self.losses -= 1
            raise EngineLost("the worker died; a new one is started")
        return super().run(stage, inputs, keep)


def test_a_study_whose_engine_is_lost_over_the_denoiser_is_read_again() -> None:
    images = (posted(US), posted(MG))
    wanted = Reader(Denoising([MALIGNANT]), MODEL, threads=1).read(images)
    reading = Reader(Losing([MALIGNANT]), MODEL, threads=1).read(images)
    assert reading.images == wanted.images


def test_a_study_whose_engine_is_lost_twice_over_the_denoiser_fails_and_says_why() -> None:
    engine = Losing([MALIGNANT])
    engine.losses = 2
    with pytest.raises(ModelFault, match=r"lost twice .* the worker died"):
        Reader(engine, MODEL, threads=1).read(PAIR)


def test_after_a_failure_the_images_that_wait_are_not_prepared() -> None:
    engine = Denoising([Scene()], fault=STAGE)
    images = tuple(posted(MG, seed) for seed in range(6))
    with pytest.raises(ModelFault):
        Reader(engine, MODEL, threads=1).read(images)
    assert len(engine.inputs_of(STAGE)) < 6


def test_a_reader_can_be_told_to_leave_the_noise_alone() -> None:
    def untouched(
        working: np.ndarray, modality: Modality, peak: float
    ) -> tuple[np.ndarray, DenoiseRecord]:
        assert peak == 255
        return working, DenoiseRecord("none")

    engine = Denoising([CALM])
    reading = Reader(engine, MODEL, threads=1, denoise=untouched).read(PAIR)
    assert [image.denoise.method for image in reading.images] == ["none", "none"]
    assert not engine.inputs_of(STAGE)
    for image, pictures in zip(PAIR, reading.pictures, strict=True):
        height, width = image.pixels.shape
        place = frame(image.pixels, image.modality, GEOMETRY.input_size)
        shown = place.restore(place.cut(image.pixels), image.pixels)
        assert pictures.denoised.shape == (height, width)
        assert np.array_equal(pictures.denoised, shown)
