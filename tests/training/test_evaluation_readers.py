"""The two readers that an evaluation reads with, and what they do about noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import drawn_bundle, drawn_networks

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.model import SHIPPED, open_model
from mammosono.appliance.values import DenoiseRecord, ImageReading, Label, Modality, SourceImage
from mammosono.engines.bundle import open_bundle
from mammosono.engines.interface import Tensor
from mammosono.engines.options import EngineOptions
from mammosono.tools.evaluation import evaluate
from mammosono.tools.evaluation.evaluate import LOWEST, Denoising, open_readers


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_bundle(tmp_path_factory.mktemp("readers") / "tiny")


def picture(modality: Modality, seed: int = 1, side: int = 160) -> SourceImage:
    drawn = phantom(modality, seed, Label.MALIGNANT, height=side, width=side)
    return read_image(grey_png(drawn.pixels), modality)


def read(bundle: Path, image: SourceImage, denoising: Denoising) -> list[ImageReading]:
    pair = open_readers(bundle, denoising)
    try:
        return [reader.read([image]).images[0] for reader in pair]
    finally:
        pair[0].close()


def test_what_the_device_reports_is_what_was_seen_from_its_threshold_on() -> None:
    thresholds = {
        code: entry["finding_threshold"] for code, entry in open_bundle(SHIPPED).modalities.items()
    }
    below = 0
    for modality in Modality:
        device, everything = read(SHIPPED, picture(modality, side=480), Denoising.on)
        assert device.findings
        seen = [f for f in everything.findings if f.lesion_score >= thresholds[modality.value]]
        assert {(f.box, f.lesion_score, f.mask) for f in seen} == {
            (f.box, f.lesion_score, f.mask) for f in device.findings
        }
        assert all(f.lesion_score >= LOWEST for f in everything.findings)
        below += len(everything.findings) - len(seen)
    assert below > 0


@pytest.mark.parametrize(
    ("denoising", "methods"),
    [
        (Denoising.off, {Modality.MG: "none", Modality.US: "none"}),
        (Denoising.log, {Modality.MG: "anscombe-nlm", Modality.US: "log-shrinkage"}),
    ],
)
def test_the_noise_is_removed_in_the_asked_way_and_both_readers_see_the_same(
    bundle: Path, denoising: Denoising, methods: dict[Modality, str]
) -> None:
    for modality, method in methods.items():
        device, everything = read(bundle, picture(modality), denoising)
        assert device.denoise.method == everything.denoise.method == method


def test_a_picture_is_denoised_once_for_both_readers_and_every_picture_anew(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Modality] = []

    def counting(
        working: np.ndarray, modality: Modality, peak: float
    ) -> tuple[np.ndarray, DenoiseRecord]:
        asked.append(modality)
        return working, DenoiseRecord("none")

    monkeypatch.setattr(evaluate, "untouched", counting)
    device, everything = open_readers(bundle, Denoising.off)
    for seed in (1, 2):
        for reader in (device, everything):
            reader.read([picture(Modality.US, seed)])
    device.close()
    assert asked == [Modality.US, Modality.US]


@pytest.mark.parametrize("schema", [1, 2])
def test_the_trunk_runs_once_for_both_readers_and_for_every_picture_anew(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: int
) -> None:
    stages: list[str] = []
    if schema == 2:
        bundle = drawn_networks(tmp_path / "two", {"MG": ((96, 64), 1), "US": ((64, 96), 2)})
    engine, model = open_model(bundle, EngineOptions())
    trunk = model.of(Modality.US).stages.trunk
    run = engine.run

    def counting(stage: str, *rest: Any) -> dict[str, Tensor]:
        stages.append(stage)
        return run(stage, *rest)

    monkeypatch.setattr(engine, "run", counting)
    monkeypatch.setattr(evaluate, "open_model", lambda *_: (engine, model))
    device, everything = open_readers(bundle, Denoising.off)
    pictures = [picture(Modality.US, seed) for seed in (1, 2)]
    answers = [[r.read([each]).images for r in (device, everything)] for each in pictures]
    assert stages.count(trunk) == 2
    again = [[r.read([each]).images for each in pictures] for r in (device, everything)]
    device.close()
    assert stages.count(trunk) == 6
    assert again == [list(column) for column in zip(*answers, strict=True)]
