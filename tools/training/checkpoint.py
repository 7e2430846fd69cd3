"""Run folders: checkpoints written whole or not at all, the configuration, the data's mark."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mammosono.tools.data.folds import Fold, refold
from mammosono.tools.data.index import Record, select, split_hash
from mammosono.tools.network.config import NetworkConfig, TrainConfig, train_config
from mammosono.tools.network.model import RefinedMaskRcnn

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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


def write_config(folder: Path, config: DataclassInstance, **marks: Any) -> None:
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
    except ValueError as error:
        raise BadRun(f"the run's configuration does not fit this version: {error}") from None


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


OF_THE_MACHINE = ("micro_batch", "precision")
"""What another machine may set otherwise when it goes on with a run."""


@dataclass(frozen=True, slots=True)
class DataMark:
    """What a run learns from: the index file's SHA-256, that of the split of its sources (see
    tools.data.index), the sources, how many images it learns from and is watched on, the SHA-256
    of weights that another run made (of the network that denoised the mammograms, and of the
    start), and the fold that stands in for val, as "K/N", where one does."""

    index_sha256: str
    split_sha256: str
    sources: tuple[str, ...]
    train_images: int
    val_images: int
    denoiser_sha256: str | None = None
    initial_sha256: str | None = None
    fold: str | None = None

    @classmethod
    def of(
        cls,
        index: Path,
        records: Sequence[Record],
        sources: Sequence[str],
        denoiser: Path | None = None,
        initial: Path | None = None,
        fold: Fold | None = None,
    ) -> DataMark:
        """records: as the index divides them. denoiser, initial: run folders. Raises OSError if a
        file cannot be read."""
        used = select(records, sources=sources)
        divided = refold(used, sources, fold) if fold else used
        return cls(
            sha256_of(index),
            split_hash(used),
            tuple(sources),
            len(select(divided, split="train")),
            len(select(divided, split="val")),
            sha256_of(denoiser / "best.pt") if denoiser else None,
            sha256_of(initial / "best.pt") if initial else None,
            str(fold) if fold else None,
        )


def sha256_of(file: Path) -> str:
    """Of the file's bytes. Raises OSError."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def marks(data: DataMark | None) -> dict[str, Any]:
    """The rest of config.json beside the settings: the data's mark and the software."""
    software = {name: version(name) for name in ("mammosono", "torch", "numpy")}
    return {"data": data and asdict(data), "software": software}


def refuse_other(folder: Path, config: TrainConfig, data: DataMark | None) -> None:
    """Raises BadRun, naming the first field in which the folder's run is another one.

    Fields of the machine may differ; so may data that one of the two does not name.
    """
    before = config_entry(folder)
    after = json.loads(json.dumps({**asdict(config), "data": data and asdict(data)}))
    if not before.get("data") or not after["data"]:
        before = {**before, "data": None}
        after = {**after, "data": None}
    for name in ("software", *OF_THE_MACHINE):
        before.pop(name, None)
        after.pop(name, None)
    for name, was, now in _differences(before, after, ""):
        raise BadRun(
            f"the run in this folder has {name} = {_shown(was)}, not {_shown(now)}: "
            "give that, or another run folder"
        )


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], inside: str
) -> Iterator[tuple[str, Any, Any]]:
    for name, now in after.items():
        was = before.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _differences(was, now, f"{inside}{name}.")
        elif was != now:
            yield f"{inside}{name}", was, now


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def best_network(run: Path, config: NetworkConfig) -> RefinedMaskRcnn:
    """The network of `config` with the weights of best.pt, in evaluation mode. Raises BadRun."""
    state = load(run / "best.pt")
    network = RefinedMaskRcnn(config)
    try:
        network.load_state_dict(state["network"])
    except (KeyError, TypeError, RuntimeError):
        raise BadRun(
            "best.pt is of another network: give a run of this configuration, or train again"
        ) from None
    return network.eval()
