"""Training the denoiser: it learns, it can be stopped anywhere, and it goes on from there."""

from __future__ import annotations

import csv
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the denoiser is trained with torch")

from typer.testing import CliRunner  # noqa: E402

from mammosono.engines.bundle import open_bundle, write_manifest  # noqa: E402
from mammosono.engines.onnx_engine import OnnxEngine  # noqa: E402
from mammosono.tools.cli import app  # noqa: E402
from mammosono.tools.denoiser import pictures  # noqa: E402
from mammosono.tools.denoiser import training as material  # noqa: E402
from mammosono.tools.denoiser.network import Denoiser, DenoiserConfig, predict  # noqa: E402
from mammosono.tools.denoiser.pictures import Picture  # noqa: E402
from mammosono.tools.denoiser.training import DenoiserTrainer, DenoiserTraining, best_denoiser  # noqa: E402
from mammosono.tools.denoiser.validation import (  # noqa: E402  # noqa: E402
    as_rich,
    compare_methods,
    gains,
    trials,
    with_network,
)
from mammosono.tools.export.graphs import export_denoiser  # noqa: E402
from mammosono.tools.export.parity import ParityError, compare_denoiser  # noqa: E402
from mammosono.tools.training.checkpoint import BadRun, write_config  # noqa: E402

TINY = DenoiserConfig((4, 6), (1, 1), (1, 1))
CONFIG = DenoiserTraining(network=TINY, epochs=2, steps=4, batch=2, learning_rate=5e-3)


pytestmark = pytest.mark.usefixtures("one_thread")


def smooth(drawn: bool = True) -> Picture:
    y, x = np.mgrid[:256, :256].astype(np.float32)
    return Picture((np.sin(x / 40) + np.cos(y / 30) + 2).astype(np.float32) / 4, drawn)


def trainer(folder: Path, config: DenoiserTraining = CONFIG, **options: Any) -> DenoiserTrainer:
    folder.mkdir(exist_ok=True)
    val = trials([smooth()], of_each=2)
    return DenoiserTrainer(folder, config, [smooth()], val, {"sources": ["drawn"]}, **options)


def nothing(*_: object) -> None:
    pass


def weights(folder: Path, name: str = "best.pt") -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / name, weights_only=True)["network"]
    return state


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Learning


def test_it_learns_to_remove_noise(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=3, steps=40, batch=2, ema_decay=0.9)
    told: list[dict[str, float]] = []
    run = trainer(tmp_path / "run", config)
    assert run.fit(nothing, lambda _, figures: told.append(figures))
    assert told[-1]["left"] < 0.75 * told[0]["left"]
    assert told[-1]["phantom"] > told[0]["phantom"]
    network, provenance = best_denoiser(tmp_path / "run")
    found = gains(with_network(network), run.val)
    assert found["phantom"] == pytest.approx(max(figures["phantom"] for figures in told), abs=0.01)
    assert found["phantom"] > 0
    assert provenance["sources"] == ["drawn"]
    assert provenance["psnr_gain_db"] == pytest.approx(found, abs=1e-4)


