"""Torch against the exported graphs, on real images and through every stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.detector.proposals import propose
from mammosono.appliance.pipeline.detector.roi import roi_samples
from mammosono.engines.interface import Engine

BOUND = 2e-3
"""Largest allowed difference of an output, relative to the largest value of that output."""


class ParityError(ValueError):
    """The exported graphs do not compute what the network does; names stage and output."""


def compare(
    reference: Engine, other: Engine, canvases: Iterable[NDArray[np.float32]], geometry: Geometry
) -> dict[str, float]:
    """Largest relative difference of each "stage.output" over the canvases [H, W].

    Both engines get the reference's pyramid and proposals, so that a near-tie in the ranking
    cannot look like a difference. Raises ParityError above BOUND, and where there is no canvas.
    """
    worst: dict[str, float] = {}
    anchors = anchors_by_level(geometry)
    for canvas in canvases:
        inputs: dict[str, NDArray[Any]] = {"image": canvas[None, None]}
        trunk = _both(reference, other, "trunk", inputs, worst)
        boxes, _ = propose(trunk["objectness"][0], trunk["deltas"][0], anchors, geometry)
        for stage, bins, count in (
            ("heads", geometry.box_bins, geometry.proposals),
            ("masks", geometry.mask_bins, geometry.findings),
        ):
            full = np.resize(boxes, (count, 4))
            rows, weights = roi_samples(full, bins, geometry)
            feeds: dict[str, NDArray[Any]] = {"rows": rows, "weights": weights}
            feeds["pyramid"] = trunk["pyramid"]
            _both(reference, other, stage, feeds, worst)
    if not worst:
        raise ParityError("no image to compare torch and the graphs on: give validation images")
    for name, difference in worst.items():
        if not difference <= BOUND:
            raise ParityError(f"{name} differs by {difference:.2e}, more than {BOUND:.0e}")
    return worst


def _both(
    reference: Engine,
    other: Engine,
    stage: str,
    inputs: dict[str, NDArray[Any]],
    worst: dict[str, float],
) -> dict[str, NDArray[Any]]:
    wanted = {name: np.asarray(v) for name, v in reference.run(stage, inputs).items()}
    got = other.run(stage, inputs)
    for name, value in wanted.items():
        scale = max(float(np.abs(value).max()), 1e-6)
        difference = float(np.abs(np.asarray(got[name]) - value).max()) / scale
        key = f"{stage}.{name}"
        # Unlike max, this keeps a NaN, which the bound then refuses.
        worst[key] = float(np.maximum(worst.get(key, 0.0), difference))
    return wanted
