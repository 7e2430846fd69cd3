"""`mammosono-tools prepare` at a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import prepare_layouts as layouts
import pytest
from click.testing import Result
from typer.testing import CliRunner

from mammosono.tools.cli import app
from mammosono.tools.data.index import BadIndex, read_index, split_hash

HEADER = "modality,label,image,mask,annotation,patient_or_case,source,split"


def run(*arguments: object) -> Result:
    wide = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)], env=wide)


def test_it_says_what_was_read_skipped_and_why_and_where_the_index_is(tmp_path: Path) -> None:
    source, out = layouts.make_busi(tmp_path / "busi"), tmp_path / "out"
    (source / "Dataset_BUSI_with_GT/benign/benign (1)_mask.png").unlink()
    result = run(source, "--out", out)
    assert result.exit_code == 0, result.output
    assert "skipped: benign (1).png: the mask is missing" in result.stdout
    assert "Read: 8 (8 new, 0 from before)." in result.stdout
    assert "Skipped: 1: the mask is missing" in result.stdout
    assert split_hash(read_index(out / "index.csv")) in result.stdout
    assert str(out / "index.csv") in result.stdout
    assert "Read: 8 (0 new, 8 from before)." in run(source, "--out", out).stdout


def test_json_is_all_that_json_prints(tmp_path: Path) -> None:
    sources = (layouts.make_busi(tmp_path / "busi"), layouts.make_mias(tmp_path / "mias"))
    result = run(*sources, "--out", tmp_path / "out", "--json")
    summary = json.loads(result.stdout)
    assert (summary["images"], summary["written"], summary["kept"]) == (16, 16, 0)
    assert summary["skipped"] == {}
    assert len(summary["noted"]) == 1
    counted = sum(n for strata in summary["split"]["counts"].values() for n in strata.values())
    assert counted == 16


def test_denoised_copies_are_made_on_demand(tmp_path: Path) -> None:
    source, out = layouts.make_bus_bra(tmp_path / "bus"), tmp_path / "out"
    result = run(source, "--out", out, "--denoise", "--size", "64x96")
    assert result.exit_code == 0, result.output
    assert "Denoised: 3 (0 from before)." in result.stdout
    assert all(record.denoised for record in read_index(out / "denoised-64x96" / "index.csv"))


def test_many_remarks_of_a_kind_are_cut_short_at_the_terminal_and_not_in_the_file(
    tmp_path: Path,
) -> None:
    source, out = layouts.make_busi(tmp_path / "busi", per_label=24), tmp_path / "out"
    for mask in source.rglob("benign (*)_mask.png"):
        mask.unlink()
    result = run(source, "--out", out)
    assert result.stdout.count("\nskipped: ") + result.stdout.startswith("skipped: ") == 21
    assert "more of them: the mask is missing (all in skipped.csv)" in result.stdout
    # benign (2) has a second mask, which is its only one now.
    assert (out / "skipped.csv").read_text().count("the mask is missing") == 23


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["SOURCE"], "no known layout"),
        (["SOURCE/nothing"], "nothing is not there"),
        (["SOURCE", "--format", "bus-bra"], "bus_data.csv is missing"),
        (["SOURCE", "--denoise"], "--denoise and --size go together"),
        (["SOURCE", "--size", "64x64"], "--denoise and --size go together"),
        (["SOURCE", "--denoise", "--size", "64"], "--size is HEIGHTxWIDTH"),
        (["SOURCE", "--denoise", "--size", "8x64"], "at least 64"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    given = [one.replace("SOURCE", str(tmp_path)) for one in arguments]
    result = run(*given, "--out", tmp_path / "out")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert complaint in line


def test_a_source_is_never_overwritten(tmp_path: Path) -> None:
    source = layouts.make_busi(tmp_path / "busi")
    run(source, "--out", tmp_path / "out")
    before = (tmp_path / "out" / "index.csv").read_bytes()
    for own in ("out", "out/index.csv", "out/via_test.json"):
        result = run(tmp_path / own, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert "the output folder holds the source" in result.stderr
    assert (tmp_path / "out" / "index.csv").read_bytes() == before


# The columns that stand behind the index's own


def write(folder: Path, more: str, row: str) -> Path:
    path = folder / "index.csv"
    path.write_text(f"{HEADER}{more}\nmammogram,benign,a.png,,,c,s,test{row}\n")
    return path


def test_an_index_may_say_licence_hash_and_denoising_in_any_order(tmp_path: Path) -> None:
    digest = "ab" * 32
    (record,) = read_index(write(tmp_path, ",denoised,sha256,licence", f",yes,{digest},CC BY 4.0"))
    assert (record.denoised, record.sha256, record.licence) == (True, digest, "CC BY 4.0")
    (plain,) = read_index(write(tmp_path, "", ""))
    assert (plain.denoised, plain.sha256, plain.licence) == (False, "", "")


def test_the_split_hash_goes_by_content_where_the_index_knows_it(tmp_path: Path) -> None:
    digest = "ab" * 32
    named = split_hash(read_index(write(tmp_path, "", "")))
    by_content = split_hash(read_index(write(tmp_path, ",sha256", f",{digest}")))
    path = write(tmp_path, ",sha256", f",{digest}")
    path.write_text(path.read_text().replace("a.png", "renamed.png"))
    assert split_hash(read_index(path)) == by_content != named


@pytest.mark.parametrize(
    ("more", "row", "complaint"),
    [
        (",sha256", ",xyz", "is not 64 hexadecimal digits"),
        (",denoised", ",no", "denoised 'no'"),
        (",colour", ",red", "behind split may stand licence, sha256, denoised"),
        (",licence,licence", ",a,b", "behind split may stand"),
        (",licence", "", "9 fields"),
        (",licence", ",a,b", "9 fields"),
    ],
)
def test_a_bad_column_is_refused(tmp_path: Path, more: str, row: str, complaint: str) -> None:
    with pytest.raises(BadIndex, match=complaint):
        read_index(write(tmp_path, more, row))