@pytest.mark.parametrize("self_supervised", [False, True])
def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    self_supervised: bool, tmp_path: Path
) -> None:
    config = replace(CONFIG, self_supervised=self_supervised)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert trainer(tmp_path / name, replace(config, seed=seed)).fit(nothing, nothing)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_the_curves_hold_a_row_an_epoch(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit(nothing, nothing)
    with (tmp_path / "run" / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"left", "phantom"} <= set(rows[0])


# Stopping and going on


@pytest.mark.parametrize("stop_at", [2, 4, 6])
def test_stopped_by_ctrl_c_and_resumed_it_ends_as_if_nothing_had_been(
    stop_at: int, tmp_path: Path
) -> None:
    assert trainer(tmp_path / "whole").fit(nothing, nothing)
    seen = 0

    def interrupt(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    assert not trainer(tmp_path / "cut").fit(interrupt, nothing)
    assert seen == stop_at
    assert trainer(tmp_path / "cut").fit(nothing, nothing)
    assert same(weights(tmp_path / "cut", "last.pt"), weights(tmp_path / "whole", "last.pt"))


def test_a_run_that_goes_on_keeps_the_best_it_had(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run")
    assert run.fit(nothing, nothing)
    again = trainer(tmp_path / "run", replace(CONFIG, epochs=3))
    assert again.best == run.best
    again.best = 1000.0  # dB: what comes is worse
    before = weights(tmp_path / "run")
    assert again.fit(nothing, nothing)
    assert same(weights(tmp_path / "run"), before)


def test_a_finished_run_is_not_trained_on(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit(nothing, nothing)
    before = weights(tmp_path / "run", "last.pt")
    steps: list[object] = []
    assert trainer(tmp_path / "run").fit(steps.append, nothing)
    assert steps == []
    assert same(weights(tmp_path / "run", "last.pt"), before)


def test_minutes_end_a_run_in_the_place_of_epochs(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=10**6, minutes=0.01)
    run = trainer(tmp_path / "run", config)
    assert run.fit(nothing, nothing)
    assert 0.6 <= run.seconds < 5
    assert (tmp_path / "run" / "best.pt").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_checkpoint(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", replace(CONFIG, epochs=1))
    assert run.fit(nothing, nothing)
    before = weights(tmp_path / "run", "last.pt")
    run = trainer(tmp_path / "run", replace(CONFIG, epochs=2))
    with torch.no_grad():
        run.network.leave.bias.fill_(torch.nan)
    with pytest.raises(ArithmeticError, match="the loss is nan in epoch 2"):
        run.fit(nothing, nothing)
    assert same(weights(tmp_path / "run", "last.pt"), before)


def test_a_run_of_another_network_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path / "run").fit(nothing, nothing)
    other = replace(CONFIG, network=DenoiserConfig((4, 8), (1, 1), (1, 1)))
    with pytest.raises(BadRun, match="another configuration"):
        trainer(tmp_path / "run", other)


def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match=r"config\.json is missing or damaged"):
        best_denoiser(tmp_path)
    trainer(tmp_path / "run").fit(nothing, nothing)
    write_config(tmp_path / "run", replace(CONFIG, network=DenoiserConfig()))
    with pytest.raises(BadRun, match=r"best\.pt is of another network"):
        best_denoiser(tmp_path / "run")
    (tmp_path / "run" / "best.pt").unlink()
    with pytest.raises(BadRun, match=r"no checkpoint best\.pt"):
        best_denoiser(tmp_path / "run")


# The network


def test_levels_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="same levels"):
        DenoiserConfig((4, 8), (1,), (1, 1))


def test_a_picture_of_any_size_is_predicted_at_its_size() -> None:
    network = Denoiser(TINY)
    for size in ((40, 52), (41, 55), (5, 5)):
        assert predict(network, torch.zeros(1, 1, *size)).shape == (1, 1, *size)


def test_the_network_that_ships_costs_at_most_4_gflop_on_the_canvas() -> None:
    network, flops = Denoiser(DenoiserConfig()), 0

    def count(layer: Any, given: Any, made: torch.Tensor) -> None:
        nonlocal flops
        pixels = made if isinstance(layer, torch.nn.Conv2d) else given[0]
        flops += 2 * layer.weight.numel() * pixels.shape[2] * pixels.shape[3]

    for layer in network.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 1, 640, 448))
    assert flops < 4.3e9


# Export


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Denoiser, OnnxEngine]]:
    folder = tmp_path_factory.mktemp("stage")
    torch.manual_seed(1)
    network = Denoiser(TINY)
    entry = export_denoiser(network, (64, 48), folder)
    stages = {"denoise_mg": entry}
    write_manifest(folder, {"schema": 1, "name": "tiny", "version": "1", "stages": stages})
    engine = OnnxEngine(open_bundle(folder), threads=1)
    yield network, engine
    engine.close()


