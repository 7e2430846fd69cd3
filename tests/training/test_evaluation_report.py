"""The report of evaluations: one HTML file that loads nothing and says of what each figure is."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_world import both
from typer.testing import CliRunner

from mammosono.appliance.values import Modality
from mammosono.tools.cli import app
from mammosono.tools.data.index import read_index
from mammosono.tools.evaluation.files import write_evaluation
from mammosono.tools.report import page, plots
from mammosono.tools.report.caveats import GENERAL, SOURCES, UNKNOWN, caveats
from mammosono.tools.report.evaluation_folder import (
    BadEvaluation,
    ImageRow,
    StoredEvaluation,
    read_evaluation,
)
from mammosono.tools.report.page import make_report
from mammosono.tools.report.pictures import false_alarms, missed_lesions, misses, spread, tiles
from mammosono.tools.report.tables import COLUMNS

RUN = "epoch,box,accuracy,val_auc_MG\n1,0.5,0.4,\n2,0.4,0.5,0.7\n3,0.3,0.6,\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/index.csv, an evaluation of it in first/, a run in leg/, the paper's rows."""
    out = tmp_path_factory.mktemp("report")
    world = both()
    world.add("benign", 0.2, modality=Modality.MG, source="A & <b>B</b>")
    (out / "data").mkdir()
    world.write(out / "data")
    write_evaluation(world.search(), out / "first")
    (out / "leg").mkdir()
    (out / "leg" / "curves.csv").write_text(RUN)
    rows = [",".join(COLUMNS), "Refined <as printed>,12.3,,45.6,,,,,,0.789"]
    (out / "paper.csv").write_text("\n".join(rows))
    return out


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    make_report(
        [folder / "first"],
        folder / "report.html",
        index=folder / "data" / "index.csv",
        runs=[folder / "leg"],
        paper=folder / "paper.csv",
    )
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def stored(folder: Path) -> StoredEvaluation:
    return read_evaluation(folder / "first")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plot is drawn, which takes a second: for tests that look at something else."""
    for name in ("roc", "pr", "froc", "reliability"):
        monkeypatch.setattr(plots, name, lambda stored: "<svg/>")


def test_the_report_loads_nothing_and_forbids_it(html: str) -> None:
    assert "default-src 'none'" in html
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]{0,40})', html)
    assert len(sources) > 10
    assert all(source.startswith("data:image/") for source in sources)
    for way in ("<script", "<link", "<iframe", "url(", "@import", "http:", "https:"):
        assert way not in html


def test_every_figure_is_numbered_in_order_and_says_its_n(html: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert len(captions) == html.count("<figure") > 6
    for number, caption in enumerate(captions, start=1):
        assert caption.startswith(f"<b>Figure {number}.</b>")
        assert re.search(r"n = \d", caption)


def test_table_one_has_the_papers_row_as_printed_and_ours_with_n_and_interval(html: str) -> None:
    table = html[html.index("Table I") : html.index("</table>")]
    paper, *_ = re.findall(r'<tr class="paper">.*?</tr>', table)
    assert "Refined &lt;as printed&gt;" in paper
    assert re.findall(r"<td>(.*?)</td>", paper)[:5] == [
        "not given",
        "not given",
        "12.3",
        "–",
        "45.6",
    ]
    (busi,) = (row for row in re.findall(r"<tr.*?</tr>", table) if "US/BUSI" in row)
    assert "6<small>3 malignant</small>" in busi
    assert "0.667<small>0.00 to 1.00</small>" in busi
    assert "fused, simulated pairs" in table
    assert "Not comparable" in html


def test_each_hospital_has_a_row_of_its_own_with_its_role(html: str) -> None:
    part = html[html.index("<h2>Hospitals</h2>") : html.index("<h2>Lesions</h2>")]
    for title in ("By hospital", "Calibration of the image score", "Reliability"):
        assert f"<h3>{title}" in part
    rows = re.findall(r"<tr[^>]*><th>(.*?)</th><td>(.*?)</td>", part)
    assert ("US/BUSI", "trained") in rows
    assert ("MG/mini-MIAS", "outside") in rows
    assert "0.667<small>0.00 to 1.00</small>" in part


def test_names_from_the_index_are_text_and_no_markup(html: str) -> None:
    assert "<b>B</b>" not in html
    assert "A &amp; &lt;b&gt;B&lt;/b&gt;" in html


def test_the_caveats_of_every_set_are_told_and_of_an_unknown_one_that_nothing_is_known(
    html: str,
) -> None:
    assert "Findings come at most twelve an image" in html
    assert "Every film has a mass and none is normal" in html
    heads = dict(caveats(["BUSI", "mine", "BUSI"]))
    assert heads == {"Of all figures": GENERAL, "BUSI": SOURCES["BUSI"], "mine": (UNKNOWN,)}


@pytest.mark.usefixtures("undrawn")
def test_without_index_paper_and_run_the_report_says_what_is_missing(
    folder: Path, tmp_path: Path
) -> None:
    make_report([folder / "first"], tmp_path / "out" / "plain.html")
    text = (tmp_path / "out" / "plain.html").read_text("utf-8")
    assert "no index was given" in text
    assert "printed rows were not given" in text
    assert "image/jpeg" not in text
    assert "<h2>Training</h2>" not in text


@pytest.mark.usefixtures("undrawn")
def test_several_evaluations_stand_in_one_table_by_name(folder: Path, tmp_path: Path) -> None:
    second = shutil.copytree(folder / "first", tmp_path / "second")
    make_report([folder / "first", second], tmp_path / "both.html")
    text = (tmp_path / "both.html").read_text("utf-8")
    table = text[text.index("Table I") : text.index("</table>")]
    assert "first: US/BUSI" in table
    assert "second: US/BUSI" in table
    assert text.count("<h2>Curves of ") == 2


def test_the_legends_name_measure_interval_and_n(
    stored: StoredEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plots.STYLE, "svg.fonttype", "none")
    drawn = plots.roc(stored) + plots.pr(stored) + plots.froc(stored) + plots.reliability(stored)
    assert drawn.count("US/BUSI") == 4
    assert "AUC 0.667 (" in drawn
    assert drawn.count("n = 6 images, 3 malignant") == 2
    assert "n = 6 lesions" in drawn
    row = {"epoch": "1", "accuracy": "0.5", "box": "0.3", "images_per_second": "9.5"}
    accuracy, loss = plots.training([row])
    assert "epoch (n = 1)" in accuracy
    assert ">box<" in loss
    assert "per second" not in accuracy + loss


def test_the_same_evaluation_gives_the_same_curves(stored: StoredEvaluation) -> None:
    assert plots.froc(stored) == plots.froc(stored)


def test_the_truth_is_drawn_white_where_the_lesion_is_and_the_findings_elsewhere(
    folder: Path, stored: StoredEvaluation
) -> None:
    records = {r.name: r for r in read_index(folder / "data" / "index.csv")}
    image = next(i for i in stored.images if i.name == "3.png")  # a benign lesion, a false alarm
    plain, truth, found = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).astype(int)
        for data in tiles(records["3.png"], image)
    )
    assert plain.shape == truth.shape == found.shape == (300, 300, 3)
    # Lesion at 20..40 of 256, finding at 200..209; 300 / 256 a tile.
    where_truth = np.argwhere(np.abs(truth - plain).max(axis=2) > 90)
    assert where_truth.min() >= 18
    assert where_truth.max() <= 52
    assert truth[23:47, 23:47].min(axis=2).max() > 200
    assert np.abs(found - plain)[:150].max() < 60
    assert np.abs(found - plain)[225:250, 225:260].max() > 90


def test_the_images_shown_are_those_of_the_stated_ranks(stored: StoredEvaluation) -> None:
    us = [i for i in stored.images if i.modality == "US"]
    assert [i.name for i in false_alarms(us, 3).images] == ["3.png"]
    assert [i.name for i in misses(us, 3).images] == ["2.png"]
    assert {i.name for i in missed_lesions(us, 3).images} == {"2.png", "3.png"}
    shown = spread(us, 3)
    assert (shown.of, [i.dice for i in shown.images]) == (5, [0, 0.5, 1])
    assert [i.dice for i in spread(us, 9).images] == [0, 0, 0.5, 1, 1]


def test_of_the_worst_cases_each_patient_is_shown_once_and_unread_images_come_first(
    stored: StoredEvaluation,
) -> None:
    miss = next(i for i in stored.images if i.name == "2.png")
    images: list[ImageRow] = [
        replace(miss, name=f"{k}", case=f"{k // 2}", score=score)
        for k, score in enumerate((0.3, 0.1, float("nan"), 0.2))
    ]
    chosen = misses(images, 3)
    assert chosen.of == 4
    assert [i.name for i in chosen.images] == ["2", "1"]


def test_what_no_evaluation_wrote_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadEvaluation, match="run mammosono-tools evaluate"):
        read_evaluation(tmp_path)
    old = shutil.copytree(folder / "first", tmp_path / "old")
    metrics = json.loads((old / "metrics.json").read_text())
    (old / "metrics.json").write_text(json.dumps({**metrics, "schema": 1}))
    with pytest.raises(BadEvaluation, match="old is no evaluation"):
        read_evaluation(old)
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--out", str(tmp_path / "x.html")])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "paper.csv").write_text("row,accuracy\nx,1\n"), "header must read row,acc"),
        (lambda f: (f / "leg" / "curves.csv").write_text("epoch\n"), "no epoch yet"),
        (lambda f: _drop_row(f / "data" / "index.csv"), "the index lacks 1 of the images"),
    ],
)
def test_what_does_not_fit_is_refused(
    spoil: object, complaint: str, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy)  # type: ignore[operator]
    with pytest.raises(ValueError, match=complaint):
        make_report(
            [copy / "first"],
            copy / "report.html",
            index=copy / "data" / "index.csv",
            runs=[copy / "leg"],
            paper=copy / "paper.csv",
        )


def _drop_row(index: Path) -> None:
    index.write_text("\n".join(index.read_text().split("\n")[:-1]))


@pytest.mark.usefixtures("undrawn")
def test_an_image_that_cannot_be_read_is_named_in_the_place_of_its_pictures(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "data" / "3.png").write_bytes(b"no picture")
    make_report([copy / "first"], copy / "report.html", index=copy / "data" / "index.csv")
    text = (copy / "report.html").read_text("utf-8")
    assert re.search(r"<em>[^<]+</em><span>3.png: benign", text)


@pytest.mark.usefixtures("undrawn")
def test_a_pdf_without_a_browser_is_refused_and_the_html_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.shutil, "which", lambda name: None)
    out = tmp_path / "r.html"
    done = CliRunner().invoke(app, ["report", str(folder / "first"), "--out", str(out), "--pdf"])
    assert done.exit_code == 2
    assert "no Chromium for --pdf" in done.output
    assert out.exists()


@pytest.mark.skipif(not any(map(shutil.which, page.BROWSERS)), reason="no Chromium is installed")
def test_the_pdf_is_printed_by_the_browser(folder: Path, html: str) -> None:
    out = folder / "report.pdf"
    page.print_pdf(folder / "report.html", out)
    assert out.read_bytes().startswith(b"%PDF")
    assert out.stat().st_size > 20_000


def test_the_rows_of_the_folder_come_back_as_images(folder: Path, stored: StoredEvaluation) -> None:
    with (folder / "first" / "per_image.csv").open(newline="") as file:
        assert [i.name for i in stored.images] == [row["image"] for row in csv.DictReader(file)]
    second = stored.images[1]
    assert (len(second.lesions), len(second.findings), second.malignant) == (2, 2, True)
