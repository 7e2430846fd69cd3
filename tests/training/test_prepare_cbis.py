"""CBIS-DDSM as TCIA gives it, with all that is known to be wrong with it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import prepare_layouts as layouts
import pytest
from prepare_runs import prepared, reasons

from mammosono.appliance.values import Label
from mammosono.tools.data.index import Record, read_index
from mammosono.tools.data.truth import union_mask

SIZE = (200, 150)
MASK = layouts.disc(*SIZE, 70, 90, 15)
OTHER = layouts.disc(*SIZE, 100, 150, 9)


def film(seed: int) -> np.ndarray:
    return layouts.scene(seed, *SIZE, levels=65536)


def records(cbis: layouts.Cbis, out: Path, **options: bool) -> dict[str, Record]:
    run = prepared(out, cbis.tables(), **options)
    return {Path(record.name).stem: record for record in read_index(run.index)}


@pytest.mark.parametrize("folders", ["uid", "date", "flat"])
@pytest.mark.parametrize("swapped", [False, True], ids=["as stated", "crop and mask swapped"])
def test_films_and_masks_are_found_however_folders_are_named(
    tmp_path: Path, folders: str, swapped: bool
) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis", folders)
    cbis.film("P_00001", "LEFT_CC", film(1), [MASK], swapped=swapped)
    cbis.film("P_00001", "LEFT_MLO", film(2), [OTHER], swapped=swapped)
    found = records(cbis, tmp_path / "out")
    assert set(found) == {"P_00001_LEFT_CC", "P_00001_LEFT_MLO"}
    for name, seed, mask in (("P_00001_LEFT_CC", 1, MASK), ("P_00001_LEFT_MLO", 2, OTHER)):
        stored = cv2.imread(str(found[name].image), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16
        assert np.array_equal(stored, film(seed))
        union = union_mask(found[name], SIZE)
        assert union is not None
        assert np.array_equal(union, mask > 0)
        assert found[name].case == "P_00001"


def test_masses_and_calcifications_of_a_film_are_one_record(tmp_path: Path) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    third = layouts.disc(*SIZE, 40, 30, 8)
    pathologies = ["BENIGN_WITHOUT_CALLBACK", "MALIGNANT"]
    cbis.film("P_00001", "LEFT_CC", film(1), [MASK, OTHER], pathologies=pathologies)
    cbis.film("P_00001", "LEFT_CC", film(1), [third], kind="calc", pathologies=["BENIGN"])
    (record,) = records(cbis, tmp_path / "out").values()
    assert record.label == "malignant"
    # The calc table comes first by name.
    labels = [Label.BENIGN, Label.BENIGN, Label.MALIGNANT]
    assert [lesion.label for lesion in record.lesions] == labels
    assert len(record.masks) == 3


def test_a_crop_of_the_films_size_is_told_from_the_mask_by_its_grey_levels(
    tmp_path: Path,
) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    cbis.film("P_00001", "LEFT_CC", film(1), [MASK], crop=film(5))
    (record,) = records(cbis, tmp_path / "out").values()
    union = union_mask(record, SIZE)
    assert union is not None
    assert np.array_equal(union, MASK > 0)


def test_a_mask_of_the_films_shape_but_not_size_is_resized_and_noted(tmp_path: Path) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    half = layouts.disc(100, 75, 35, 45, 8)
    cbis.film("P_00001", "LEFT_CC", film(1), [half])
    cbis.film("P_00002", "LEFT_CC", film(2), [layouts.disc(150, 200, 35, 45, 8)])
    run = prepared(tmp_path / "out", cbis.tables())
    (record,) = read_index(run.index)
    assert record.case == "P_00001"
    union = union_mask(record, SIZE)
    assert union is not None
    assert union.sum() == pytest.approx(4 * (half > 0).sum(), rel=0.02)
    assert reasons(run, "noted") == {"a mask of another size than its film was resized": 1}
    assert reasons(run) == {"the mask is of another size than the picture": 1}


def test_a_film_of_which_a_lesion_has_no_mask_is_left_out_whole(tmp_path: Path) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    cbis.film("P_00001", "LEFT_CC", film(1), [MASK, None])
    cbis.film("P_00002", "LEFT_CC", film(2), [np.zeros_like(MASK)])
    cbis.film("P_00003", "LEFT_CC", film(3), [MASK])
    run = prepared(tmp_path / "out", cbis.tables())
    assert [record.case for record in read_index(run.index)] == ["P_00003"]
    assert {(one.what, one.reason) for _, one in run.tally.remarks} == {
        ("P_00001_LEFT_CC abnormality 2", "the mask is missing"),
        ("P_00002_LEFT_CC abnormality 1", "the mask is empty"),
    }


def test_missing_and_damaged_files_are_one_line_each(tmp_path: Path) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    for k in range(1, 5):
        cbis.film(f"P_0000{k}", "LEFT_CC", film(k), [MASK])
    cbis.film("P_00005", "LEFT_CC", film(5), [MASK], pathologies=["UNPROVEN"])
    folders = cbis.root / "CBIS-DDSM"
    for path in (folders / "Mass-Training_P_00001_LEFT_CC").rglob("*.dcm"):
        path.unlink()
    (damaged,) = (folders / "Mass-Training_P_00002_LEFT_CC").rglob("*.dcm")
    damaged.write_bytes(damaged.read_bytes()[:-500])
    mask = next((folders / "Mass-Training_P_00003_LEFT_CC_1").rglob("1-2.dcm"))
    mask.write_bytes(mask.read_bytes()[:-500])
    run = prepared(tmp_path / "out", cbis.tables())
    assert [record.case for record in read_index(run.index)] == ["P_00004"]
    assert reasons(run) == {
        "the film is missing": 1,
        "the DICOM file is damaged": 1,
        "the mask is damaged": 1,
        "a pathology other than benign or malignant": 1,
    }


def test_the_official_test_set_can_be_kept(tmp_path: Path) -> None:
    cbis = layouts.Cbis(tmp_path / "cbis")
    for k in range(1, 10):
        cbis.film(f"P_0000{k}", "LEFT_CC", film(k), [MASK])
    cbis.film("P_00020", "LEFT_CC", film(20), [MASK], split="test")
    # A patient with a mass for training and a calcification for test is in both official sets.
    cbis.film("P_00021", "LEFT_CC", film(21), [MASK])
    cbis.film("P_00021", "RIGHT_CC", film(22), [MASK], kind="calc", split="test")
    found = records(cbis, tmp_path / "out", keep_split=True)
    test = {name for name, record in found.items() if record.split == "test"}
    assert test == {"P_00020_LEFT_CC", "P_00021_LEFT_CC", "P_00021_RIGHT_CC"}
    assert sum(record.split == "val" for record in found.values()) == 1


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mass_case_description_train_set.csv").write_text("patient_id,pathology\nP_1,x\n")
    with pytest.raises(ValueError, match="has no column left_or_right_breast, image_view"):
        prepared(tmp_path / "out", tmp_path)
