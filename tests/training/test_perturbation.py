"""The perturbation test: the way back to the picture as it was, paired losses, going on."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_world import World
from tiny_bundle import drawn_bundle
from typer.testing import CliRunner

from mammosono.appliance.values import Box, Label, Modality, SourceImage
from mammosono.tools.cli import app
from mammosono.tools.data.index import Record, read_index
from mammosono.tools.evaluation import perturbation
from mammosono.tools.evaluation.outcome import TrueLesion
from mammosono.tools.evaluation.perturbation import (
    GOAL,
    READINGS,
    PerturbedReading,
    brief,
    limited,
    losses,
    perturb_test,
    table,
)
from mammosono.tools.evaluation.perturbed import (
    AS_IS,
    NO_DENOISING,
    PERTURBATIONS,
    Perturbation,
)
from mammosono.tools.evaluation.roles import Roles

LESION: Box = (30.0, 24.0, 46.0, 44.0)


def picture(modality: Modality = Modality.US, bits: int = 8) -> SourceImage:
    """Grey, 100 x 80, with one bright square: the lesion."""
    pixels = np.full((80, 100), 60, np.uint8 if bits == 8 else np.uint16)
    x0, y0, x1, y1 = (int(v) for v in LESION)
    pixels[y0:y1, x0:x1] = 150
    pixels <<= bits - 8
    return SourceImage(modality, pixels, bits, (0, 2**bits - 1), (0.1, 0.2), "ab" * 32)


def changed(each: Perturbation, image: SourceImage) -> tuple[SourceImage, Callable[[Box], Box]]:
    out, back = each.apply(image, LESION, np.random.default_rng(1))
    return out, back.box


def bright(image: SourceImage) -> Box:
    """The box of what is brighter than half the square and the ground."""
    ys, xs = np.nonzero(image.pixels > image.pixels.max() * 0.7)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


PLACES = [
    each for each in PERTURBATIONS
    if each.name.startswith(("resolution", "letterbox", "padded", "mirrored", AS_IS))
]  # fmt: skip


@pytest.mark.parametrize("each", PLACES, ids=lambda each: each.name)
@pytest.mark.parametrize("bits", [8, 12])
def test_what_is_found_in_a_perturbed_picture_is_led_back_to_where_it_was(
    each: Perturbation, bits: int
) -> None:
    out, back = changed(each, picture(bits=bits))
    assert back(bright(out)) == pytest.approx(LESION, abs=2)
    assert out.pixels.dtype == picture(bits=bits).pixels.dtype


@pytest.mark.parametrize("each", PERTURBATIONS, ids=lambda each: each.name)
def test_every_perturbation_changes_the_picture_or_how_it_is_read(each: Perturbation) -> None:
    image = picture(each.modality or Modality.US)
    lettered, _ = changed(next(p for p in PERTURBATIONS if p.name == "text drawn on"), image)
    start = lettered if each.name == "marks painted out" else image
    out, _ = changed(each, start)
    same = out.pixels.shape == start.pixels.shape and (out.pixels == start.pixels).all()
    assert same == (each.name in (AS_IS, NO_DENOISING))
    assert each.denoised == (each.name != NO_DENOISING)
    again, _ = changed(each, start)
    assert (again.pixels == out.pixels).all()


def test_they_cover_what_was_asked_and_names_are_their_own() -> None:
    names = [each.name for each in PERTURBATIONS]
    assert len(set(names)) == len(names)
    assert names[0] == AS_IS
    for word in (
        "gain", "depth gain", "gamma", "contrast", "dynamic range", "JPEG", "blur",
        "resolution x 0.5", "resolution x 2", "letterbox", "padded", "mirrored", "calipers",
        "text", "painted out", "denoising off",
    ):  # fmt: skip
        assert any(word in name for name in names), word
    assert {e.modality for e in PERTURBATIONS} == {None, Modality.US}


def test_the_spacing_of_a_resized_picture_is_that_of_its_pixels() -> None:
    half = next(each for each in PERTURBATIONS if each.name == "resolution x 0.5")
    out, _ = changed(half, picture())
    assert (out.height, out.width) == (40, 50)
    assert out.spacing_mm == pytest.approx((0.2, 0.4))


def records(*labels: str, source: str = "A", cases: int = 99) -> list[Record]:
    return [
        Record(
            Modality.US, label, f"{source}{k}.png", Path(f"{k}.png"), (), (),
            f"{source}{k % cases}", source, "test",
        )
        for k, label in enumerate(labels)
    ]  # fmt: skip


def lesions(*boxes: Box) -> tuple[TrueLesion, ...]:
    return tuple(TrueLesion(Label.BENIGN, box, False, None) for box in boxes)


def readings(name: str, scores: Sequence[float | None], found: str) -> list[PerturbedReading]:
    return [
        PerturbedReading(name, f"A{k}.png", score, (LESION,) if hit == "x" else ())
        for k, (score, hit) in enumerate(zip(scores, found, strict=True))
    ]


FOUR = records("malignant", "malignant", "benign", "benign")
TRUTH = {record.name: lesions(LESION) for record in FOUR}
JUDGED = Roles(frozenset({"A"}))


def test_losses_are_those_of_the_hand_computation() -> None:
    read = readings(AS_IS, (0.9, 0.8, 0.3, 0.1), "xxxx")
    read += readings("blur", (0.9, 0.2, 0.3, 0.1), "xx.x")
    plain, blurred = losses(read, FOUR, TRUTH, JUDGED)[:2]
    assert (plain.auc.value, plain.auc_lost.value, plain.found.value) == (1, 0, 1)
    # One of the four pairs of a malignant and a benign image is lost, one of four lesions.
    assert (blurred.auc.value, blurred.auc_lost.value) == (0.75, 0.25)
    assert (blurred.found.value, blurred.found_lost.value) == (0.75, 0.25)
    assert (blurred.n, blurred.cases, blurred.lesions) == (4, 4, 4)
    assert (plain.within_goal, blurred.within_goal) == (True, False)


def test_a_refused_picture_is_last_in_the_ranking_and_finds_nothing() -> None:
    read = readings(AS_IS, (0.9, 0.8, 0.3, 0.1), "xxxx")
    read += readings("blur", (0.9, None, 0.3, 0.1), "x.xx")
    blurred = losses(read, FOUR, TRUTH, JUDGED)[1]
    assert (blurred.auc_lost.value, blurred.found_lost.value) == (0.5, 0.25)


scores = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@settings(max_examples=25, deadline=None)
@given(scores, scores)
def test_losses_are_paired_so_that_what_changes_nothing_loses_nothing_in_any_draw(
    before: list[float], after: list[float]
) -> None:
    read = readings(AS_IS, before, "x.x.") + readings("same", before, "x.x.")
    read += readings("other", after, ".xx.")
    plain, same, other = losses(read, FOUR, TRUTH, JUDGED)[:3]
    assert (same.auc_lost.value, same.auc_lost.low, same.auc_lost.high) == (0, 0, 0)
    assert (same.found_lost.low, same.found_lost.high) == (0, 0)
    assert other.auc_lost.value == pytest.approx(plain.auc.value - other.auc.value)
    assert -1 <= other.auc_lost.low <= other.auc_lost.high <= 1


def test_the_goal_is_a_loss_of_two_hundredths_at_most_and_no_gain_is_a_loss() -> None:
    hundred = records(*["malignant"] * 50, *["normal"] * 50)
    truth = {r.name: lesions(LESION) if r.label == "malignant" else () for r in hundred}

    def read(name: str, missed: int) -> list[PerturbedReading]:
        return [
            PerturbedReading(name, r.name, 0.5, () if k < missed else (LESION,))
            for k, r in enumerate(hundred)
        ]

    rows = losses(
        read(AS_IS, 1) + read("2", 2) + read("3", 3) + read("0", 0), hundred, truth, JUDGED
    )
    within = {row.perturbation: row.within_goal for row in rows if row.group == "US"}
    assert within == {AS_IS: True, "2": True, "3": False, "0": True}
    assert GOAL == 0.02
    assert brief(rows)[0] == ["AUC lost, lesions lost", "US", "US/A"]
    assert [row[1] for row in brief(rows)[1:]] == ["0.000, 0.020", "0.000, 0.040", "0.000, -0.020"]
    assert {row[1]: row[-1] for row in table(rows)[1:]} == {
        AS_IS: "", "2": "yes", "3": "NO", "0": "yes",
    }  # fmt: skip


def test_a_class_free_source_has_no_auc_and_an_outside_one_is_not_pooled() -> None:
    more = [*FOUR, *records("malignant", "benign", source="B")]
    truth = {record.name: lesions(LESION) for record in more}
    read = [PerturbedReading(AS_IS, record.name, 0.5, (LESION,)) for record in more]
    rows = losses(read, more, truth, Roles(frozenset({"A"}), frozenset({"B"})))
    assert [(row.group, row.n) for row in rows] == [("US", 4), ("US/A", 4), ("US/B", 2)]
    assert math.isnan(rows[2].auc.value)
    assert rows[2].found.value == 1
    assert rows[2].within_goal


def test_what_is_not_read_whole_is_not_in_the_table() -> None:
    read = readings(AS_IS, (0.9, 0.8, 0.3, 0.1), "xxxx") + readings("blur", (0.9,), "x")
    assert {row.perturbation for row in losses(read, FOUR, TRUTH, JUDGED)} == {AS_IS}


def test_a_limit_is_kept_by_source_with_labels_as_frequent_as_they_are() -> None:
    many = records(*["benign"] * 60, *["malignant"] * 30, *["normal"] * 10)
    many += records("benign", "malignant", source="B")
    chosen = limited(many, 10)
    assert Counter(r.label for r in chosen if r.source == "A") == {
        "benign": 6, "malignant": 3, "normal": 1,
    }  # fmt: skip
    assert sum(r.source == "B" for r in chosen) == 2
    assert chosen == limited(many, 10)
    assert limited(many, None) == tuple(many)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["benign", "malignant", "normal"]), max_size=40), st.integers(2, 50)
)
def test_a_limit_takes_as_many_as_there_are_up_to_it(labels: list[str], limit: int) -> None:
    own = records(*labels)
    chosen = limited(own, limit)
    assert len(chosen) == min(limit, len(own))
    assert [r for r in own if r in chosen] == list(chosen)
    for label, count in Counter(labels).items():
        exact = min(limit / max(len(own), 1), 1) * count
        assert abs(sum(r.label == label for r in chosen) - exact) < 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_bundle(tmp_path_factory.mktemp("perturbed") / "tiny")


FEW = tuple(each for each in PERTURBATIONS if each.name in (AS_IS, "mirrored", NO_DENOISING))


def few(world_folder: Path) -> tuple[Record, ...]:
    world = World()
    world.add("malignant", 0.9, lesions=[(20, 20, 20, 20)])
    world.add("benign", 0.1, lesions=[(60, 60, 30, 30)])
    return read_index(world.write(world_folder))


def test_a_stopped_test_goes_on_and_reads_nothing_twice(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, out = few(tmp_path), tmp_path / "out"
    read: list[tuple[str, str]] = []
    whole = perturbation._read

    def stopping(reader: object, record: Record, lesions: object, each: Perturbation) -> object:
        if len(read) == 3:
            raise KeyboardInterrupt
        read.append((each.name, record.name))
        return whole(reader, record, lesions, each)  # type: ignore[arg-type]

    monkeypatch.setattr(perturbation, "_read", stopping)
    with pytest.raises(KeyboardInterrupt):
        perturb_test(bundle, own, out, perturbations=FEW)
    # The machine died in the middle of a line.
    with (out / READINGS).open("a") as file:
        file.write('{"perturbation": "mir')
    read_before = list(read)
    read.clear()
    monkeypatch.setattr(
        perturbation, "_read", lambda *a: read.append((a[3].name, a[1].name)) or whole(*a)
    )
    rows = perturb_test(bundle, own, out, perturbations=FEW)
    assert sorted(read_before + read) == sorted(
        (each.name, record.name) for each in FEW for record in own
    )
    lines = [json.loads(line) for line in (out / READINGS).read_text().splitlines()]
    assert len(lines) == 1 + 6
    assert {row.perturbation for row in rows} == {each.name for each in FEW}
    straight = perturb_test(bundle, own, tmp_path / "straight", perturbations=FEW)
    assert straight == rows
    with (out / "perturbations.csv").open(newline="") as written:
        assert len(list(csv.reader(written))) == 1 + len(rows)


def test_the_readings_of_other_images_are_not_gone_on_with(bundle: Path, tmp_path: Path) -> None:
    own, out = few(tmp_path), tmp_path / "out"
    perturb_test(bundle, own, out, perturbations=FEW[:1])
    with pytest.raises(ValueError, match="another bundle or other images"):
        perturb_test(bundle, own[:1], out, perturbations=FEW[:1])


def test_the_command_reads_the_asked_split_and_prints_the_table(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(tmp_path)
    # Bound when the function was made, so the default is replaced where it is looked up.
    monkeypatch.setattr(perturb_test, "__kwdefaults__", {
        **(perturb_test.__kwdefaults__ or {}), "perturbations": FEW,
    })  # fmt: skip
    options = ["--bundle", str(bundle), "--data", str(tmp_path / "index.csv")]
    done = CliRunner().invoke(
        app, ["perturb-test", *options, "--out", str(tmp_path / "out"), "--limit", "2"]
    )
    assert done.exit_code == 0, done.output
    assert "denoising off" in (tmp_path / "out" / "table.md").read_text()
    nothing = CliRunner().invoke(
        app, ["perturb-test", *options, "--out", str(tmp_path / "no"), "--split", "val"]
    )
    assert nothing.exit_code == 2
    assert "no image" in nothing.output
