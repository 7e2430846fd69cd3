"""Kind of an image: mammogram, breast ultrasound or something else, by a small network.

The modality is what the sender says; this is what the picture looks like. An image that does not
look like what it was sent as is never cleared (see `verdict.judge`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.pipeline.detector.area import area_mean
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Caution, Effect, ImageKind, Modality, SourceImage
from mammosono.engines.bundle import Bundle
from mammosono.engines.interface import Engine

NETWORK = "kind"
"""Name of the network, and of its only stage."""
INPUT = "grey-and-detail/1"
"""How the stage's input is made of an image: `look`."""
CLASSES = ("MG", "US", "other")
SIZE = (96, 96)
"""Of the network's input: height, width."""
CELL = 3
"""Pixels a side of a cell of the input, in an image whose longer side fills it."""


_A = {Modality.MG: "a mammogram", Modality.US: "an ultrasound of the breast"}


@dataclass(frozen=True, slots=True)
class KindModel:
    """stage: its qualified name. least: by modality, the probability of an image's own kind under
    which it is not what it was sent as."""

    stage: str
    least: Mapping[Modality, float]


def reduced(pixels: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """The picture [H, W] in its window, its longer side at most what `look` looks at."""
    shrink = CELL * max(SIZE) / max(pixels.shape)
    if shrink >= 1:
        return to_grey(pixels, window)
    height, width = pixels.shape
    within = max(round(height * shrink), 1), max(round(width * shrink), 1)
    levels = to_grey(np.arange(np.iinfo(pixels.dtype).max + 1, dtype=pixels.dtype), window)
    return np.rint(area_mean(pixels, (0, 0, width, height), within, levels)).astype(np.uint8)


def look(grey: NDArray[np.uint8], size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """What the network sees of a picture [H, W]: float32 [1, 2, *size], about -1 to 1.

    The whole picture, squeezed: for each cell the mean grey level, and the standard deviation of
    the grey levels in it (what the small picture lacks: text, noise, speckle). The picture is
    first reduced to a longer side of at most CELL cells, so that its resolution hardly counts.
    """
    shrink = CELL * max(size) / max(grey.shape)
    if shrink < 1:
        within = tuple(max(round(side * shrink), 1) for side in grey.shape[::-1])
        grey = np.asarray(cv2.resize(grey, within, interpolation=cv2.INTER_AREA), np.uint8)
    values = grey.astype(np.float32) / 255
    mean, square = (
        cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)
        for plane in (values, np.square(values))
    )
    detail = np.sqrt(np.maximum(square - np.square(mean), 0))
    return np.stack([2 * mean - 1, 8 * np.minimum(detail, 0.25) - 1])[None].astype(np.float32)


def kind_of(engine: Engine, model: KindModel, grey: NDArray[np.uint8]) -> ImageKind:
    """The kind of a picture [H, W]. Raises EngineError if the network fails."""
    answer = engine.run(model.stage, {"picture": look(grey)})["kind"]
    mammogram, ultrasound, other = (float(p) for p in np.asarray(answer)[0])
    return ImageKind(mammogram, ultrasound, other)


def mismatch(kind: ImageKind, modality: Modality, model: KindModel) -> Caution | None:
    """None if the image looks like its modality. What looks like the other one shows a breast and
    may be positive; of anything else a score means nothing."""
    if kind.of(modality) >= model.least[modality]:
        return None
    others = [m for m in MODALITIES if m is not modality and kind.of(m) >= model.least[m]]
    looks = f" (it looks like {_A[others[0]]})" if others else ""
    said = "a negative" if others else "a verdict"
    return Caution(
        "other_kind" if others else "no_breast_image",
        f"This does not look like {_A[modality]}{looks}; {said} cannot be given. "
        "Check that it is the right file, in the right field.",
        Effect.NO_NEGATIVE if others else Effect.NO_VERDICT,
    )


def mismatches(
    images: Sequence[SourceImage], kinds: Sequence[ImageKind | None], model: KindModel | None
) -> tuple[Caution | None, ...]:
    """`mismatch` of each image; without a model none is doubted."""
    return tuple(
        mismatch(kind, image.modality, model) if model and kind else None
        for image, kind in zip(images, kinds, strict=True)
    )


def kind_model(bundle: Bundle) -> KindModel | None:
    """The manifest's `image_kind`; None where the bundle has none.

    Raises KeyError, TypeError or ValueError if it makes no sense.
    """
    entry: Any = bundle.manifest.get("image_kind")
    if entry is None:
        return None
    if tuple(entry["classes"]) != CLASSES or entry["input"] != INPUT:
        raise ValueError("its image_kind is made for another version of the software")
    least = {Modality(code): value for code, value in entry["least"].items()}
    if set(least) != set(MODALITIES):
        raise ValueError("the least of image_kind is not given for each modality")
    if not all(type(value) in (int, float) and 0 <= value <= 1 for value in least.values()):
        raise ValueError("the least of image_kind is no number from 0 to 1")
    stage = bundle.stages[bundle.networks[entry["network"]].stages[entry["stage"]]]
    tensors = {"picture": ("float32", (1, 2, *SIZE))}, {"kind": ("float32", (1, len(CLASSES)))}
    if (dict(stage.inputs), dict(stage.outputs)) != tensors:
        raise ValueError(f"stage {stage.name} does not answer what kind an image is")
    return KindModel(stage.name, {modality: float(value) for modality, value in least.items()})
