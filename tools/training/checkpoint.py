"""A run's state on disk: written whole or not at all, and enough to go on from."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mammosono.tools.network.config import TrainConfig
from mammosono.tools.network.config_file import train_config

_DAMAGE = (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError)
"""What torch raises for files that are not whole; half a file makes it seek before the start."""


class BadRun(ValueError):
    """The run folder holds no usable checkpoint; the message says what to do."""


def save(folder: Path, name: str, state: Mapping[str, Any]) -> None:
    """Write `name` into the run folder by way of a temporary file. Raises OSError."""
    temporary = folder / f".{name}.part"
    torch.save(dict(state), temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(folder / name)


def load(path: Path) -> dict[str, Any]:
    """Tensors and plain values alone: a checkpoint is never unpickled as code. Raises BadRun."""
    if not path.is_file():
        raise BadRun(f"no checkpoint {path.name} in the run folder: train first")
    with path.open("rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except _DAMAGE:
            raise BadRun(f"checkpoint {path.name} is damaged: delete it and train again") from None
    if not isinstance(state, dict):
        raise BadRun(f"{path.name} is no checkpoint of this program: delete it and train again")
    return state


def write_config(folder: Path, config: TrainConfig, **marks: Any) -> None:
    """Print the whole configuration into the run folder, and beside it what the run is of."""
    temporary = folder / ".config.json.part"
    temporary.write_text(json.dumps({**asdict(config), **marks}, indent=2) + "\n")
    temporary.replace(folder / "config.json")


def config_of(entry: Mapping[str, Any]) -> TrainConfig:
    """The configuration from its printed form, of this version or an earlier one.

    Raises BadRun, naming the field, if it does not fit this version.
    """
    try:
        return train_config(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise BadRun(
            f"the run's configuration does not fit this version: {error.args[0]}"
        ) from None


def config_entry(folder: Path) -> dict[str, Any]:
    """What config.json of a run folder holds, all fields filled in. Raises BadRun."""
    try:
        entry = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        raise BadRun("config.json of the run is missing or damaged: train first") from None
    filled = json.loads(json.dumps(asdict(config_of(entry))))
    return {**filled, "data": entry.get("data"), "software": entry.get("software")}


def read_config(folder: Path) -> TrainConfig:
    """The configuration a run was started with. Raises BadRun."""
    return config_of(config_entry(folder))
