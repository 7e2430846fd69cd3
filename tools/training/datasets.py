"""The images a run learns from and the ones it is watched on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise import Gaussian
from mammosono.appliance.values import Label
from mammosono.tools.data.index import Record, select
from mammosono.tools.data.sample import Sample, Views, load_sample, phantom_sample, with_views

PHANTOMS = 180


def real_samples(
    records: Sequence[Record],
    input_size: tuple[int, int],
    on_sample: Callable[[int, int], None],
    views: Views = "both",
    gaussian: Gaussian | None = None,
) -> list[Sample]:
    """Usable records as samples with the views asked for, in order; told (done, of).

    gaussian: denoises mammograms; None is non-local means.
    Lesions that nobody located are left out: they would be taught as background.
    Raises tools.data.truth.BadTruth; ValueError if raw pictures are asked of an index of
    denoised ones.
    """
    usable = [record for record in records if not record.abnormal_without_location]
    if views == "off" and any(record.denoised for record in usable):
        raise ValueError("the index holds denoised pictures: --denoised off needs the raw ones")
    samples: list[Sample] = []
    load = partial(load_sample, input_size=input_size, denoised=views != "off", gaussian=gaussian)
    with ThreadPoolExecutor(2) as pool:
        for sample in pool.map(load, usable):
            samples.append(with_views(sample, views))
            on_sample(len(samples), len(usable))
    return samples


def phantom_samples(input_size: tuple[int, int], first_seed: int = 10_000) -> list[Sample]:
    """PHANTOMS drawn pictures, both modalities, benign, malignant and normal in turn."""
    samples, records = [], tuple(MODALITIES.values())
    for k in range(PHANTOMS):
        record = records[k % len(records)]
        label = (Label.BENIGN, Label.MALIGNANT, None)[k // len(records) % 3]
        height, width = record.phantom_size
        drawn = phantom(record.modality, first_seed + k, label, height=height, width=width)
        samples.append(phantom_sample(drawn, label, input_size))
    return samples


def required(records: Sequence[Record], split: str, sources: Sequence[str]) -> tuple[Record, ...]:
    """The records of a split of some sources, in order. Raises ValueError if there is none."""
    chosen = select(records, split=split, sources=sources)
    if not chosen:
        raise ValueError(
            f"the index holds no {split} image of {' or '.join(sources)}: "
            "name its own sources with --source"
        )
    return chosen


def split_material(
    records: Sequence[Record],
    sources: Sequence[str],
    input_size: tuple[int, int],
    on_sample: Callable[[int, int], None],
    views: Views = "both",
    gaussian: Gaussian | None = None,
) -> tuple[list[Sample], list[Sample]]:
    """Training samples (split `train` of the sources, and phantoms) and validation samples.

    gaussian: as for real_samples.
    Raises ValueError if either split is empty: without validation no weights are the best.
    """
    train = required(records, "train", sources)
    val = required(records, "val", sources)
    samples = real_samples([*train, *val], input_size, on_sample, views, gaussian)
    cut = sum(not record.abnormal_without_location for record in train)
    return samples[:cut] + phantom_samples(input_size), samples[cut:]
