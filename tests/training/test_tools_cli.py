"""The command line of the offline side: what it writes, what it prints, how it refuses."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import typer
from click.testing import Result
from tiny_bundle import drawn_network, finished_run
from typer.testing import CliRunner

from mammosono.engines.bundle import open_bundle
from mammosono.tools.cli import app
from mammosono.tools.data.index import COLUMNS, read_index
from mammosono.tools.training import checkpoint
from mammosono.tools.training import datasets as material

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def run(*arguments: object) -> Result:
    wide = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
    return CliRunner().invoke(app, [str(one) for one in arguments], env=wide)


def refused(*arguments: object) -> str:
    """The one line that a refusal prints."""
    result = run(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in result.output
    return line.removeprefix("error: ")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every preset is the tiny network, one epoch, with few phantoms beside the data."""
    monkeypatch.setattr("mammosono.tools.network.config.preset", lambda name: tiny.TRAIN)
    monkeypatch.setattr(material, "PHANTOMS", 2)


@pytest.fixture(scope="module")
def bundle(
    tiny_run: Path, phantom_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """A bundle that the command line exported, and what it printed."""
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    result = run(
        "export", "--run", tiny_run, "--out", out, "--data", phantom_index,
        "--source", "phantom", "--name", "tiny", "--version", "0.2", "--sensitivity", 0.8,
    )  # fmt: skip
    return out, result


# Help


def test_without_a_command_the_help_is_shown_and_names_every_command() -> None:
    assert {"phantoms", "train", "export", "evaluate"} <= set(COMMANDS)
    shown = run("--help")
    assert shown.exit_code == 0
    for name in COMMANDS:
        assert name in shown.stdout
    assert "phantoms" in run().output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_says_what_it_does_and_explains_every_option(name: str) -> None:
    shown = run(name, "--help")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert run(name, "-h").stdout == shown.stdout
    first, *_ = COMMANDS[name].help.splitlines()
    assert first in " ".join(shown.stdout.split())
    for option in COMMANDS[name].params:
        assert max(option.opts, key=len) in shown.stdout
        if option.name != "help":
            assert option.help, f"--{option.name} of {name} is not explained"


# phantoms


def test_phantoms_are_drawn_as_an_index(tmp_path: Path) -> None:
    result = run("phantoms", "--out", tmp_path / "p", "--count", 1, "--seed", 3)
    assert result.exit_code == 0
    assert str(tmp_path / "p" / "index.csv") in result.stdout
    assert len(read_index(tmp_path / "p" / "index.csv")) == 2


def test_phantoms_where_nothing_can_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused("phantoms", "--out", tmp_path / "file")
    assert line == "file: File exists"


# train


def test_training_goes_from_an_index_to_a_run_and_is_over_when_called_again(
    small: None, phantom_index: Path, tmp_path: Path
) -> None:
    command = (
        "train", "--data", phantom_index, "--source", "phantom", "--out", tmp_path / "run",
        "--epochs", 1, "--batch", 6, "--rate", 2e-3, "--seed", 9, "--size", "128x64",
        "--workers", 0,
    )  # fmt: skip
    result = run(*command)
    assert result.exit_code == 0, result.output
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert {"config.json", "last.pt", "best.pt", "curves.csv", "curves.png"} <= names
    config = checkpoint.read_config(tmp_path / "run")
    assert (config.epochs, config.batch_size, config.learning_rate, config.seed) == (1, 6, 2e-3, 9)
    assert config.network.geometry == tiny.geometry(input_size=(128, 64))
    assert "epoch 1: loss" in result.stdout
    assert "Trained. Next: mammosono-tools export" in result.stdout
    best = (tmp_path / "run" / "best.pt").read_bytes()
    again = run(*command)
    assert again.exit_code == 0
    assert "epoch 1: loss" not in again.stdout
    assert (tmp_path / "run" / "best.pt").read_bytes() == best


@pytest.mark.parametrize("size", ["448", "448x", "axb", "448x320x1", "0x0", "-64x64", "448x300"])
def test_a_size_that_is_none_is_refused(size: str, tmp_path: Path) -> None:
    line = refused("train", "--data", "none.csv", "--out", tmp_path / "run", f"--size={size}")
    assert line.startswith("--size ")
    assert not (tmp_path / "run").exists()


def test_an_index_that_is_missing_is_refused_by_its_name(tmp_path: Path) -> None:
    missing = tmp_path / "index.csv"
    line = refused("train", "--data", missing, "--out", tmp_path / "run")
    assert line == "index.csv: No such file or directory"


def test_an_index_without_the_named_sources_is_refused(phantom_index: Path, tmp_path: Path) -> None:
    sources = ("--source", "BUSI", "--source", "CBIS-DDSM")
    line = refused("train", "--data", phantom_index, "--out", tmp_path / "run", *sources)
    assert "no train image of BUSI or CBIS-DDSM" in line
    assert "--source" in line


def test_a_refusal_is_one_printable_line_whatever_the_index_holds(tmp_path: Path) -> None:
    row = ("mammogram", "nor\x1b[31m\nmal", "a.png", "", "", "case", "phantom", "train")
    with (tmp_path / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, row])
    line = refused("train", "--data", tmp_path / "index.csv", "--out", tmp_path / "run")
    assert "label 'nor?[31m?mal'" in line
    assert line.isprintable()


def test_initial_weights_must_be_there_and_of_the_same_network(
    small: None, phantom_index: Path, tmp_path: Path
) -> None:
    command = ("train", "--data", phantom_index, "--out", tmp_path / "run", "--initial")
    assert "no checkpoint best.pt" in refused(*command, tmp_path / "none")
    other = finished_run(tmp_path / "other", drawn_network(tiny.network(fpn_channels=12)))
    assert "best.pt is of another network" in refused(*command, other)


