"""The images of a sweep: a balanced part of train, and all of val."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from mammosono.tools.data.index import Record
from mammosono.tools.data.sample import Sample
from mammosono.tools.training.datasets import phantom_samples, real_samples, required


def sweep_material(
    records: Sequence[Record],
    sources: Sequence[str],
    most: int,
    input_size: tuple[int, int],
    on_sample: Callable[[int, int], None],
) -> tuple[list[Sample], list[Sample]]:
    """Training samples (at most `most` of each source and label, and phantoms) and those of val.

    Raises ValueError if either split is empty, BadSample if an image cannot be read.
    """
    train = balanced(
        [r for r in required(records, "train", sources) if not r.abnormal_without_location], most
    )
    val = [r for r in required(records, "val", sources) if not r.abnormal_without_location]
    samples = real_samples([*train, *val], input_size, on_sample)
    return samples[: len(train)] + phantom_samples(input_size), samples[len(train) :]


def balanced(records: Sequence[Record], most: int) -> list[Record]:
    """At most `most` of each source and label, evenly spaced, in order."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for k, record in enumerate(records):
        groups[record.source, record.label].append(k)
    chosen = []
    for places in groups.values():
        count = min(most, len(places))
        chosen += [places[k * len(places) // count] for k in range(count)]
    return [records[k] for k in sorted(chosen)]
