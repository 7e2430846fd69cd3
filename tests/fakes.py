"""An engine without a network: it sees the lesions it was told to see, and keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammosono.appliance.pipeline.detector.anchors import anchors_by_level
from mammosono.appliance.pipeline.detector.boxes import encode
from mammosono.appliance.pipeline.detector.detector import DetectorStages
from mammosono.appliance.pipeline.detector.geometry import Geometry
from mammosono.appliance.pipeline.model import BundleModel, ModalityModel, Normalisation
from mammosono.appliance.values import Modality, ModelInfo, Scoring
from mammosono.engines.bundle import Bundle
from mammosono.engines.errors import EngineFault
from mammosono.engines.interface import DeviceTensor, Engine, Tensor

GEOMETRY = Geometry(
    input_size=(128, 96),
    pyramid_strides=(4, 8, 16),
    rpn_strides=(8, 16),
    anchor_sizes=((16.0, 24.0), (48.0,)),
    anchor_ratios=(1.0,),
    proposals=16,
    proposals_floor=4,
    roi_level_sizes=(20.0, 40.0),
    findings=4,
)
CHANNELS = 2


@dataclass(frozen=True)
class Lesion:
    """box: xyxy input px; benign, malignant: the heads' probabilities; mask: one value for all."""

    box: tuple[float, float, float, float]
    benign: float
    malignant: float
    mask: float = 1.0


@dataclass(frozen=True)
class Scene:
    """What the network sees on one canvas. image: normal, benign, malignant of the whole."""

    lesions: tuple[Lesion, ...] = ()
    image: tuple[float, float, float] = (0.9, 0.05, 0.05)


