"""Operating points of a bundle: chosen on validation images, entered into its manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_bundle import drawn_bundle
from typer.testing import CliRunner

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import (
    DenoiseRecord,
    ImageReading,
    Label,
    Modality,
    ModelInfo,
    Reading,
    SourceImage,
    Verdict,
)
from mammosono.engines.bundle import open_bundle
from mammosono.tools.cli import app
from mammosono.tools.data.index import COLUMNS, read_index
from mammosono.tools.evaluation.operating_points import enter, read_scores

NAMES = {Modality.MG: "mammogram", Modality.US: "ultrasound"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three malignant and three normal phantoms of either modality, all val."""
    folder = tmp_path_factory.mktemp("data")
    rows = [",".join(COLUMNS)]
    for modality, name in NAMES.items():
        for i in range(6):
            label = Label.MALIGNANT if i % 2 else None
            drawn = phantom(modality, i, label, height=128, width=96)
            file = f"{name}_{i}.png"
            cv2.imwrite(str(folder / file), drawn.pixels)
            rows.append(f"{name},{'malignant' if label else 'normal'},{file},,,{file},phantom,val")
    (folder / "index.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "index.csv"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def choose(bundle: Path, index: Path, *options: str) -> tuple[int, str]:
    arguments = ["--bundle", str(bundle), "--data", str(index), "--source", "phantom", *options]
    done = CliRunner().invoke(app, ["operating-points", *arguments])
    return done.exit_code, done.output


def test_the_points_are_printed_and_written_and_the_bundle_changes_only_when_asked(
    bundle: Path, index: Path, tmp_path: Path
) -> None:
    before, out = open_bundle(bundle), tmp_path / "points.json"
    options = ("--target-sensitivity", "0.9", "--least", "0", "--out", str(out))
    code, shown = choose(bundle, index, *options)
    assert code == 0, shown
    assert "fused sensitivity of at least 0.9" in shown
    plain = json.loads(out.read_text())
    reached = plain["operating_points_chosen"]["reached"]
    assert (reached["MG"]["n"], reached["US"]["malignant"]) == (6, 3)
    assert reached["fused"]["tpr"] >= 0.9
    assert open_bundle(bundle).sha256 == before.sha256
    code, shown = choose(bundle, index, *options, "--write")
    assert code == 0, shown
    after = open_bundle(bundle)
    assert after.sha256 != before.sha256
    assert after.sha256[:12] in shown
    assert after.manifest["operating_points"] == plain["operating_points"]
    assert {name: stage.sha256 for name, stage in after.stages.items()} == {
        name: stage.sha256 for name, stage in before.stages.items()
    }


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "one of them"),
        (("--target-sensitivity", "0.9", "--target-specificity", "0.9"), "one of them"),
        (("--target-sensitivity", "0.9", "--split", "test"), "test images choose nothing"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_an_image_is_read(
    options: tuple[str, ...], complaint: str, bundle: Path, index: Path
) -> None:
    code, shown = choose(bundle, index, *options)
    assert code == 2
    assert complaint in shown
    assert "reading" not in shown


def test_metrics_that_were_measured_at_other_points_say_at_which(
    bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(bundle, tmp_path / "tiny")
    manifest = dict(open_bundle(bundle).manifest)
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "training": {"metrics": {}}}))
    first = dict(manifest["operating_points"])
    for point in (0.4, 0.6):
        sha256 = enter(bundle, {"operating_points": {"MG": point, "US": point}})
    after = open_bundle(bundle)
    assert after.sha256 == sha256
    assert after.manifest["operating_points"] == {"MG": 0.6, "US": 0.6}
    assert after.manifest["training"]["metrics_operating_points"] == first


class Says:
    """A reader with an answer for each image in turn."""

    def __init__(self, answers: Sequence[tuple[Verdict, float | None]]) -> None:
        self._answers = iter(answers)

    def read(self, images: Sequence[SourceImage]) -> Reading:
        (image,) = images
        verdict, score = next(self._answers)
        reading = ImageReading(
            0, image.modality, image.width, image.height, image.sha256, verdict, score, (),
            DenoiseRecord("none"),
        )  # fmt: skip
        return Reading(
            verdict, (), True, (reading,), (), ModelInfo("", "", "", "", {}), {"total": 1.0}
        )


def test_what_the_device_would_never_clear_is_wrong_at_every_threshold(index: Path) -> None:
    records = [r for r in read_index(index) if r.modality is Modality.MG]
    unclear, clear = Verdict.INDETERMINATE, Verdict.NEGATIVE
    # Normal and malignant in turn.
    says = [(clear, 0.1), (clear, 0.2), (unclear, 0.3), (unclear, 0.4), (unclear, None)]
    says.append((unclear, None))
    scores, truth = read_scores(Says(says), records, lambda done, total: None)
    assert truth[Modality.MG].tolist() == [False, True] * 3
    np.testing.assert_array_equal(scores[Modality.MG], [0.1, 0.2, 1, 0.4, 1, 0])
