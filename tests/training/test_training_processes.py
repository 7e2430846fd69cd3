"""Training in processes of its own: two of them are one, and one that is killed goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("lightning_fabric", reason="several processes need Lightning Fabric")

import train_child  # noqa: E402

from mammosono.tools.training import checkpoint  # noqa: E402
from mammosono.tools.training.display import CurveFiles, Progress  # noqa: E402
from mammosono.tools.training.loop import Trainer  # noqa: E402

TESTS = Path(__file__).parents[1]
LIMIT_S = 120


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CurveFiles, "_draw", lambda *_: None)
        yield
    torch.set_num_threads(before)


def start(folder: Path, *options: object, **environment: object) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(TESTS / "train_child.py"), str(folder), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}",
            "OMP_NUM_THREADS": "1",
            **{name: str(value) for name, value in environment.items()},
        },
    )


def torchrun(folder: Path, world: int, *options: object) -> None:
    """What torchrun does: a process a rank, with its variables."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0, "MASTER_PORT": port,
        "MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test", "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    ranks = [start(folder, *options, **given, RANK=k, LOCAL_RANK=k) for k in range(world)]
    try:
        for rank in ranks:
            _, said = rank.communicate(timeout=LIMIT_S)
            assert rank.returncode == 0, said
    finally:
        for rank in ranks:
            rank.kill()


def trained(folder: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Train in this process, on one device, to the end; last.pt and the losses of each step."""
    folder.mkdir(exist_ok=True)
    seen: list[dict[str, float]] = []

    def on_step(progress: Progress) -> None:
        seen.append({**progress.losses, "accuracy": progress.accuracy})

    made = Trainer(folder, train_child.CONFIG, train_child.samples(), (), workers=0)
    assert made.fit(on_step, lambda *_: None)
    return checkpoint.load(folder / "last.pt"), seen


def moments(state: dict[str, Any]) -> torch.Tensor:
    """Adam's running means of all gradients, one after another."""
    return torch.cat([s["exp_avg"].flatten() for s in state["optimizer"]["state"].values()])


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]]]:
    """The uninterrupted run of one process: its folder, and the losses of its six steps."""
    folder = tmp_path_factory.mktemp("alone")
    _, seen = trained(folder)
    return folder, seen


def test_two_processes_learn_what_one_does_and_one_goes_on_from_them(
    alone: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    """Losses of every step to 1e-5 of their size, Adam's means of the gradients to 1e-4 of the
    largest (seen on four instruction sets: 2e-6 and 2e-5): float32 sums in another order. A stop
    that one rank is asked for stops both after the same step; the rest is done by one process."""
    folder, expected = alone
    torchrun(tmp_path, 2, "--stop-after", 2)
    first, second = (json.loads((tmp_path / f"seen-{k}.json").read_text()) for k in range(2))
    assert first == second
    assert (first["world"], first["steps"], len(first["seen"])) == (2, 2, 2)
    for found, wanted in zip(first["seen"], expected, strict=False):
        assert found == pytest.approx(wanted, rel=1e-5)
    assert checkpoint.load(tmp_path / "last.pt")["steps_done"] == 2
    state, rest = trained(tmp_path)
    assert len(rest) == 4
    # Losses are means over what a process saw of an epoch: the second epoch is whole in both.
    for found, wanted in zip(rest[1:], expected[3:], strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)
    whole = moments(checkpoint.load(folder / "last.pt"))
    assert float((moments(state) - whole).abs().max()) <= 1e-4 * float(whole.abs().max())


def test_a_killed_process_goes_on_within_one_checkpoint_interval(
    alone: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    """kill -9 in the middle of the second epoch, checkpoints every two steps: at most two steps
    are done again, and the end is that of the run that was left alone, to the last bit."""
    folder, _ = alone
    child = start(tmp_path, "--checkpoint-steps", 2)
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line == "step 5\n":
                child.kill()
                break
    finally:
        child.kill()
        _, said = child.communicate(timeout=LIMIT_S)
    assert child.returncode == -9, said
    left = checkpoint.load(tmp_path / "last.pt")
    assert 3 <= left["steps_done"] <= 5
    assert not (tmp_path / "seen-0.json").exists()
    state, rest = trained(tmp_path)
    assert len(rest) == 6 - left["steps_done"]
    assert state["steps_done"] == 6
    whole = checkpoint.load(folder / "last.pt")
    for name, weight in whole["network"].items():
        assert torch.equal(state["network"][name], weight), name


def test_a_sigterm_to_the_whole_process_group_leaves_a_checkpoint_and_nobody_behind(
    alone: tuple[Path, list[dict[str, float]]], tmp_path: Path
) -> None:
    """As systemd, a batch system and a closed terminal stop a run: the workers hear it too."""
    folder, _ = alone
    child = start(tmp_path, "--workers", 2)
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line == "step 1\n":
                os.killpg(child.pid, signal.SIGTERM)
                break
        _, said = child.communicate(timeout=LIMIT_S)
        assert (child.returncode, said) == (0, "")
        with pytest.raises(ProcessLookupError):
            os.killpg(child.pid, 0)
    finally:
        child.kill()
    assert 1 <= checkpoint.load(tmp_path / "last.pt")["steps_done"] < 6
    state, _ = trained(tmp_path)
    whole = checkpoint.load(folder / "last.pt")
    for name, weight in whole["network"].items():
        assert torch.equal(state["network"][name], weight), name