@pytest.mark.parametrize("command", ["train", "export"])
def test_without_torch_the_refusal_says_what_to_install(command: str, tmp_path: Path) -> None:
    given = ["--data", "index.csv", "--out", str(tmp_path / "out")]
    given += ["--run", str(tmp_path)] * (command == "export")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from mammosono.tools.cli import main; sys.argv[0] = 'mammosono-tools'; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, *given],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2
    assert done.stderr == "error: torch is not installed: pip install 'mammosono[train]'\n"


# export


def test_export_writes_a_bundle_and_prints_its_parity_and_operating_points(
    bundle: tuple[Path, Result],
) -> None:
    out, result = bundle
    assert result.exit_code == 0, result.output
    opened = open_bundle(out)
    assert (opened.name, opened.version) == ("tiny", "0.2")
    assert "0.8" in opened.manifest["operating_points_chosen"]["for"]
    assert result.stdout.count("torch against onnxruntime") == 7
    assert "operating points: {'MG': 0." in result.stdout
    assert str(out) in result.stdout


@pytest.mark.parametrize("runs", [(), ("--run", "a", "--ultrasound-run", "b")])
def test_export_takes_one_run_for_all_or_one_for_each(
    runs: tuple[str, ...], phantom_index: Path, tmp_path: Path
) -> None:
    line = refused("export", *runs, "--out", tmp_path / "out", "--data", phantom_index)
    assert line == "give --run, or --mammogram-run and --ultrasound-run, or one of these two"


def test_a_run_that_is_missing_is_refused(phantom_index: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = refused("export", "--run", tmp_path / "none", "--out", out, "--data", phantom_index)
    assert line == "config.json of the run is missing or damaged: train first"
    assert not out.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "no checkpoint best.pt in the run folder: train first"),
        (lambda file: file.write_bytes(b""), "best.pt is damaged"),
        (lambda file: file.write_bytes(b"weights?" * 999), "best.pt is damaged"),
        (lambda file: file.write_bytes(file.read_bytes()[:-5000]), "best.pt is damaged"),
        (lambda file: file.with_name("config.json").write_text("{"), "config.json of the run is"),
        (lambda file: file.with_name("config.json").write_text("[]"), "does not fit this version"),
    ],
    ids=["missing", "empty", "noise", "cut", "config cut", "config of another kind"],
)
def test_a_damaged_run_is_refused(
    damage: Any, said: str, tiny_run: Path, phantom_index: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(tiny_run, folder)
    damage(folder / "best.pt")
    line = refused(
        "export", "--run", folder, "--out", out, "--data", phantom_index, "--source", "phantom"
    )
    assert said in line
    assert str(tmp_path) not in line
    assert not out.exists()


def test_a_sensitivity_must_be_a_rate(tiny_run: Path, phantom_index: Path, tmp_path: Path) -> None:
    result = run(
        "export", "--run", tiny_run, "--out", tmp_path / "out", "--data", phantom_index,
        "--sensitivity", 1.5,
    )  # fmt: skip
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


# evaluate


def test_evaluate_writes_figures_a_table_and_a_row_for_every_image(
    bundle: tuple[Path, Result], phantom_index: Path, tmp_path: Path
) -> None:
    result = run("evaluate", "--bundle", bundle[0], "--data", phantom_index, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["data"]["splits"] == ["test"]
    assert figures["groups"]["MG"]["n"] == figures["groups"]["US"]["n"] == 3
    rows = list(csv.DictReader((tmp_path / "per_image.csv").read_text().splitlines()))
    test = [record.name for record in read_index(phantom_index) if record.split == "test"]
    assert [row["image"] for row in rows] == test
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    table = (tmp_path / "table.md").read_text()
    assert "tiny 0.2" in table
    assert "TPR (sensitivity)" in table
    assert "TPR (sensitivity)" in result.stdout


def test_evaluate_as_json_prints_the_figures_and_nothing_else(
    bundle: tuple[Path, Result], phantom_index: Path, tmp_path: Path
) -> None:
    result = run(
        "evaluate", "--bundle", bundle[0], "--data", phantom_index, "--out", tmp_path,
        "--split", "val", "--source", "phantom", "--json",
    )  # fmt: skip
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((tmp_path / "metrics.json").read_text())
    assert json.loads(result.stdout)["data"]["splits"] == ["val"]


def test_a_bundle_that_is_missing_or_damaged_is_refused(
    bundle: tuple[Path, Result], phantom_index: Path, tmp_path: Path
) -> None:
    def line(folder: Path) -> str:
        return refused(
            "evaluate", "--bundle", folder, "--data", phantom_index, "--out", tmp_path / "out"
        )

    assert "manifest.json: not found" in line(tmp_path)
    damaged = tmp_path / "bundle"
    shutil.copytree(bundle[0], damaged)
    with (damaged / "shared.heads.onnx").open("r+b") as file:
        file.write(b"\0\0\0\0")
    assert "shared.heads.onnx: its sha256 is not the manifest's" in line(damaged)
    assert not (tmp_path / "out").exists()


def test_a_source_without_images_is_refused(
    bundle: tuple[Path, Result], phantom_index: Path, tmp_path: Path
) -> None:
    line = refused(
        "evaluate", "--bundle", bundle[0], "--data", phantom_index, "--out", tmp_path / "out",
        "--source", "BUSI",
    )  # fmt: skip
    assert "check the index, its split and sources" in line
