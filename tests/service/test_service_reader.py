"""The service with the real reader and the bundle that ships with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import files
import httpx
import numpy as np
import pytest
from pycocotools import mask as coco
from service_bench import problem, serving, until

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.document import Result
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Label, Modality, Posted
from mammosono.engines.options import EngineOptions

pytestmark = pytest.mark.slow

MAMMOGRAM = files.png(phantom(Modality.MG, 3, Label.MALIGNANT, height=320, width=240).pixels)
ULTRASOUND = files.png(phantom(Modality.US, 5, Label.BENIGN, height=240, width=280).pixels)
PAIR = [("mammogram", MAMMOGRAM), ("ultrasound", ULTRASOUND)]


def opened(client: httpx.Client) -> httpx.Response:
    """What /readyz says once the bundle was tried."""
    until(lambda: "is being loaded" not in client.get("/readyz").text)
    return client.get("/readyz")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(None, threads=1) as client:
        assert opened(client).status_code == 200, opened(client).text
        yield client


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
def test_a_pair_over_http_is_read_as_by_the_reader_itself(client: httpx.Client) -> None:
    response = client.post("/v1/studies", files=PAIR)
    assert response.status_code == 200, response.text
    Result.model_validate_json(response.content)
    over_http = response.json()

    reader = Reader.open(options=EngineOptions(threads=1))
    named = Posted("upload")  # as httpx calls what has no name
    images = [
        read_image(MAMMOGRAM, Modality.MG, posted=named),
        read_image(ULTRASOUND, Modality.US, posted=named),
    ]
    direct = Result.of(over_http["id"], reader.read(images)).document()
    reader.close()
    for document in (over_http, direct):
        assert document.pop("timings_ms")["total"] > 0
    assert over_http == direct

    for image in over_http["images"]:
        for finding in image["findings"]:
            assert coco.decode(finding["mask"]).shape == (image["height"], image["width"])


def test_the_same_pair_is_answered_the_same_twice(client: httpx.Client) -> None:
    first, second = (client.post("/v1/studies", files=PAIR).json() for _ in range(2))
    for document in (first, second):
        del document["id"], document["timings_ms"]
    assert first == second


def test_a_bundle_with_one_wrong_byte_is_never_run(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(SHIPPED, bundle)
    stage = next(bundle.glob("*.onnx"))
    data = np.fromfile(stage, np.uint8)
    data[data.size // 2] ^= 1
    data.tofile(stage)
    with serving(None, bundle=bundle, threads=1) as client:
        refusals = [opened(client), client.post("/v1/studies", files=PAIR)]
        for response in refusals:
            detail = problem(response, 503, "engine_unavailable")["detail"]
            assert str(tmp_path) not in detail
        assert client.get("/healthz").status_code == 200
