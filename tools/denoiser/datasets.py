"""What a denoiser's run learns from and is watched on, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mammosono.appliance.values import Modality
from mammosono.tools.data.index import Record, select, split_hash
from mammosono.tools.denoiser.pictures import FILMS, Picture, clean_pictures, noisy_pictures
from mammosono.tools.denoiser.validation import Trial, trials
from mammosono.tools.network.config import preset

TRAIN_SEEDS = range(20_000, 20_060)
VAL_SEEDS = range(30_000, 30_024)
"""Of phantoms; the detector's begin at 10 000 and the demo's are below 1000."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """provenance: plain values for a manifest."""

    pictures: list[Picture]
    trials: list[Trial]
    provenance: dict[str, Any]


def material(
    records: Sequence[Record],
    source: str,
    self_supervised: bool,
    on_picture: Callable[[int, int], None],
) -> Material:
    """Pictures of the split `train` and phantoms; validation patches of `val` and other phantoms.

    Films are cut to the compact network's input, for which the appliance will denoise them.
    Raises ValueError if the index has no mammogram of the source in either split; BadTruth.
    """
    films = {
        split: select(records, split=split, sources=[source], modality=Modality.MG)
        for split in ("train", "val")
    }
    for split, found in films.items():
        if not found:
            raise ValueError(
                f"the index holds no {split} mammogram of {source}: name its own with --source"
            )
    size = preset("compact").network.geometry.input_size
    read = noisy_pictures if self_supervised else clean_pictures
    pictures = read(films["train"], TRAIN_SEEDS, size, on_picture)
    val = trials(clean_pictures(films["val"], VAL_SEEDS, size, lambda done, of: None))
    provenance = {
        "method": "recorrupted-to-recorrupted" if self_supervised else "supervised",
        "sources": [source, "phantoms"],
        "split_sha256": split_hash([*films["train"], *films["val"]]),
        "images": {
            "films": min(len(films["train"]), FILMS),
            "phantoms": len(TRAIN_SEEDS),
            "val_patches": len(val),
        },
    }
    return Material(pictures, val, provenance)
