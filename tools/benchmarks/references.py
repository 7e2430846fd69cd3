"""References beside the bench: a matrix product and a plain Mask R-CNN, both in torch.

The matrix product is the ceiling: what this machine can do at best. The peer is Mask R-CNN
(He 2017) with ResNet50 and FPN in the usual shape: 256 pyramid channels, three anchors a cell on
five levels, 1000 proposals, a box head of two layers of 1024, 100 findings, a mask head of four
3x3 convolutions of 256 channels and one deconvolution to 28 x 28. Its weights are untrained: what
is computed does not depend on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mammosono.appliance.intake import read_image
from mammosono.appliance.pipeline.detector.detector import Detector
from mammosono.appliance.pipeline.detector.frame import frame
from mammosono.appliance.values import Modality
from mammosono.tools.benchmarks.figures import PeerRun
from mammosono.tools.benchmarks.workload import Posted
from mammosono.tools.network.config import PAPER_GEOMETRY, NetworkConfig
from mammosono.tools.network.model import RefinedMaskRcnn
from mammosono.tools.network.stages import HeadsStage, MasksStage, TrunkStage, stage_inputs
from mammosono.tools.network.torch_engine import TorchEngine

SIDE = 2048
_PRODUCTS = 3

USUAL_SIZE = (1088, 800)
"""(height, width): 800 px short side, and the long side of a common photograph."""
_GREY_PEAK = np.float32(255)


def matrix_product(side: int = SIDE) -> Callable[[], float]:
    """A measurement: GFLOP/s of the best of three FP32 products of two `side` x `side` matrices.

    torch's product, with as many threads as torch is set to.
    """
    a, b, out = torch.rand(side, side), torch.rand(side, side), torch.empty(side, side)

    def seconds() -> float:
        started = perf_counter()
        torch.mm(a, b, out=out)
        return perf_counter() - started

    return lambda: 2e-9 * side**3 / min(seconds() for _ in range(_PRODUCTS))


def peer_network(input_size: tuple[int, int]) -> RefinedMaskRcnn:
    """Raises ValueError unless both sides are multiples of 32."""
    geometry = replace(
        PAPER_GEOMETRY,
        input_size=input_size,
        proposals=1000,
        proposals_floor=0,
        findings=100,
        finding_nms_iou=0.5,
        mask_size=28,
    )
    network = RefinedMaskRcnn(
        NetworkConfig(
            geometry, backbone="resnet50", fpn_channels=256, box_channels=1024, mask_channels=256
        )
    )
    del network.mask_head.body[-3:-1]  # the second deconvolution, which is the refined head's
    return network


def peer_flops(input_size: tuple[int, int]) -> int:
    """Operations of one image with all proposals and findings, by torch's own count."""
    # On the meta device tensors have shapes and no numbers: nothing is computed.
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        network = peer_network(input_size)
        inputs = stage_inputs(network.config.geometry, network.config.fpn_channels)
        for name, stage in (
            ("trunk", TrunkStage(network)),
            ("heads", HeadsStage(network)),
            ("masks", MasksStage(network)),
        ):
            stage.eval()(*(inputs[name][key] for key in stage.inputs))
    return int(counter.get_total_flops())


class Peer:
    """Reads a pair as a plain Mask R-CNN would: decode, scale, network, boxes and mask grids.

    It is spared what ours does besides: denoising, masks at pixel resolution, measures, document.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        network = peer_network(input_size)
        self._input_size, self._flops = input_size, peer_flops(input_size)
        self._detector = Detector(TorchEngine(network), network.config.geometry)

    def read(self, pair: tuple[Posted, ...]) -> PeerRun:
        """Read the pair once, with a threshold of 0.

        The stages are static: 1000 proposals and 100 masks are computed to the full.
        """
        started = perf_counter()
        findings = tuple(self._read_one(posted) for posted in pair)
        milliseconds = (perf_counter() - started) * 1e3
        return PeerRun(self._input_size, self._flops, milliseconds, findings)

    def _read_one(self, posted: Posted) -> int:
        pixels = read_image(posted.data, posted.modality).pixels
        place = frame(pixels, Modality.US, self._input_size)  # as ultrasound: not cropped
        canvas = place.place(place.cut(pixels)) / _GREY_PEAK
        return len(self._detector.detect(canvas, finding_threshold=0.0).boxes)