def test_the_graph_computes_what_torch_does(stage: tuple[Denoiser, OnnxEngine]) -> None:
    noisy = [np.random.default_rng(k).standard_normal((1, 1, 64, 48), np.float32) for k in range(3)]
    (difference,) = compare_denoiser(*stage, noisy).values()
    assert difference < 1e-5


def test_a_graph_of_other_weights_is_refused(stage: tuple[Denoiser, OnnxEngine]) -> None:
    torch.manual_seed(2)
    noisy = [np.ones((1, 1, 64, 48), np.float32)]
    with pytest.raises(ParityError, match=r"denoise_mg\.noise differs"):
        compare_denoiser(Denoiser(TINY), stage[1], noisy)
    with pytest.raises(ParityError, match="no mammogram"):
        compare_denoiser(*stage, [])


def test_a_size_that_the_levels_do_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        export_denoiser(Denoiser(TINY), (64, 50), tmp_path)


# Beside the public methods


def test_every_method_stands_in_the_table_with_its_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    # A blur in the place of bm3d, whose licence keeps it out of what the tests install.
    blur = SimpleNamespace(bm3d=lambda noisy, sigma: cv2.blur(noisy, (3, 3)))
    monkeypatch.setitem(sys.modules, "bm3d", blur)
    (trial,) = trials([smooth()], of_each=1)
    tried = [replace(trial, clean=trial.clean[:40, :40], noisy=trial.noisy[:40, :40])]
    rows = compare_methods(Denoiser(TINY), tried, nothing)
    assert len(rows) == 5
    # An untrained network removes next to nothing, the others most of the noise of a soft ramp.
    assert abs(rows["ours, network"]["phantom"]) < 1
    assert all(rows[name]["phantom"] > 3 for name in list(rows)[1:])
    table = as_rich(rows, tried)
    assert [column.header for column in table.columns][1:] == ["phantom (n = 1)", "film (n = 0)"]


# The command


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "TRAIN_SEEDS", range(2))
    monkeypatch.setattr(material, "VAL_SEEDS", range(2))
    for module in (pictures, material):
        monkeypatch.setattr(module, "FILMS", 2)
    monkeypatch.setattr(pictures, "PHANTOM_SIZE", (640, 400))
    monkeypatch.setattr(DenoiserTraining, "__init__", _shortened(DenoiserTraining.__init__))


def _shortened(init: Any) -> Any:
    def shortened(self: Any, **given: Any) -> None:
        init(self, **{"network": TINY, "steps": 2, "batch": 2, **given})

    return shortened


@pytest.mark.parametrize("option", [(), ("--self-supervised",)])
def test_the_command_goes_from_an_index_to_a_run(
    small: None, phantom_index: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    command = [
        "train-denoiser", "--data", str(phantom_index), "--source", "phantom",
        "--out", str(tmp_path / "run"), "--epochs", "1", "--seed", "3", *option,
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "Trained. Next: mammosono-tools export --denoiser" in result.output
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {"config.json", "last.pt", "best.pt", "curves.csv"}
    _, provenance = best_denoiser(tmp_path / "run")
    method = "recorrupted-to-recorrupted" if option else "supervised"
    assert (provenance["method"], provenance["sources"]) == (method, ["phantom", "phantoms"])
    assert provenance["images"]["films"] == 2
    assert len(provenance["split_sha256"]) == 64
    assert set(provenance["psnr_gain_db"]) == {"phantom", "film"}


def test_an_index_without_the_source_is_refused(phantom_index: Path, tmp_path: Path) -> None:
    command = ["train-denoiser", "--data", str(phantom_index), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "no train mammogram of CBIS-DDSM" in result.output
    assert not (tmp_path / "run").exists()
