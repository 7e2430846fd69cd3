"""Real pictures through both doors, command line and HTTP: one answer, in the image's own frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from pycocotools import mask as coco
from service_bench import serving, until
from typer.testing import CliRunner

from mammosono.appliance.cli import app
from mammosono.appliance.output.document import Result
from mammosono.appliance.values import Modality
from mammosono.tools.data.index import Record, read_index

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "index.csv").is_file(), reason="the labelled images are not beside the checkout"
    ),
]


@pytest.fixture(
    scope="module",
    params=[("malignant", "malignant"), ("benign", "normal")],
    ids=lambda labels: "-".join(labels),
)
def pair(request: pytest.FixtureRequest) -> tuple[Record, Record]:
    """A mammogram and an ultrasound image that no training has seen."""
    mammogram, ultrasound = request.param
    test = [record for record in read_index(DATA / "index.csv") if record.split == "test"]
    return (
        next(r for r in test if r.modality is Modality.MG and r.label == mammogram),
        next(r for r in test if r.modality is Modality.US and r.label == ultrasound),
    )


@pytest.fixture(scope="module")
def document(pair: tuple[Record, Record]) -> dict[str, Any]:
    """What `mammosono read --json` prints."""
    mammogram, ultrasound = (str(record.image) for record in pair)
    result = CliRunner().invoke(
        app, ["read", "--mammogram", mammogram, "--ultrasound", ultrasound, "--json"]
    )
    assert result.exit_code == 0, result.output
    read: dict[str, Any] = json.loads(result.stdout)
    return read


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(None) as client:
        until(lambda: client.get("/readyz").status_code == 200)
        yield client


def test_the_document_is_the_interfaces_and_complete(
    document: dict[str, Any], pair: tuple[Record, Record]
) -> None:
    Result.model_validate_json(json.dumps(document), strict=False)
    assert document["status"] == "done"
    assert document["verdict"] in ("positive", "negative")
    assert not document["incomplete"]
    for image, record in zip(document["images"], pair, strict=True):
        pixels = cv2.imread(str(record.image), cv2.IMREAD_GRAYSCALE)
        assert image["modality"] == record.modality.value
        assert (image["height"], image["width"]) == pixels.shape


# pycocotools is built for an older numpy, which did not ask for `copy`.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_decode_to_the_images_size_and_lie_in_their_boxes(document: dict[str, Any]) -> None:
    for image in document["images"]:
        size = [image["height"], image["width"]]
        for finding in image["findings"]:
            mask = coco.decode(finding["mask"])
            assert list(mask.shape) == finding["mask"]["size"] == size
            assert mask.sum() == finding["area_px"] > 0
            x0, y0, x1, y1 = finding["box"]
            rows, columns = np.nonzero(mask)
            assert x0 - 1 <= columns.min() <= columns.max() < x1 + 1
            assert y0 - 1 <= rows.min() <= rows.max() < y1 + 1


def test_boxes_and_contours_are_inside_the_image(document: dict[str, Any]) -> None:
    for image in document["images"]:
        limit = np.array([image["width"], image["height"]])
        for finding in image["findings"]:
            low, high = np.array(finding["box"]).reshape(2, 2)
            assert (low >= 0).all()
            assert (low < high).all()
            assert (high <= limit).all()
            points = np.array([*finding["contour"], finding["centroid"]])
            assert ((points >= 0) & (points <= limit)).all()


def test_the_service_answers_the_same_for_the_same_bytes(
    document: dict[str, Any], pair: tuple[Record, Record], client: httpx.Client
) -> None:
    names = ("mammogram", "ultrasound")
    files = [(n, (r.image.name, r.image.read_bytes())) for n, r in zip(names, pair, strict=True)]
    response = client.post("/v1/studies", files=files, params={"wait": 300})
    assert response.status_code == 200, response.text
    assert without_run(response.json()) == without_run(document)


def without_run(document: dict[str, Any]) -> dict[str, Any]:
    """The answer without what differs from run to run: the study's name and the milliseconds."""
    return {key: value for key, value in document.items() if key not in ("id", "timings_ms")}
