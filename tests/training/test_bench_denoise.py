"""bench-denoise: its measures on pictures whose answer is known, its goals, and the command."""

from __future__ import annotations

import builtins
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console
from skimage.metrics import structural_similarity
from typer.testing import CliRunner

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality, ModelInfo
from mammosono.tools.benchmarks.denoise.measures import (
    cnr,
    edge_correlation,
    edge_kept,
    enl,
    psnr,
    ring,
    ssim,
)
from mammosono.tools.benchmarks.denoise.methods import (
    BM3D,
    CNN,
    NLM,
    OBNLM,
    SKIMAGE_NLM,
    our_methods,
    peer_methods,
    simple_methods,
)
from mammosono.tools.benchmarks.denoise.run import CROP_PX, ENLARGED, draw_pictures
from mammosono.tools.benchmarks.denoise.table import (
    AS_IT_IS,
    CropShot,
    DenoiseBench,
    RealShot,
    Shot,
    as_dict,
    as_rich,
    average,
    difference,
    goals,
    time_ratio,
)
from mammosono.tools.benchmarks.workload import BenchMachine
from mammosono.tools.cli import app

MG, US = Modality.MG, Modality.US


def disc(side: int = 96, radius: float = 24) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(x**2 + y**2 < radius**2)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A bright lesion with a border of one pixel, and where it is."""
    mask = disc()
    return cv2.GaussianBlur(60 + 80 * mask.astype(np.float32), (0, 0), 1.0), mask


# Measures.


def test_psnr_is_that_of_the_mean_square() -> None:
    truth = np.zeros((4, 4), np.float32)
    assert psnr(truth + 255, truth) == pytest.approx(0)
    assert psnr(truth + 2.55, truth) == pytest.approx(40)
    assert psnr(truth, truth) == np.inf


def test_ssim_is_scikit_images() -> None:
    truth, _ = scene()
    image = truth + np.random.default_rng(0).normal(0, 9, truth.shape).astype(np.float32)
    theirs, per_pixel = structural_similarity(
        image.astype(float), truth.astype(float), data_range=255, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False, full=True,
    )  # fmt: skip
    assert 0.2 < theirs < 0.9
    # Their mean leaves a rim of 5 px out.
    assert ssim(image, truth) == pytest.approx(per_pixel.mean(), abs=5e-3)
    assert ssim(truth, truth) == 1


def test_an_edge_is_kept_by_noise_halved_by_half_and_lost_to_blur() -> None:
    truth, mask = scene()
    rng = np.random.default_rng(0)
    assert edge_kept(truth, truth, mask) == pytest.approx(1)
    assert edge_kept(60 + (truth - 60) / 2, truth, mask) == pytest.approx(0.5)
    assert edge_kept(np.full_like(truth, 60), truth, mask) == 0
    noisy = [truth + rng.normal(0, 10, truth.shape).astype(np.float32) for _ in range(20)]
    assert np.mean([edge_kept(n, truth, mask) for n in noisy]) == pytest.approx(1, abs=0.05)
    blurred = [edge_kept(cv2.GaussianBlur(truth, (0, 0), s), truth, mask) for s in (1, 2, 4)]
    assert 1 > blurred[0] > blurred[1] > blurred[2] > 0
    assert np.isnan(edge_kept(truth, np.full_like(truth, 9), mask))


def test_removed_noise_knows_nothing_of_edges_and_removed_edges_do() -> None:
    truth, _ = scene()
    noise = np.random.default_rng(0).normal(0, 6, truth.shape).astype(np.float32)
    assert abs(edge_correlation(truth + noise, truth, truth)) < 0.03
    blurred = cv2.GaussianBlur(truth, (0, 0), 1.5)
    assert edge_correlation(truth, blurred, truth) == pytest.approx(1, abs=1e-3)
    assert np.isnan(edge_correlation(truth, truth, truth))


def test_the_ring_lies_around_the_lesion_past_a_gap() -> None:
    mask = disc(radius=20)
    around = ring(mask)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    assert not (around & mask).any()
    assert away[around].min() > 2
    assert 18 < away[around].max() <= 23


def test_contrast_to_noise_is_the_difference_over_the_noise() -> None:
    mask, rng = disc(), np.random.default_rng(0)
    image = (50 + 30 * mask + rng.normal(0, 10, mask.shape)).astype(np.float32)
    assert cnr(image, mask, ring(mask)) == pytest.approx(3, rel=0.05)
    assert np.isnan(cnr(mask.astype(np.float32), mask, ring(mask)))


def test_looks_are_the_squared_mean_over_the_variance_of_even_blocks() -> None:
    rng = np.random.default_rng(0)
    image = rng.gamma(4, 25, (160, 160)).astype(np.float32)
    everywhere = np.ones(image.shape, bool)
    assert enl(image, everywhere) == pytest.approx(4, rel=0.08)
    image[:16] = 70
    assert enl(image, everywhere) == pytest.approx(4, rel=0.08)
    assert np.isnan(enl(image, disc(160, 5)))


# Methods.


@pytest.mark.parametrize("modality", Modality)
def test_every_method_brings_a_phantom_closer_to_its_truth(modality: Modality) -> None:
    picture = phantom(modality, 5, Label.BENIGN, height=128, width=128)
    noisy = picture.pixels.astype(np.float32)
    methods = (*our_methods(modality, None), *simple_methods(modality), *peer_methods(modality))
    for method in methods:
        result = method.remove(noisy)
        assert result.shape == noisy.shape
        assert psnr(result, picture.clean) > psnr(noisy, picture.clean) + 0.03, method.name


def test_the_bundles_network_comes_first_where_there_is_one() -> None:
    assert [m.name for m in our_methods(MG, lambda picture: picture)] == [CNN, NLM]
    assert [m.name for m in our_methods(MG, None)] == [NLM]
    seen = []
    our_methods(MG, lambda picture: seen.append(picture) or picture)[0].remove(
        phantom(MG, 1, None, height=96, width=96).pixels.astype(np.float32)
    )
    assert len(seen) == 1


# Figures and goals.


def shot(method: str, psnr: float, ms: float, **other: Any) -> Shot:
    plain = Shot(US, 64, 1.0, 0, method, psnr, 0.9, 0.95, 0.1, ms)
    return replace(plain, **other)


def bench(*shots: Shot, crops: tuple[CropShot, ...] = (), load: float = 0.1) -> DenoiseBench:
    real = tuple(
        RealShot(US, k, OBNLM, value, 2 * value, 0.1) for k, value in enumerate((1.0, 1.5))
    )
    return DenoiseBench(
        date(2026, 1, 2), BenchMachine("Some CPU", 2, load, "3.11.1"),
        ModelInfo("compact", "1.0", "ab" * 32, "onnxruntime", {}), 2, {MG: NLM, US: OBNLM},
        (32, 64), 160, shots, crops, real,
    )  # fmt: skip


SHOTS = (
    shot(AS_IT_IS, 20, 0), shot(OBNLM, 30, 10), shot(SKIMAGE_NLM, 30.4, 50),
    shot(AS_IT_IS, 20, 0, seed=1), shot(OBNLM, 29, 20, seed=1), shot(SKIMAGE_NLM, 29.4, 60, seed=1),
    shot(OBNLM, 9, 1, size=32), shot(SKIMAGE_NLM, 30, 1, size=32),
)  # fmt: skip


def test_an_average_leaves_out_what_is_no_number() -> None:
    found = average([1.0, float("nan"), 3.0, float("inf")])
    assert found is not None
    assert (found.mean, found.std, found.n) == (2.0, 1.0, 2)
    assert average([float("nan")]) is None


def test_times_and_gains_are_compared_picture_by_picture() -> None:
    large = [s for s in SHOTS if s.size == 64]
    assert time_ratio(large, SKIMAGE_NLM, OBNLM) == 4.0
    assert time_ratio(large, BM3D, OBNLM) is None
    gap = difference(large, OBNLM, SKIMAGE_NLM)
    assert gap is not None
    assert (gap.mean, gap.n) == (pytest.approx(-0.4), 2)


def said(what: DenoiseBench) -> dict[str, bool | None]:
    return {goal.words: goal.met for goal in goals(what)}


def test_goals_are_judged_at_the_largest_size_and_what_was_not_measured_is_not_judged() -> None:
    near, cheap, above, quick, network = said(bench(*SHOTS)).items()
    assert near == ("ultrasound at 64: within 0.5 dB of scikit-image's NLM in PSNR", True)
    assert cheap == ("ultrasound at 64: in a quarter of its time", True)
    assert (above[1], quick[1], network[1]) == (None, None, None)


def test_a_goal_is_missed_by_a_hair() -> None:
    worse = tuple(replace(s, psnr=s.psnr - 0.11) if s.method == OBNLM else s for s in SHOTS)
    slower = tuple(replace(s, ms=1.01 * s.ms) if s.method == OBNLM else s for s in SHOTS)
    assert list(said(bench(*worse)).values())[:2] == [False, True]
    assert list(said(bench(*slower)).values())[:2] == [True, False]
    mammograms = (shot(NLM, 40, 9, modality=MG), shot(SKIMAGE_NLM, 40.01, 30, modality=MG))
    assert list(said(bench(*mammograms)).values())[2:4] == [False, False]


@pytest.mark.parametrize(("ours", "met"), [(43.0, True), (42.9, False)])
def test_the_network_is_measured_against_bm3d_on_the_same_pieces(ours: float, met: bool) -> None:
    crops = (CropShot(MG, 1.0, 0, CNN, ours), CropShot(MG, 1.0, 0, BM3D, 43.0))
    assert list(said(bench(crops=crops)).values())[-1] is met


def printed(what: DenoiseBench) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(as_rich(what), highlight=False)
    text = capture.get()
    assert "…" not in text
    return " ".join(text.split())


def test_people_read_gains_times_and_goals() -> None:
    text = printed(bench(*SHOTS))
    assert "US phantoms, 64 x 64 px, 1x the usual noise, n = 2" in text
    assert f"{SKIMAGE_NLM} 29.9 ±0.5 0.900 0.950 0.100 55 4.00" in text
    assert "as it is 20.0 ±0.0 0.900 0.950 0.100 Mean" not in text
    assert f"{OBNLM} 1.25 ±0.25 2.50 ±0.50" in text
    assert "met (-0.40 ± 0.00 dB, n = 2)" in text
    assert "not judged (not measured)" in text
    assert "busy" not in text
    assert "busy (load 3.2" in printed(bench(*SHOTS, load=3.2))


def test_machines_read_the_same() -> None:
    plain = json.loads(json.dumps(as_dict(bench(*SHOTS)), allow_nan=False))
    row = next(r for r in plain["phantoms"] if (r["method"], r["size"]) == (SKIMAGE_NLM, 64))
    assert row["noise"]["1"]["psnr"]["mean"] == pytest.approx(29.9)
    assert row["noise"]["2"]["psnr"] is None
    assert row["times_ours"] == 4.0
    assert plain["real"][0]["cnr"] == {"mean": 1.25, "std": 0.25, "n": 2}
    assert [goal["met"] for goal in plain["goals"]] == [True, True, None, None, None]


# The command.


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, ["bench-denoise", "--size", "96", "--runs", "1", *words])


def test_the_command_measures_phantoms_and_real_pictures_without_peers(
    phantom_index: Path,
) -> None:
    result = invoke("--no-peers", "--data", str(phantom_index), "--source", "phantom", "--json")
    assert result.exit_code == 0, result.output
    plain = json.loads(result.stdout)
    assert {row["modality"] for row in plain["phantoms"]} == {"MG", "US"}
    methods = {row["method"] for row in plain["phantoms"]}
    assert {AS_IT_IS, OBNLM, plain["ours"]["MG"], "median 5x5"} < methods
    assert SKIMAGE_NLM not in methods
    assert all(row["cnr"]["n"] >= 1 for row in plain["real"])
    assert plain["crops"]["psnr"] == []
    assert all(goal["met"] is None for goal in plain["goals"])


def test_peers_that_are_not_installed_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "skimage":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    result = invoke()
    assert result.exit_code == 2
    assert "pip install 'mammosono[peers]'" in result.stderr.splitlines()[-1]


def test_an_index_without_lesions_in_val_is_refused(tmp_path: Path) -> None:
    header = "modality,label,image,mask,annotation,patient_or_case,source,split\n"
    (tmp_path / "index.csv").write_text(header)
    result = invoke("--no-peers", "--data", str(tmp_path / "index.csv"))
    assert result.exit_code == 2
    assert "no lesion with a mask in val" in result.stderr


def test_the_pictures_show_before_after_removed_and_truth(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "images", None)
    for name, rows in (("mg", 2), ("us", 3)):
        sheet = cv2.imread(str(tmp_path / "images" / f"denoise-{name}.png"), cv2.IMREAD_GRAYSCALE)
        assert sheet is not None
        side = CROP_PX * ENLARGED
        assert sheet.shape[1] > 4 * side
        assert rows * side < sheet.shape[0] < (rows + 1) * side
