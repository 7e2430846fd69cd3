"""The kind network: its pictures, its training, what is chosen, and its stage in a bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the network is trained with torch")

from tiny_bundle import drawn_bundle, drawn_networks  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from mammosono.appliance.intake import read_image  # noqa: E402
from mammosono.appliance.output.render import grey_png  # noqa: E402
from mammosono.appliance.phantoms.demo import demo_phantom  # noqa: E402
from mammosono.appliance.pipeline.kind import CLASSES, SIZE, look  # noqa: E402
from mammosono.appliance.pipeline.reader import Reader  # noqa: E402
from mammosono.appliance.values import Modality  # noqa: E402
from mammosono.engines.bundle import open_bundle  # noqa: E402
from mammosono.engines.trt.parity import read_tensors  # noqa: E402
from mammosono.tools.benchmarks.predict.prediction import bundle_networks  # noqa: E402
from mammosono.tools.cli import app  # noqa: E402
from mammosono.tools.export import check, rtx  # noqa: E402
from mammosono.tools.export.kind import add_kind  # noqa: E402
from mammosono.tools.kind.augment import MG, OTHER, US, _cut_out, augment  # noqa: E402
from mammosono.tools.kind.drawn import DRAWN  # noqa: E402
from mammosono.tools.kind.family import GROUPS, windowed  # noqa: E402
from mammosono.tools.kind.found import SOURCES  # noqa: E402
from mammosono.tools.kind.found import pictures as found_pictures  # noqa: E402
from mammosono.tools.kind.judge import (  # noqa: E402
    Row,
    choose_least,
    held_out,
    passed,
    settle,
    wilson,
)
from mammosono.tools.kind.material import Pictured, phantoms, spoilt  # noqa: E402
from mammosono.tools.kind.network import KindConfig, KindNetwork  # noqa: E402
from mammosono.tools.kind.spoil import DISTORTED, SPOILT, WAYS, spoil  # noqa: E402
from mammosono.tools.kind.training import (  # noqa: E402
    Draws,
    KindTrainer,
    KindTraining,
    best_kind,
    chosen_folds,
    folds,
    validation,
)
from mammosono.tools.training.checkpoint import BadRun  # noqa: E402

TINY = KindTraining(KindConfig((4, 8), (1, 1)), epochs=1, steps=2, batch=4)
RAMP = np.tile(np.arange(200, dtype=np.uint8), (150, 1))


def pictured() -> list[Pictured]:
    """Two hospitals of each modality, phantoms, and two families."""
    found = list(phantoms(range(10)))
    for one in list(found):
        found += [replace(one, name=f"{CLASSES[one.kind]}-{k}") for k in "ab"]
    for group, name in (("scenes", "cats"), ("text and graphics", "pages")):
        for k in range(5):
            split = "val" if k == 4 else "train"
            found.append(Pictured(RAMP + np.uint8(k), OTHER, name, group, split))
    return found


# Pictures


@pytest.mark.parametrize("family", DRAWN, ids=lambda family: family.name)
def test_a_drawing_is_the_same_for_the_same_seed(family):
    first, again, other = (DRAWN[family](np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert min(first.shape) >= 60
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_every_family_is_of_a_known_group_and_says_its_licence():
    families = [*DRAWN, *(source.family for source in SOURCES)]
    assert {family.group for family in families} <= set(GROUPS)
    assert all(family.licence for family in families)
    assert len({family.name for family in families}) == len(families)


def test_a_package_that_is_not_there_gives_no_pictures(tmp_path: Path):
    debian = [source for source in SOURCES if source.debian]
    assert debian
    assert all(found_pictures(source, tmp_path) == [] for source in debian)


def test_pictures_of_a_package_are_grey_and_small():
    source = next(source for source in SOURCES if source.family.name == "scikit-image scenes")
    found = found_pictures(source, Path("/"))
    assert len(found) > 5
    assert all(grey.ndim == 2 and grey.dtype == np.uint8 for grey in found)
    assert max(max(grey.shape) for grey in found) <= 1.2 * 3 * max(SIZE) + 1


def test_a_colour_picture_is_windowed_by_its_grey():
    colour = np.repeat(RAMP[..., None].astype(np.uint16) * 100, 3, axis=2)
    assert np.ptp(windowed(colour).astype(int)) == 255


@pytest.mark.parametrize("kind", [MG, US, OTHER])
@pytest.mark.parametrize("seed", range(40))
def test_augmentation_gives_a_picture_and_leaves_its_own_alone(kind, seed):
    before = RAMP.copy()
    grey = augment(RAMP, kind, np.random.default_rng(seed))
    np.testing.assert_array_equal(RAMP, before)
    assert (grey.ndim, grey.dtype) == (2, np.uint8)
    assert look(grey).shape == (1, 2, *SIZE)


def test_an_ultrasound_is_never_turned_upside_down():
    depth = np.repeat(np.arange(240, 40, -1, dtype=np.uint8)[:, None], 150, axis=1)
    levels = [look(augment(depth, US, np.random.default_rng(seed)))[0, 0] for seed in range(30)]
    upright = [level[10:40, 32:64].mean() >= level[60:86, 32:64].mean() for level in levels]
    assert sum(upright) >= 25  # depth gain alone turns few over


def test_a_film_cut_out_loses_border_and_label_and_ends_near_the_skin():
    film = np.zeros((300, 200), np.uint8)
    film[:4] = film[-4:] = 250
    film[20:40, 150:180] = 240  # a label
    film[80:220, :90] = 120
    alone = _cut_out(film, np.random.default_rng(0))
    assert alone.max() == 120
    assert (alone > 0).mean() > 0.6


def test_a_picture_without_anything_bright_is_not_cut():
    dark = np.zeros((50, 40), np.uint8)
    np.testing.assert_array_equal(_cut_out(dark, np.random.default_rng(0)), dark)


@pytest.mark.parametrize("way", [*SPOILT, *DISTORTED])
def test_a_spoilt_image_is_another_picture(way):
    scan = demo_phantom(Modality.US, 2).pixels
    other = spoil(scan, way, np.random.default_rng(0))
    assert other.dtype == np.uint8
    assert np.abs(look(other) - look(scan)).mean() > 0.05


def test_as_a_detector_gives_it_air_is_brighter_than_tissue():
    film = np.where(RAMP > 100, 150, 0).astype(np.uint8)
    raw = spoil(film, "for processing", np.random.default_rng(0))
    assert raw[:, :90].min() > raw[:, 110:].max()


@pytest.mark.parametrize("seed", range(10))
def test_tiles_keep_the_grey_levels_of_the_picture(seed):
    grey = np.arange(150 * 150, dtype=np.uint32).reshape(150, 150).astype(np.uint8)
    laid = spoil(grey, "tiles", np.random.default_rng(seed))
    whole = grey[: laid.shape[0], : laid.shape[1]]
    assert (laid != whole).any()
    np.testing.assert_array_equal(np.sort(laid, axis=None), np.sort(whole, axis=None))


def test_the_corners_beside_a_fan_are_black():
    fan = spoil(np.full((200, 300), 200, np.uint8), "fan", np.random.default_rng(0))
    corners = [fan[y, x] for y in (0, -1) for x in (0, -1)]
    assert corners == [0] * 4
    assert fan[fan.shape[0] // 2, fan.shape[1] // 2] == 200


def test_no_mammogram_is_made_a_fan():
    fans = [one for one in spoilt(pictured()) if one.name == "fan"]
    scans = [one for one in pictured() if one.kind == US]
    assert len(fans) == -(-len(scans) // 4)


# Draws


def test_what_is_left_out_is_never_drawn_nor_validated():
    marked = [
        replace(one, grey=np.zeros_like(one.grey))
        if one.name in ("MG-a", "cats")
        else replace(one, grey=np.full_like(one.grey, 255))
        for one in pictured()
    ]
    kept = validation(marked, ("MG-a", "scenes"))
    assert "MG/MG-a" not in kept
    assert "other/cats" not in kept
    assert "MG/MG-b" in kept
    with pytest.raises(ValueError, match="class other"):
        Draws([one for one in marked if one.kind != OTHER], ())


def test_draws_are_of_every_class_and_the_same_for_a_seed():
    draws = Draws(pictured(), ())
    first = [draws.example(np.random.default_rng(k)) for k in range(40)]
    assert {kind for _, kind in first} == {MG, US, OTHER}
    again, _ = draws.example(np.random.default_rng(7))
    np.testing.assert_array_equal(first[7][0], again)


def test_every_group_is_left_out_once_and_every_hospital_that_has_a_like():
    out = [name for fold in folds(pictured()) for name in fold]
    assert set(GROUPS) <= set(out)
    assert {"MG-a", "MG-b", "US-a", "US-b"} <= set(out)
    assert "phantom" not in out


def test_a_fold_is_chosen_by_what_it_leaves_out():
    every = dict(enumerate(folds(pictured()), start=1))
    assert chosen_folds(pictured(), ()) == every
    assert chosen_folds(pictured(), ["scenes"]) == {1: every[1]}
    assert chosen_folds(pictured(), ["MG-b", "scenes"]) == {1: every[1], 2: every[2]}
    with pytest.raises(ValueError, match="no fold leaves out cats: there are MG-a"):
        chosen_folds(pictured(), ["cats"])


def test_spoilt_images_keep_their_split_and_their_group():
    found = spoilt(pictured())
    assert {(one.group, one.name) for one in found} == {
        (group, way) for group, ways in WAYS.items() for way in ways
    }
    assert {one.split for one in found} == {"train", "val"}


# Training


def trained(folder: Path, pictures: Sequence[Pictured], **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    trainer = KindTrainer(folder, replace(TINY, **changes), pictures, {"images": 3})
    assert trainer.fit(lambda step: None, lambda epoch, figures: None)
    return folder


def test_a_run_is_finished_settled_and_read_back(tmp_path: Path):
    run = trained(tmp_path / "run", pictured())
    assert json.loads((run / "config.json").read_text())["steps"] == 2
    assert "val_right" in (run / "curves.csv").read_text()
    least = settle(run, pictured())
    network, provenance = best_kind(run)
    assert provenance == {"images": 3, "least": least}
    answer = network(torch.zeros(2, 2, *SIZE))
    assert answer.sum(1).tolist() == pytest.approx([1, 1])


def test_a_stopped_run_ends_as_one_that_was_not_stopped(tmp_path: Path):
    whole = trained(tmp_path / "whole", pictured(), epochs=2)
    trained(tmp_path / "parts", pictured(), epochs=2, steps=2)
    for name in ("network", "average"):
        one, other = (
            torch.load(run / "last.pt", weights_only=True)[name]
            for run in (whole, tmp_path / "parts")
        )
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_of_another_network_is_refused(tmp_path: Path):
    run = trained(tmp_path / "run", pictured())
    with pytest.raises(BadRun, match="another configuration"):
        KindTrainer(run, replace(TINY, network=KindConfig((6,), (1,))), pictured(), {})


def test_a_fold_is_judged_on_what_it_left_out_alone(tmp_path: Path):
    run = trained(tmp_path / "run", pictured(), without=("scenes", "US-b"))
    settle(run, pictured())
    assert {row.name for row in held_out(run, pictured())} == {"cats", "US-b"}


def test_levels_that_do_not_agree_are_refused():
    with pytest.raises(ValueError, match="same levels"):
        KindConfig((4, 8), (1,))


# Judgement


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share(counts):
    right, n = counts
    low, high = wilson(right, n)
    assert 0 <= low <= right / n + 1e-9
    assert right / n - 1e-9 <= high <= 1
    assert Row("g", "n", right, n).interval == (low, high)


def test_the_interval_is_the_published_one():
    # E. B. Wilson's formula: 81 of 263 at 95 % (R. G. Newcombe, Statistics in Medicine 17, 1998).
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


ANSWERS = np.float32([[0.9, 0.05, 0.05], [0.2, 0.1, 0.7], [0.1, 0.6, 0.3]])
LEAST = {"MG": 0.3, "US": 0.5}


def test_a_breast_image_passes_where_its_slot_takes_it():
    assert passed(ANSWERS, MG, LEAST).tolist() == [True, False, False]
    assert passed(ANSWERS, US, LEAST).tolist() == [False, False, True]


def test_another_thing_is_stopped_where_no_slot_takes_it():
    assert passed(ANSWERS, OTHER, LEAST).tolist() == [False, True, False]


def test_the_least_probability_lets_99_in_100_of_each_hospital_pass():
    many = np.tile(np.float32([0.8, 0.1, 0.1]), (200, 1))
    many[:2, 0] = 0.1, 0.2
    few = np.tile(np.float32([0.6, 0.2, 0.2]), (20, 1))
    least = choose_least([(MG, many), (MG, few), (US, np.float32([[0, 1, 0]]))])
    assert least == {"MG": 0.25, "US": 0.5}  # 0.3 would do for mammograms
    low = choose_least([(MG, many / 2), (US, np.float32([[0, 1, 0]]))])
    assert low["MG"] == pytest.approx(0.5 * 0.4)
    assert passed(many, MG, least).mean() >= 0.99
    assert passed(few, MG, least).all()


# In a bundle


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trained(tmp_path_factory.mktemp("runs") / "kind", pictured())
    settle(folder, pictured())
    return folder


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    canvas = (96, 64)
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    drawn_networks(folder, {"MG": (canvas, 1), "US": (canvas, 1)})
    add_kind(folder, run)
    return folder


def test_the_stage_is_added_and_the_rest_stays(bundle: Path):
    opened = open_bundle(bundle)
    assert set(opened.stages) >= {"kind.kind", "n96x64-1.trunk"}
    assert opened.manifest["networks"]["kind"]["training"]["images"] == 3
    assert opened.stages["kind.kind"].tolerances == {"kind": {"largest": 0.05}}
    stored = {name for name in read_tensors(opened) if "/kind.kind/" in name}
    assert stored == {
        f"{case}/kind.kind/{side}" for case in ("mg", "us") for side in ("in/picture", "out/kind")
    }


def test_every_check_looks_at_the_stage_and_passes(bundle: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rtx, "runtime", lambda: None)
    found = check.check_graphs([bundle], check.phantoms())
    assert check.passed(found), [c for c in found if c.state == "fail"]
    assert {c.what for c in found if c.stage == "kind.kind"} == {
        "TensorRT 8.2 rules", "mixed graph rules", "FP16 range", "stored tensors in FP32",
        "stored tensors in FP16",
    }  # fmt: skip


def test_the_appliance_answers_as_torch_does(bundle: Path, run: Path):
    grey = demo_phantom(Modality.MG).pixels
    with Reader.open(bundle) as reader:
        (image,) = reader.read([read_image(grey_png(grey), Modality.MG)]).images
    with torch.inference_mode():
        wanted = best_kind(run)[0](torch.from_numpy(look(grey)))[0].tolist()
    assert image.kind is not None
    got = (image.kind.mammogram, image.kind.ultrasound, image.kind.other)
    assert got == pytest.approx(wanted, abs=1e-4)


def test_adding_it_again_gives_the_same_bytes(bundle: Path, run: Path):
    before = {file.name: file.read_bytes() for file in bundle.iterdir()}
    add_kind(bundle, run)
    assert {file.name: file.read_bytes() for file in bundle.iterdir()} == before


def test_a_prediction_counts_the_networks_that_read(bundle: Path):
    assert [one.name for one in bundle_networks(bundle)] == ["tiny"]


def test_a_bundle_of_schema_1_and_an_unfinished_run_are_refused(run: Path, tmp_path: Path):
    old = drawn_bundle(tmp_path / "old")
    before = (old / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match="schema 1"):
        add_kind(old, run)
    assert (old / "manifest.json").read_bytes() == before
    unsettled = trained(tmp_path / "unsettled", pictured())
    new = drawn_networks(tmp_path / "new", {"MG": ((96, 64), 1)})
    with pytest.raises(ValueError, match="let train-kind finish"):
        add_kind(new, unsettled)


def test_the_network_is_small():
    network = KindNetwork(KindConfig())
    assert 4 * sum(value.numel() for value in network.state_dict().values()) < 1_000_000


def test_the_command_refuses_a_bundle_without_the_stage(tmp_path: Path):
    folder = drawn_networks(tmp_path / "new", {"MG": ((96, 64), 1)})
    index = tmp_path / "index.csv"
    index.write_text("modality,label,image,mask,annotation,patient_or_case,source,split\n")
    arguments = ["evaluate-kind", "--bundle", str(folder), "--data", str(index)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "add-kind" in result.output
