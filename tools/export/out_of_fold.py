"""Out-of-fold looks: what each run saw in the images of the fold that it held back.

Over all folds every image of train and val is looked at by a network that has not seen its case, so
that thresholds and calibration can be chosen on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mammosono.appliance.pipeline.model import detectors
from mammosono.tools.data.folds import Fold, refold
from mammosono.tools.data.index import Record, select, split_hash
from mammosono.tools.export.calibrate import Look, look
from mammosono.tools.export.run_model import OpenRun, open_run
from mammosono.tools.training.checkpoint import BadRun, config_entry


def out_of_fold(
    run: Path,
    records: Sequence[Record],
    on_image: Callable[[int, int], None] = lambda done, total: None,
    denoiser: Path | None = None,
) -> list[Look]:
    """A look at every image of the fold that a run of `train --fold K/N` held back.

    records: the whole index that it was trained with. denoiser: as for `open_run`.
    Raises BadRun if the run held back no fold, or the index divides its sources otherwise; what
    `look` raises.
    """
    opened = open_run(run, denoiser)
    try:
        held_back = _held_back(run.name, opened, records)
        each = detectors(opened.engine, opened.model)
        looks = []
        for done, record in enumerate(held_back, start=1):
            looks.append(look(each[record.modality], opened.model, opened.remove, record))
            on_image(done, len(held_back))
        return looks
    finally:
        opened.engine.close()


def out_of_folds(
    runs: Sequence[Path],
    records: Sequence[Record],
    on_image: Callable[[int, int], None] = lambda done, total: None,
    denoiser: Path | None = None,
) -> list[Look]:
    """The looks of all folds, one run a fold, each image once.

    Raises BadRun if the runs are not all the folds of one division; what `out_of_fold` raises.
    """
    folds = [_fold(run.name, (config_entry(run)["data"] or {}).get("fold")) for run in runs]
    if not folds or sorted(map(str, folds)) != sorted(_every(folds)):
        given = ", ".join(map(str, folds)) or "nothing"
        raise BadRun(f"the runs hold back {given}: give one for each fold of one division")
    return [each for run in runs for each in out_of_fold(run, records, on_image, denoiser)]


def _every(folds: Sequence[Fold]) -> set[str]:
    return {f"{k}/{fold.count}" for fold in folds for k in range(1, fold.count + 1)}


def _fold(name: str, text: str | None) -> Fold:
    if text is None:
        raise BadRun(f"{name} held back no fold: train it with --fold K/N")
    return Fold.parse(text)


def _held_back(name: str, opened: OpenRun, records: Sequence[Record]) -> tuple[Record, ...]:
    fold = _fold(name, opened.fold)
    own = [record for record in records if record.modality.value in opened.config.modalities]
    used = select(own, sources=opened.sources)
    if split_hash(used) != opened.split_sha256:
        raise BadRun(f"{name}: the index divides its sources otherwise: give the run's own index")
    return select(refold(used, opened.sources, fold), split="val")