@dataclass
class FakeEngine(Engine):
    """Each trunk run sees the next of `scenes`, the last of them for ever.

    The lesions come out of the RPN as the best proposals, in their order; so they are the first
    rows of the heads, and the masks follow by lesion probability. `fault` names a stage that
    fails. `calls` records (stage, inputs) of every run.
    """

    scenes: Sequence[Scene]
    geometry: Geometry = GEOMETRY
    fault: str | None = None
    calls: list[tuple[str, dict[str, Tensor]]] = field(default_factory=list)
    closed: bool = False
    runtime: str = "fake 1.0"

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        assert not self.closed
        self.calls.append((stage, dict(inputs)))
        if stage == self.fault:
            raise EngineFault(f"{stage}: the runtime failed; read the study again")
        outputs: dict[str, NDArray[np.float32]] = getattr(self, "_" + stage)(inputs)
        for name, value in outputs.items():
            assert value.dtype == np.float32
            if name not in keep and not np.isfinite(value).all():
                raise EngineFault(f"{stage}: {name} holds NaN or Inf; read the study again")
        return {
            name: DeviceTensor(self._runs, value.shape) if name in keep else value
            for name, value in outputs.items()
        }

    def close(self) -> None:
        self.closed = True

    def inputs_of(self, stage: str) -> list[dict[str, Any]]:
        return [inputs for name, inputs in self.calls if name == stage]

    @property
    def _runs(self) -> int:
        return len(self.inputs_of("trunk"))

    @property
    def _scene(self) -> Scene:
        return self.scenes[min(self._runs, len(self.scenes)) - 1]

    def _trunk(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
        canvas = _array(inputs["image"], (1, 1, *self.geometry.input_size), np.float32)
        assert np.isfinite(canvas).all()
        anchors = np.concatenate(anchors_by_level(self.geometry))
        objectness = np.full(len(anchors), -9, np.float32)
        deltas = np.zeros((len(anchors), 4), np.float32)
        for rank, lesion in enumerate(self._scene.lesions):
            box = np.array([lesion.box], np.float32)
            at = _free_anchor(box, anchors, objectness)
            objectness[at] = 9 - rank
            deltas[at] = encode(box, anchors[at : at + 1], self.geometry.rpn_weights)[0]
        return {
            "objectness": objectness[None],
            "deltas": deltas[None],
            "pyramid": np.zeros((self.geometry.pyramid_rows, CHANNELS), np.float32),
            "image_classes": np.array([self._scene.image], np.float32),
        }

    def _heads(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
        count = self._samples(inputs, self.geometry.proposals, self.geometry.box_bins)
        classes = np.tile(np.float32([0.98, 0.01, 0.01]), (count, 1))
        for row, lesion in enumerate(self._scene.lesions):
            rest = 1 - lesion.benign - lesion.malignant
            classes[row] = rest, lesion.benign, lesion.malignant
        return {"classes": classes, "box_deltas": np.zeros((count, 4), np.float32)}

    def _masks(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
        count = self._samples(inputs, self.geometry.findings, self.geometry.mask_bins)
        size = self.geometry.mask_size
        masks = np.zeros((count, size, size), np.float32)
        best = sorted(self._scene.lesions, key=lambda x: -(x.benign + x.malignant))
        for row, lesion in enumerate(best[:count]):
            masks[row] = lesion.mask
        return {"masks": masks}

    def _denoise_mg(self, inputs: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
        noisy = _array(inputs["noisy"], (1, 1, *self.geometry.input_size), np.float32)
        return {"noise": np.zeros_like(noisy)}

    def _samples(self, inputs: Mapping[str, Tensor], count: int, bins: int) -> int:
        kept = inputs["pyramid"]
        assert isinstance(kept, DeviceTensor)
        assert kept.handle == self._runs, "the pyramid of an earlier image"
        shape = (count, bins * bins, self.geometry.samples_per_row)
        rows = _array(inputs["rows"], shape, np.int32)
        assert rows.min() >= 0
        assert rows.max() < self.geometry.pyramid_rows
        _array(inputs["weights"], shape, np.float32)
        return count


def fake_model(geometry: Geometry = GEOMETRY, *, head_weight: float = 0.5) -> BundleModel:
    """A model for the fake engine: findings from 0.3, positive from 0.5."""
    own = ModalityModel(
        network="fake",
        stages=DetectorStages(),
        geometry=geometry,
        normalisation=Normalisation((1.0, 99.7), 0.35, 0.25),
        denoiser=None,
        finding_threshold=0.3,
        scoring=Scoring(head_weight, 0.3, 0.5),
    )
    return BundleModel(
        ModelInfo("fake", "1.0", "ab" * 32, "fake 1.0", {m.value: 0.5 for m in Modality}),
        dict.fromkeys(Modality, own),
    )


def _array(value: Tensor, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """What a compiled stage insists on."""
    assert isinstance(value, np.ndarray)
    assert (value.shape, value.dtype) == (shape, np.dtype(dtype))
    return value


def _free_anchor(
    box: NDArray[np.float32], anchors: NDArray[np.float32], objectness: NDArray[np.float32]
) -> int:
    """The nearest anchor to a box that no other lesion took."""
    away = np.abs(anchors - box).sum(axis=1)
    away[objectness > -9] = np.inf
    return int(away.argmin())


class BundleFake(Engine):
    """Every network of a bundle as a FakeEngine of one scene, its stages by their qualified names.

    calls: of all of them, by the stages' own names.
    """

    runtime = "fake 1.0"

    def __init__(self, bundle: Bundle, scene: Scene, fault: str | None = None) -> None:
        self._own = {
            stage: (network, own)
            for network, entry in bundle.networks.items()
            for own, stage in entry.stages.items()
        }
        self._engines = {
            name: FakeEngine((scene,), Geometry.from_manifest(network.entry["geometry"]), fault)
            for name, network in bundle.networks.items()
            if "geometry" in network.entry
        }

    def run(
        self, stage: str, inputs: Mapping[str, Tensor], keep: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        network, own = self._own[stage]
        if network not in self._engines:  # an image of any kind is what it was sent as
            return {"kind": np.array([[0.5, 0.5, 0.0]], np.float32)}
        return self._engines[network].run(own, inputs, keep)

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    @property
    def calls(self) -> list[tuple[str, dict[str, Tensor]]]:
        return [call for engine in self._engines.values() for call in engine.calls]

    @property
    def closed(self) -> bool:
        return all(engine.closed for engine in self._engines.values())
