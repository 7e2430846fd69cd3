"""The denoised copies: what the network would see, made once."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import prepare_layouts as layouts
import pytest
from prepare_runs import prepared

from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import Record, read_index
from mammosono.tools.data.truth import union_mask
from mammosono.tools.prepare import denoised as module
from mammosono.tools.prepare.denoised import denoised_folder, write_denoised

SIZE = (96, 64)


def drawn_index(folder: Path) -> Path:
    """A phantom of each modality with its mask, and a circle on a third."""
    for modality, size in ((Modality.MG, (320, 200)), (Modality.US, (160, 200))):
        made = phantom(modality, 3, Label.MALIGNANT, height=size[0], width=size[1])
        name = modality.value
        layouts.save(folder / f"{name}.png", made.pixels)
        layouts.save(folder / f"{name}_mask.png", made.lesions[0].mask.astype(np.uint8) * 255)
    layouts.save(folder / "circle.png", layouts.scene(5, 240, 160))
    return layouts.make_index(
        folder,
        (
            "mammogram,malignant,MG.png,MG_mask.png,,a,P,train",
            "ultrasound,malignant,US.png,US_mask.png,,b,P,val",
            'ultrasound,benign,circle.png,,"circle:80,120,30:benign",c,P,test',
        ),
    )


def run(out: Path, source: Path, size: tuple[int, int] = SIZE) -> tuple[int, int]:
    """Written, kept."""
    made = prepared(out, source, keep_split=True)
    tally = write_denoised(
        made.prepared.placed,
        out,
        size,
        seed=0,
        kept=True,
        on_progress=lambda *what: None,
        threads=1,
    )
    return tally.stored, tally.kept


def pairs(out: Path, size: tuple[int, int] = SIZE) -> list[tuple[Record, Record]]:
    first = read_index(out / "index.csv")
    return list(zip(first, read_index(denoised_folder(out, size) / "index.csv"), strict=True))


def test_the_copies_are_what_the_device_would_see_without_noise(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, drawn_index(tmp_path / "source"))
    for record, copy in pairs(out):
        pixels = cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED)
        place = frame(pixels, record.modality, SIZE)
        peak = float(2 ** max(8, int(pixels.max()).bit_length()) - 1)
        clean, _ = denoise(place.cut(pixels), record.modality, peak=peak, threads=1)
        stored = cv2.imread(str(copy.image), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == pixels.dtype
        assert np.array_equal(stored, np.rint(clean).astype(pixels.dtype))
        assert copy.denoised
        assert not record.denoised


def test_truth_and_split_go_with_the_picture(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out, drawn_index(tmp_path / "source"))
    for record, copy in pairs(out):
        assert (copy.split, copy.case, copy.label, copy.sha256) == (
            record.split, record.case, record.label, record.sha256,
        )  # fmt: skip
        pixels = cv2.imread(str(record.image), cv2.IMREAD_UNCHANGED)
        place = frame(pixels, record.modality, SIZE)
        union, small = union_mask(record, pixels.shape), union_mask(copy, place.working_size)
        if union is None:
            (mark,) = copy.lesions
            x0, y0, *_ = place.crop
            centre = ((80 - x0) * place.scale, (120 - y0) * place.scale)
            assert mark.is_circle
            assert (mark.box[0] + mark.box[2]) / 2 == pytest.approx(centre[0], abs=0.01)
            assert (mark.box[1] + mark.box[3]) / 2 == pytest.approx(centre[1], abs=0.01)
        else:
            assert small is not None
            assert np.array_equal(small, place.cut(union.astype(np.uint8)) >= 0.5)
    both = [
        json.loads((folder / "split.json").read_text())["sha256"]
        for folder in (out, denoised_folder(out, SIZE))
    ]
    assert both[0] == both[1]


def test_a_copy_is_made_once_until_source_size_or_denoiser_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, source = tmp_path / "out", drawn_index(tmp_path / "source")
    assert run(out, source) == (3, 0)
    assert run(out, source) == (0, 3)
    assert run(out, source, (128, 96)) == (3, 0)
    assert run(out, source) == (0, 3)
    layouts.save(source / "circle.png", layouts.scene(6, 240, 160))
    assert run(out, source) == (1, 2)
    mask = cv2.imread(str(source / "US_mask.png"), cv2.IMREAD_GRAYSCALE)
    layouts.save(source / "US_mask.png", np.roll(mask, 5, axis=1))
    assert run(out, source) == (1, 2)
    monkeypatch.setattr(module, "denoiser_version", lambda: "another")
    assert run(out, source) == (3, 0)


def test_the_denoisers_version_is_a_hash_of_its_code() -> None:
    version = module.denoiser_version()
    assert len(version) == 64
    assert version == module.denoiser_version()


def test_a_lesion_that_the_crop_loses_is_told(tmp_path: Path) -> None:
    film = phantom(Modality.MG, 3, Label.MALIGNANT, height=320, width=200)
    source = tmp_path / "source"
    layouts.save(source / "MG.png", film.pixels)
    x0, _, x1, _ = frame(film.pixels, Modality.MG, SIZE).crop
    column = 199 if x1 < 195 else 0
    assert x1 < 195 or x0 > 5
    lost = np.zeros((320, 200), np.uint8)
    lost[100:110, column] = 255
    layouts.save(source / "mask.png", lost)
    layouts.make_index(source, ("mammogram,malignant,MG.png,mask.png,,a,P,train",))
    made = prepared(tmp_path / "out", source)
    tally = write_denoised(
        made.prepared.placed,
        tmp_path / "out",
        SIZE,
        seed=0,
        kept=False,
        on_progress=lambda *what: None,
    )
    assert tally.counts("noted") == {"a lesion lies outside the breast that was found": 1}
    ((_, copy),) = pairs(tmp_path / "out")
    assert copy.abnormal_without_location
