"""Sample: a labelled image at network scale, held in memory for the trainer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.phantoms import Phantom
from mammosono.appliance.pipeline.denoise import Gaussian, denoise
from mammosono.appliance.pipeline.detector.frame import Frame, frame
from mammosono.appliance.values import Label, Modality
from mammosono.tools.data.index import Record
from mammosono.tools.data.truth import mask_labels, read_masks, read_record

Views = Literal["both", "only", "off"]
"""Of a picture before and after denoising: both, only the denoised one, or only the one before."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleLesion:
    """mask: uint8 0 or 1 at working size; `exact` is False where only a circle is known, and
    then the mask gives the box but never trains the mask head. An empty one trains nothing: such
    a lesion is neither target nor background. label: None where its kind is not to be taught."""

    label: Label | None
    mask: NDArray[np.uint8]
    exact: bool


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """views: the same working image [h, w], uint8, before and (if asked) after denoising.

    label: "normal", "benign", "malignant", or "unknown" where the kind is not to be taught.
    enlarge: network px per working px, at least 1.
    """

    modality: Modality
    label: str
    source: str
    views: tuple[NDArray[np.uint8], ...]
    lesions: tuple[SampleLesion, ...]
    enlarge: float


def load_sample(
    record: Record,
    input_size: tuple[int, int],
    *,
    denoised: bool,
    gaussian: Gaussian | None = None,
) -> Sample:
    """Read, crop and shrink one record's image and masks; what the index calls denoised is not
    denoised again.

    gaussian: of mammograms, as for mammosono.appliance.pipeline.denoise.denoise.
    Raises BadTruth.
    """
    image = read_record(record)
    pixels = image.pixels
    place = frame(pixels, record.modality, input_size)
    lesions: list[SampleLesion] = []
    if record.masks:
        masks = read_masks(record, pixels.shape)
        for label, mask in zip(mask_labels(record), masks, strict=True):
            lesions.append(SampleLesion(label, _shrink(mask.astype(np.uint8), place), True))
    else:
        for mark in record.lesions:
            disc = _shrink(_disc(mark.box, pixels.shape), place)
            lesions.append(SampleLesion(mark.label, disc, False))
    views = [place.cut(pixels)]
    if denoised and not record.denoised:
        peak = float(2**image.bits - 1)
        clean, _ = denoise(views[0], record.modality, peak=peak, threads=1, gaussian=gaussian)
        views.append(clean)
    # Deeper pictures keep their whole range: its ends are the percentiles' business.
    step = max(1.0, float(views[0].max()) / 255) if pixels.dtype == np.uint16 else 1.0
    return Sample(
        record.modality,
        record.label,
        record.source,
        tuple(np.rint(view / step).clip(0, 255).astype(np.uint8) for view in views),
        tuple(lesions),
        max(place.scale, 1.0),
    )


def phantom_sample(drawn: Phantom, label: Label | None, input_size: tuple[int, int]) -> Sample:
    """A phantom as a sample; its views are the noisy and the noise-free picture."""
    place = frame(drawn.pixels, drawn.modality, input_size)
    lesions = tuple(
        SampleLesion(lesion.label, _shrink(lesion.mask.astype(np.uint8), place), True)
        for lesion in drawn.lesions
    )
    views = tuple(
        np.rint(place.cut(picture)).astype(np.uint8) for picture in (drawn.pixels, drawn.clean)
    )
    name = label.value if label else "normal"
    return Sample(drawn.modality, name, "phantom", views, lesions, max(place.scale, 1.0))


def without_classes(sample: Sample) -> Sample:
    """The sample with its lesions' places and without their kinds."""
    lesions = tuple(replace(lesion, label=None) for lesion in sample.lesions)
    return replace(sample, label="unknown", lesions=lesions)


def with_views(sample: Sample, views: Views) -> Sample:
    """The sample with those of its views that are asked for."""
    if views == "both":
        return sample
    return replace(sample, views=sample.views[-1:] if views == "only" else sample.views[:1])


def _disc(box: tuple[float, ...], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    centre = (round((box[0] + box[2]) / 2), round((box[1] + box[3]) / 2))
    cv2.circle(mask, centre, max(round((box[2] - box[0]) / 2), 1), 1, -1)
    return mask


def _shrink(mask: NDArray[np.uint8], place: Frame) -> NDArray[np.uint8]:
    return (place.cut(mask) >= 0.5).astype(np.uint8)
