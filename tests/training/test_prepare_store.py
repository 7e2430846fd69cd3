"""The output folder: what a second run keeps, and what it makes anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import prepare_layouts as layouts
import pytest
from prepare_runs import Run, prepared
from pycocotools.coco import COCO

from mammosono.tools.data.index import read_index, split_hash
from mammosono.tools.data.truth import union_mask
from mammosono.tools.prepare.store import JOURNAL

BUSI = Path("Dataset_BUSI_with_GT")


def counts(run: Run) -> tuple[int, int]:
    return run.tally.stored, run.tally.kept


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return layouts.make_busi(tmp_path / "busi")


def test_a_second_run_decodes_nothing_and_changes_nothing(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    assert counts(prepared(out, source)) == (9, 0)
    before = contents(out)
    assert counts(prepared(out, source)) == (0, 9)
    assert contents(out) == before


@pytest.mark.parametrize("what", ["image", "mask", "source", "source's mask"])
def test_only_what_was_cut_or_changed_is_made_again(
    tmp_path: Path, source: Path, what: str
) -> None:
    out = tmp_path / "out"
    prepared(out, source)
    before = contents(out)
    if what == "image":
        path = out / "images/busi/benign_0001.png"
        path.write_bytes(path.read_bytes()[:-7])
    elif what == "mask":
        (out / "masks/busi/benign_0002_mask_1.png").unlink()
    elif what == "source":
        layouts.save(source / BUSI / "benign/benign (3).png", layouts.scene(77))
    else:
        mask = layouts.disc(96, 128, 60, 60, 15)
        layouts.save(source / BUSI / "benign/benign (3)_mask.png", mask)
    assert counts(prepared(out, source)) == (1, 8)
    if not what.startswith("source"):
        assert {k: v for k, v in contents(out).items() if k != JOURNAL} == {
            k: v for k, v in before.items() if k != JOURNAL
        }


@pytest.mark.parametrize("damage", ["torn", "nonsense", "empty", "binary"])
def test_a_damaged_journal_costs_work_and_not_truth(
    tmp_path: Path, source: Path, damage: str
) -> None:
    out = tmp_path / "out"
    prepared(out, source)
    before = contents(out)
    journal = out / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = {
        "torn": b"".join(lines)[:-40],
        "nonsense": b'{"name": 5}\n[]\nnull\n' + b"".join(lines[1:]),
        "empty": b"",
        "binary": b"\xff\xfe\0" + b"".join(lines[1:]),
    }
    journal.write_bytes(damaged[damage])
    stored, kept = counts(prepared(out, source))
    assert stored + kept == 9
    assert stored == {"torn": 1, "nonsense": 1, "empty": 9, "binary": 2}[damage]
    after = contents(out)
    assert sorted(after.pop(JOURNAL).splitlines()) == sorted(before.pop(JOURNAL).splitlines())
    assert after == before


def test_a_run_killed_at_any_picture_is_taken_up_and_ends_the_same(
    tmp_path: Path, source: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    prepared(whole, source)
    # The fourth mask to be written ends the process, between a picture's files.
    script = (
        "import os, sys, mammosono.tools.prepare.store as s\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "from prepare_runs import prepared\n"
        "write, count = s.write_whole, [0]\n"
        "def killed(path, data):\n"
        "    count[0] += path.name.endswith('_mask.png')\n"
        "    if count[0] == 4: os.kill(os.getpid(), 9)\n"
        "    write(path, data)\n"
        "s.write_whole = killed\n"
        "prepared(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    here = str(Path(__file__).parents[1])
    arguments = [sys.executable, "-c", script, str(out), str(source), here]
    died = subprocess.run(arguments, cwd=Path(here).parent, env=os.environ, check=False)
    assert died.returncode == -signal.SIGKILL
    assert not (out / "index.csv").exists()
    assert counts(prepared(out, source)) == (6, 3)
    assert contents(out) == contents(whole)


def test_no_part_of_a_file_is_left_in_the_folder(tmp_path: Path, source: Path) -> None:
    prepared(tmp_path / "out", source)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_source_that_lost_a_picture_loses_its_row(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    prepared(out, source)
    (source / BUSI / "benign/benign (1).png").unlink()
    names = [record.name for record in read_index(prepared(out, source).index)]
    assert len(names) == 8
    assert "images/busi/benign_0001.png" not in names


# What stands in the folder


def test_the_manifest_of_the_split_carries_the_hash_that_bundles_and_reports_carry(
    tmp_path: Path, source: Path
) -> None:
    run = prepared(tmp_path / "out", source)
    records = read_index(run.index)
    manifest = json.loads((tmp_path / "out" / "split.json").read_text())
    assert manifest["sha256"] == split_hash(records)
    assert manifest["sha256_of_source"] == {"BUSI": split_hash(records)}
    assert manifest["images"] == sorted([r.sha256, r.split] for r in records)
    elsewhere = prepared(tmp_path / "elsewhere", source)
    assert elsewhere.prepared.split == run.prepared.split
    assert (
        prepared(tmp_path / "seeded", source, seed=9).prepared.split["sha256"]
        != (manifest["sha256"])
    )


def test_train_and_val_share_a_via_file_and_test_has_its_own(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out"
    splits = {r.name: r.split for r in read_index(prepared(out, source).index)}
    both = json.loads((out / "via_trainval.json").read_text())
    test = json.loads((out / "via_test.json").read_text())
    stated = {
        entry["filename"]: entry["file_attributes"]["split"]
        for entry in (*both.values(), *test.values())
    }
    assert stated == splits
    assert {entry["file_attributes"]["split"] for entry in test.values()} == {"test"}
    for key, entry in (*both.items(), *test.items()):
        assert entry["size"] == (out / entry["filename"]).stat().st_size
        assert key == f"{entry['filename']}{entry['size']}"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_files_are_read_by_pycocotools_and_hold_the_masks_exactly(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    records = {r.name: r for r in read_index(prepared(out, source).index)}
    seen = 0
    for split in ("train", "val", "test"):
        coco = COCO(str(out / f"coco_{split}.json"))
        for image in coco.loadImgs(coco.getImgIds()):
            record = records[image["file_name"]]
            annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
            assert record.split == split
            assert len(annotations) == len(record.masks)
            seen += 1
            union = union_mask(record, (image["height"], image["width"]))
            for annotation, lesion in zip(annotations, record.lesions, strict=True):
                mask = coco.annToMask(annotation) > 0
                assert annotation["area"] == mask.sum()
                x, y, w, h = annotation["bbox"]
                assert (x, y, x + w, y + h) == lesion.box
                assert coco.cats[annotation["category_id"]]["name"] == lesion.label.value
                assert union is not None
                assert (union | mask).sum() == union.sum()
    assert seen == len(records)
    capsys.readouterr()


def test_a_lesion_of_unknown_outline_has_a_box_and_no_segmentation(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared(out, layouts.make_mias(tmp_path / "mias"))
    annotations = [
        one
        for split in ("train", "val", "test")
        for one in json.loads((out / f"coco_{split}.json").read_text())["annotations"]
    ]
    assert len(annotations) == 6
    assert all(one["segmentation"] == [] for one in annotations)
    assert [34, 67, 38, 38] in [one["bbox"] for one in annotations]
