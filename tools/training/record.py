"""config.json of a run folder: all that is needed to make the run again, and to know it again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mammosono.tools.data.index import Record, select, split_hash
from mammosono.tools.network.config import TrainConfig
from mammosono.tools.training.checkpoint import BadRun, config_entry

OF_THE_MACHINE = ("micro_batch", "precision")
"""What another machine may set otherwise when it goes on with a run."""


@dataclass(frozen=True, slots=True)
class DataMark:
    """What a run learns from: the index file's SHA-256, that of the split of its sources (see
    tools.data.index), the sources, how many images of each split, and the SHA-256 of weights
    that another run made: of the network that denoised the mammograms, and of the start."""

    index_sha256: str
    split_sha256: str
    sources: tuple[str, ...]
    train_images: int
    val_images: int
    denoiser_sha256: str | None = None
    initial_sha256: str | None = None

    @classmethod
    def of(
        cls,
        index: Path,
        records: Sequence[Record],
        sources: Sequence[str],
        denoiser: Path | None = None,
        initial: Path | None = None,
    ) -> DataMark:
        """denoiser, initial: run folders. Raises OSError if a file cannot be read."""
        used = select(records, sources=sources)
        return cls(
            _sha256(index),
            split_hash(used),
            tuple(sources),
            len(select(used, split="train")),
            len(select(used, split="val")),
            _sha256(denoiser / "best.pt") if denoiser else None,
            _sha256(initial / "best.pt") if initial else None,
        )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def marks(data: DataMark | None) -> dict[str, Any]:
    """What config.json says beside the settings: the data's mark and the software."""
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
