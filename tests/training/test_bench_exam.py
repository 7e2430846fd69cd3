"""The bench of a whole exam, at an eighth of its size: files, agreement, what is printed."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from libjpeg import decode
from typer.testing import CliRunner

from mammosono.appliance.intake import read_image
from mammosono.appliance.output import rle
from mammosono.tools.benchmarks.exam.files import Drawn, Encoding, draw_exam, write_exam
from mammosono.tools.benchmarks.exam.lossless_jpeg import lossless_jpeg
from mammosono.tools.benchmarks.exam.measure import agreement
from mammosono.tools.benchmarks.exam.process import ReaderChild
from mammosono.tools.cli import app


@pytest.mark.parametrize("bits", [8, 12, 15])
def test_lossless_jpeg_is_decoded_by_others_to_what_it_was(bits: int) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    rng = np.random.default_rng(bits)
    grey = rng.integers(0, 2**bits, (150, 61), dtype)
    grey[:70] = 2**bits - 1
    np.testing.assert_array_equal(decode(lossless_jpeg(grey, bits)), grey)


@pytest.fixture(scope="module")
def exam() -> tuple[Drawn, ...]:
    return tuple(draw_exam(8))


@pytest.mark.parametrize("encoding", Encoding, ids=lambda e: e.title)
def test_every_encoding_holds_the_same_pixels(
    exam: tuple[Drawn, ...], encoding: Encoding, tmp_path: Path
) -> None:
    files = write_exam(tmp_path, exam, encoding)
    assert [file.modality.value for file in files] == ["MG"] * 4 + ["US"] * 8
    for file, drawn in zip(files, exam, strict=True):
        image = read_image(file.path.read_bytes(), file.modality)
        np.testing.assert_array_equal(image.pixels, drawn.pixels)
    assert (image.bits, files[0].pixel_bytes) == (8, 2 * 512 * 416)


def document(left: int = 10, label: str = "benign", score: float = 0.2) -> dict[str, Any]:
    mask = rle.encode(np.ones((20, 20), np.bool_), 30, left, (100, 80))
    finding = {"label": label, "mask": {"size": list(mask.size), "counts": mask.counts}}
    image = {"verdict": "negative", "score": score, "findings": [finding]}
    return {"verdict": "negative", "images": [image]}


def test_agreement_is_how_far_masks_reach_beyond_each_other() -> None:
    same = agreement(document(), document())
    assert (same.verdicts, same.findings, same.masks, same.scores) == (True, True, 0, 0)
    assert agreement(document(), document(left=13)).masks == 3
    assert not agreement(document(), document(label="malignant")).findings
    assert agreement(document(), document(score=0.25)).scores == pytest.approx(0.05)
    other = deepcopy(document())
    other["images"][0]["verdict"] = "positive"
    assert not agreement(document(), other).verdicts


def test_a_folder_that_is_no_checkout_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkout"):
        ReaderChild(tmp_path, None, 1)
    (tmp_path / "appliance/studies/reader_process").mkdir(parents=True)
    with pytest.raises(ValueError, match="no \\.venv"):  # it would be this version that is measured
        ReaderChild(tmp_path, None, 1)


@pytest.mark.slow
def test_the_command_reads_an_exam_in_every_encoding() -> None:
    result = CliRunner().invoke(
        app, ["bench", "--exam", "--runs", "1", "--reduction", "8", "--json"]
    )
    assert result.exit_code == 0, result.output
    plain = json.loads(result.stdout)
    assert [each["encoding"] for each in plain["encodings"]] == [e.title for e in Encoding]
    for each in plain["encodings"]:
        assert each["ours"]["seconds"] > 0
        assert each["ours"]["drawing"] == 0  # nobody looked
        assert each["ours"]["looking"] > 0
    for each in plain["encodings"][1:]:
        assert (each["whole"]["verdicts"], each["whole"]["masks"]) == (True, 0)
    assert plain["images"] == 12
    assert plain["board"]["uncompressed"]["plan"] > plain["intake"]["uncompressed"]
