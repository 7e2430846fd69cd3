"""What the shipped bundle says of the demo's pair, kept so that a change of it is noticed.

After the bundle was replaced on purpose, and only then:

    python tests/golden.py

writes tests/golden/demo_pair.json anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.rle import decode
from mammosono.appliance.phantoms.demo import draw_pair
from mammosono.appliance.pipeline.model import BundleModel, open_model
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Modality, Rle
from mammosono.engines.interface import Engine
from mammosono.engines.options import EngineOptions

FILE = Path(__file__).with_name("golden") / "demo_pair.json"
KEPT = ("label", "score", "lesion_score", "box", "area_px", "mask")
SCORE, BOX_PX, AREA = 1e-3, 0.5, 0.01
"""How far a score, a side of a box and a mask (as a share of its area, and a pixel) may be off:
less than any mistake, more than another processor's rounding."""


def read_demo_pair(engine: Engine, model: BundleModel) -> list[dict[str, Any]]:
    """By image: modality, verdict, score and findings, as the result document has them."""
    with tempfile.TemporaryDirectory() as folder:
        files = draw_pair(Path(folder))
        images = [read_image(f.read_bytes(), m) for f, m in zip(files, Modality, strict=True)]
    document = Result.of("golden", Reader(engine, model, threads=1).read(images)).document()
    return [
        {key: image[key] for key in ("modality", "verdict", "score")}
        | {"findings": [{key: finding[key] for key in KEPT} for finding in image["findings"]]}
        for image in document["images"]
    ]


def differences(expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> list[str]:
    """What is not as expected, in words."""
    said = []
    for one, other in zip(expected, got, strict=True):
        what = one["modality"]
        if (one["modality"], one["verdict"]) != (other["modality"], other["verdict"]):
            said.append(f"{what}: {other['verdict']}, not {one['verdict']}")
        if abs(one["score"] - other["score"]) > SCORE:
            said.append(f"{what}: score {other['score']}, not {one['score']}")
        if len(one["findings"]) != len(other["findings"]):
            said.append(f"{what}: {len(other['findings'])} findings, not {len(one['findings'])}")
            continue
        for k, pair in enumerate(zip(one["findings"], other["findings"], strict=True)):
            said += [f"{what} finding {k}: {line}" for line in _finding(*pair)]
    return said


def _finding(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    if one["label"] != other["label"]:
        yield f"{other['label']}, not {one['label']}"
    for key in ("score", "lesion_score"):
        if abs(one[key] - other[key]) > SCORE:
            yield f"{key} {other[key]}, not {one[key]}"
    if np.abs(np.subtract(one["box"], other["box"])).max() > BOX_PX:
        yield f"box {other['box']}, not {one['box']}"
    allowed = AREA * one["area_px"] + 1
    if abs(one["area_px"] - other["area_px"]) > allowed:
        yield f"area {other['area_px']}, not {one['area_px']}"
    masks = [decode(Rle(tuple(f["mask"]["size"]), f["mask"]["counts"])) for f in (one, other)]
    # A mask of the right area in the wrong place: both rims count.
    off = int((masks[0] ^ masks[1]).sum())
    if off > 2 * allowed:
        yield f"mask {off} px off, of {one['area_px']}"


def main() -> None:
    engine, model = open_model(None, EngineOptions(threads=1))
    read = read_demo_pair(engine, model)
    if not any(image["findings"] for image in read):
        sys.exit("error: this bundle finds nothing in the demo's pair: there is no mask to keep")
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(read, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
