"""Out-of-fold looks: what runs saw in images that they did not learn from.

A run of `train --fold K/N` reads the fold that it held back; a run of some hospitals reads the
others. Together they look at every image of train and val by a network that has not seen its case,
so that thresholds and calibration can be chosen on all of them; over hospitals, by one that has
not seen its hospital, as a new one will be read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from mammosono.appliance.pipeline.model import detectors, model_of
from mammosono.appliance.pipeline.scoring import probability
from mammosono.appliance.values import Modality
from mammosono.engines.bundle import open_bundle
from mammosono.tools.data.folds import SPLITS, Fold, refold
from mammosono.tools.data.index import Record, select, split_hash
from mammosono.tools.evaluation.operating_points import Scored
from mammosono.tools.export.calibrate import Look, look, raw_score
from mammosono.tools.export.run_model import OpenRun, open_run
from mammosono.tools.training.checkpoint import BadRun


def chosen_on(held: Collection[Modality], read: Collection[Modality], split: str = "val") -> str:
    """Where thresholds were chosen, for a manifest. held: the modalities whose images were held
    back; read: all that the bundle reads."""
    places = [(m.value, "out of fold" if m in held else split) for m in Modality if m in read]
    if len({place for _, place in places}) == 1:
        return places[0][1]
    return ", ".join(f"{code} {place}" for code, place in places)


def out_of_folds(
    runs: Sequence[Path],
    records: Sequence[Record],
    sources: Collection[str],
    on_image: Callable[[int, int], None] = lambda done, total: None,
    denoiser: Path | None = None,
) -> list[Look]:
    """A look at each image of train and val of these sources, of the modalities of the runs, by
    the run that held it back.

    records: the whole index that the runs were trained with. denoiser: as for `open_run`.
    Raises BadRun if an image was held back by no run or by two, or the index divides a run's
    sources otherwise; what `look` raises.
    """
    with ExitStack() as stack:
        opened = []
        for run in runs:
            each = open_run(run, denoiser)
            stack.callback(each.engine.close)
            opened.append(each)
        parts = [
            _held_back(run.name, each, records, sources)
            for run, each in zip(runs, opened, strict=True)
        ]
        _refuse_gaps(parts, _judged(opened, records, sources))
        total, looks = sum(map(len, parts)), []
        for each, part in zip(opened, parts, strict=True):
            networks = detectors(each.engine, each.model)
            for record in part:
                looks.append(look(networks[record.modality], each.model, each.remove, record))
                on_image(len(looks), total)
        return looks


def scored_for(bundle: Path, looks: Sequence[Look]) -> dict[Modality, list[Scored]]:
    """The looks' scores by a bundle's mixtures and calibrations. Raises BundleError."""
    model = model_of(open_bundle(bundle), "export")
    out: dict[Modality, list[Scored]] = {}
    for one in looks:
        scoring = model.of(one.record.modality).scoring
        score = probability(raw_score(one, scoring.head_weight), scoring.calibration)
        own = out.setdefault(one.record.modality, [])
        own.append(Scored(one.record, float(score), one.evidence))
    return out


def _held_back(
    name: str, opened: OpenRun, records: Sequence[Record], sources: Collection[str]
) -> tuple[Record, ...]:
    """The fold that a run held back; of a run without one, the sources that it has not seen."""
    own = [record for record in records if record.modality.value in opened.config.modalities]
    used = select(own, sources=opened.sources)
    if split_hash(used) != opened.split_sha256:
        raise BadRun(f"{name}: the index divides its sources otherwise: give the run's own index")
    if opened.fold is None:
        return _taught(own, set(sources) - set(opened.sources))
    return select(refold(used, opened.sources, Fold.parse(opened.fold)), split="val")


def _judged(
    opened: Sequence[OpenRun], records: Sequence[Record], sources: Collection[str]
) -> tuple[Record, ...]:
    codes = {code for each in opened for code in each.config.modalities}
    return _taught([record for record in records if record.modality.value in codes], sources)


def _taught(records: Sequence[Record], sources: Collection[str]) -> tuple[Record, ...]:
    return tuple(r for r in records if r.source in sources and r.split in SPLITS)


def _refuse_gaps(parts: Sequence[Sequence[Record]], judged: Sequence[Record]) -> None:
    held = [record.name for part in parts for record in part]
    lacking = len({record.name for record in judged} - set(held))
    if lacking or len(set(held)) < len(held):
        raise BadRun(
            f"of {len(judged)} images {lacking} were held back by no run and "
            f"{len(held) - len(set(held))} by more than one: give every fold of one division, or "
            "for each source a run of the others"
        )
