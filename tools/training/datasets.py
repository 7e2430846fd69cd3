"""Data of a run: samples, reproducible draws of them, batches made ahead of the network."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise import Gaussian
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.augment import Example, augment
from mammosono.tools.data.index import Record, select
from mammosono.tools.data.sample import Sample, Views, load_sample, phantom_sample, with_views
from mammosono.tools.data.sample_store import SampleStore

PHANTOMS = 180


def real_samples(
    records: Sequence[Record],
    input_size: tuple[int, int],
    on_sample: Callable[[int, int], None],
    views: Views = "both",
    gaussian: Gaussian | None = None,
    store: SampleStore | None = None,
) -> list[Sample]:
    """Usable records as samples with the views asked for, in order; the callback gets (done, of).

    gaussian: denoises mammograms; None is non-local means. store: takes and keeps what is made.
    Lesions without a location are left out: they would be taught as background.
    Raises tools.data.truth.BadTruth; ValueError if raw pictures are asked of an index of
    denoised ones.
    """
    usable = [record for record in records if not record.abnormal_without_location]
    if views == "off" and any(record.denoised for record in usable):
        raise ValueError("the index holds denoised pictures: --denoised off needs the raw ones")
    samples: list[Sample] = []
    load = partial(load_sample, input_size=input_size, denoised=views != "off", gaussian=gaussian)
    kept = load if store is None else partial(store.sample, make=load)
    with ThreadPoolExecutor(2) as pool:
        for sample in pool.map(kept, usable):
            samples.append(with_views(sample, views))
            on_sample(len(samples), len(usable))
    return samples


def phantom_samples(
    input_size: tuple[int, int],
    first_seed: int = 10_000,
    modalities: Collection[Modality] = tuple(MODALITIES),
) -> list[Sample]:
    """Of PHANTOMS drawn pictures, both modalities, benign, malignant and normal in turn, those of
    the modalities asked for."""
    samples, records = [], tuple(MODALITIES.values())
    for k in range(PHANTOMS):
        record = records[k % len(records)]
        if record.modality not in modalities:
            continue
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
    store: SampleStore | None = None,
) -> tuple[list[Sample], list[Sample]]:
    """Training samples (split `train` of the sources, and phantoms of its modalities) and
    validation samples.

    gaussian, store: as for real_samples.
    Raises ValueError if either split is empty: without validation no weights are the best.
    """
    train = required(records, "train", sources)
    val = required(records, "val", sources)
    samples = real_samples([*train, *val], input_size, on_sample, views, gaussian, store)
    cut = sum(not record.abnormal_without_location for record in train)
    drawn = phantom_samples(input_size, modalities={record.modality for record in train})
    return samples[:cut] + drawn, samples[cut:]


def draw_weights(
    samples: Sequence[Sample], phantom_share: float, balance: float = 0.5
) -> NDArray[np.float64]:
    """[n] probabilities: a (source, label) group is drawn by its size to the power 1 - balance:
    at 0.5 small ones come oftener without drowning the large. Phantoms take `phantom_share`."""
    groups = [(s.source, s.label) for s in samples]
    sizes = Counter(groups)
    weights = np.array([sizes[g] ** -balance for g in groups])
    phantom = np.array([s.source == "phantom" for s in samples])
    if phantom.any() and not phantom.all():
        weights[~phantom] *= (1 - phantom_share) / weights[~phantom].sum()
        weights[phantom] *= phantom_share / weights[phantom].sum()
    return np.asarray(weights / weights.sum())


class Draws(Dataset[Example]):
    """Draw k of an epoch is a function of (seed, epoch, k) alone, in any process."""

    def __init__(
        self,
        samples: Sequence[Sample],
        input_size: tuple[int, int],
        percentiles: tuple[float, float],
        phantom_share: float,
        seed: int,
        length: int,
        *,
        balance: float = 0.5,
        scanner: bool = False,
        patch: tuple[int, int] | None = None,
    ) -> None:
        """scanner: augmented by what differs between scanners, too. patch: (height, width) of
        the piece of the canvas that a draw is, in place of all of it."""
        self.samples = samples
        self.input_size = input_size
        self.percentiles = percentiles
        self.weights = draw_weights(samples, phantom_share, balance)
        self.scanner, self.patch = scanner, patch
        self.donors: dict[Modality, list[Sample]] = {}
        for sample in samples:
            self.donors.setdefault(sample.modality, []).append(sample)
        self.seed = seed
        self.length = length
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, k: int) -> Example:
        rng = np.random.default_rng((self.seed, self.epoch, k))
        sample = self.samples[int(rng.choice(len(self.samples), p=self.weights))]
        donor = None
        if self.scanner:
            alike = self.donors[sample.modality]
            donor = alike[int(rng.integers(len(alike)))]
        return augment(sample, self.input_size, self.percentiles, rng, donor, self.patch)


def stack_images(examples: Sequence[Example], mean: float, std: float) -> Tensor:
    """[N, 1, H, W] float32, standardised as on the device."""
    images = torch.from_numpy(np.stack([e.image for e in examples]))[:, None]
    return (images - mean) / std


@dataclass(frozen=True, slots=True)
class Plan:
    """An epoch of `length` draws in steps of `batch_size`, dealt in micro-batches to `world` ranks.

    Step s is made of draws [s * batch_size, (s + 1) * batch_size) whatever the number of ranks;
    its micro-batches go round the ranks, so each has batch_size / (micro_batch * world) of them.
    An epoch too short for one whole step is one small step, whose micro-batches may not reach
    every rank.
    """

    length: int
    batch_size: int
    micro_batch: int
    rank: int = 0
    world: int = 1

    @classmethod
    def of(
        cls, images: int, batch_size: int, micro_batch: int | None, rank: int = 0, world: int = 1
    ) -> Plan:
        """An epoch of about `images` draws: whole steps, or one small one.

        micro_batch: None for a rank's whole share at once. Raises ValueError unless batch_size
        is a multiple of micro_batch * world.
        """
        micro = micro_batch or max(batch_size // world, 1)
        if batch_size % (micro * world):
            raise ValueError(
                f"a step of {batch_size} images is not a multiple of {micro} a pass times "
                f"{world} devices: change --batch or --micro-batch"
            )
        return cls(images - images % batch_size or images, batch_size, micro, rank, world)

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return -(-self.length // self.batch_size)

    def batches(self, step: int) -> list[range]:
        """The draws of each micro-batch of this rank in a step."""
        start, stop = step * self.batch_size, min((step + 1) * self.batch_size, self.length)
        first = range(start, stop, self.micro_batch)[self.rank :: self.world]
        return [range(k, min(k + self.micro_batch, stop)) for k in first]


class Batch(NamedTuple):
    """images: float32 [n, 1, H, W], standardised; examples: their truth, without the pictures."""

    images: Tensor
    examples: list[Example]


def step_batches(
    draws: Draws, plan: Plan, first_step: int, workers: int, mean: float, std: float
) -> Iterator[list[Batch]]:
    """This rank's micro-batches of each step of the epoch, from step `first_step` on.

    The workers stay up to two steps ahead, so that data waits for the network and not the
    other way round.
    """
    steps = [plan.batches(step) for step in range(first_step, plan.steps)]
    ahead = 2 * max((len(batches) for batches in steps), default=1)
    loader = DataLoader(
        draws,
        batch_sampler=[list(batch) for batches in steps for batch in batches],
        num_workers=workers,
        collate_fn=partial(collate, mean=mean, std=std),
        prefetch_factor=max(-(-ahead // workers), 2) if workers else None,
        worker_init_fn=_worker,
        pin_memory=torch.cuda.is_available(),
        # Its own, since every new loader draws from it: a resumed run needs one loader more.
        generator=torch.Generator(),
    )
    made = iter(loader)
    for batches in steps:
        yield [next(made) for _ in batches]


def collate(examples: Sequence[Example], mean: float, std: float) -> Batch:
    """The pictures as one tensor, which travels between processes without being copied."""
    nothing = np.zeros((0, 0), np.float32)
    return Batch(stack_images(examples, mean, std), [replace(e, image=nothing) for e in examples])


def _worker(_number: int) -> None:
    """One thread each. The trainer alone hears Ctrl-C and SIGTERM, which go to the whole process
    group: the batch at hand is still made, and a worker ends with its trainer."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
