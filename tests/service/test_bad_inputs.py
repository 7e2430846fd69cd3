"""Odd and broken images over HTTP, and docs/bad-inputs.md: each kind has its code and its test."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import files
import httpx
import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
)
from service_bench import FakeReader, problem, running, study, until

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"

GREY = files.picture(96, 80)
DEEP = files.picture(96, 80, levels=65536)
MEBI = 2**20


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(FakeReader()) as client:
        yield client


def post(client: httpx.Client, data: bytes, part: str = "ultrasound") -> httpx.Response:
    return client.post("/v1/studies", files=[(part, data)])


def dicom(edit: Callable[[FileDataset], object] = lambda ds: None, **elements: Any) -> bytes:
    return files.dicom(GREY, edit, **elements)


def with_value(keyword: str, vr: str, value: Any) -> Callable[[FileDataset], None]:
    def edit(ds: FileDataset) -> None:
        del ds[keyword]
        ds.add_new(keyword, vr, value)

    return edit


def palette_too_short(ds: FileDataset) -> None:
    """Pixels reach beyond the table."""
    ds.PhotometricInterpretation = "PALETTE COLOR"
    for channel in ("Red", "Green", "Blue"):
        setattr(ds, f"{channel}PaletteColorLookupTableDescriptor", [100, 0, 8])
        setattr(ds, f"{channel}PaletteColorLookupTableData", bytes(100))


def floating(ds: FileDataset) -> None:
    ds.FloatPixelData = bytes(4 * GREY.size)
    del ds.PixelData


def directory(ds: FileDataset) -> None:
    """A DICOMDIR: a list of files and no picture."""
    for keyword in ("Rows", "Columns", "PixelData", "Modality"):
        delattr(ds, keyword)
    ds.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    ds.DirectoryRecordSequence = []


def float_tiff(*oddities: float) -> bytes:
    pixels = GREY.astype(np.float32)
    pixels.flat[: len(oddities)] = oddities
    return files.tiff(pixels)


WHOLE = dicom()
REFUSED = {
    "all black": (files.png(np.zeros_like(GREY)), "no_content"),
    "all white": (files.jpeg(np.full_like(GREY, 255)), "no_content"),
    "one grey of 16 bits": (files.tiff(np.full_like(DEEP, 9000)), "no_content"),
    "NaN in a TIFF": (float_tiff(np.nan), "no_content"),
    "Inf in a TIFF": (float_tiff(np.inf), "no_content"),
    "a data set without the DICOM prefix": (WHOLE[132:], "corrupt_dicom"),
    "pixels shorter than stated": (WHOLE[:-2], "corrupt_dicom"),
    "pixels of two pictures": (
        dicom(lambda ds: setattr(ds, "PixelData", 2 * ds.PixelData)),
        "corrupt_dicom",
    ),
    "Rows as UL": (dicom(with_value("Rows", "UL", 96)), "corrupt_dicom"),
    "0 Rows": (dicom(Rows=0), "corrupt_dicom"),
    "65 535 Rows": (dicom(Rows=65535), "image_too_large"),
    "1 bit allocated": (dicom(BitsAllocated=1), "unsupported_dicom"),
    "12 bits allocated": (dicom(BitsAllocated=12), "unsupported_dicom"),
    "64 bits allocated": (dicom(BitsAllocated=64), "unsupported_dicom"),
    "2 samples a pixel": (dicom(SamplesPerPixel=2), "corrupt_dicom"),
    "-1 frames": (dicom(NumberOfFrames=-1), "corrupt_dicom"),
    "a million frames": (dicom(NumberOfFrames=10**6), "multi_frame"),
    "values outside the palette": (dicom(palette_too_short), "corrupt_dicom"),
    "floating-point pixels": (dicom(floating), "unsupported_dicom"),
    "deflated": (
        files.with_transfer_syntax(WHOLE, DeflatedExplicitVRLittleEndian),
        "unsupported_transfer_syntax",
    ),
    "labelled JPEG-LS and none": (
        files.with_transfer_syntax(WHOLE, JPEGLSLossless),
        "corrupt_dicom",
    ),
    "a DICOMDIR": (dicom(directory), "unsupported_dicom"),
    "no picture at all": (dicom(Rows=None, Columns=None, PixelData=None), "unsupported_dicom"),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_an_image_that_cannot_be_read_is_refused_by_its_code(
    client: httpx.Client, data: bytes, code: str
) -> None:
    response = post(client, data)
    detail = problem(response, 415 if code.startswith("unsupported_t") else 422, code)["detail"]
    assert detail.startswith("ultrasound 1: ")
    assert "Doe" not in response.text


def bilevel() -> bytes:
    pixels = (GREY > 127).astype(np.uint8) * 255
    return cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_BILEVEL, 1))[1].tobytes()


READ = {
    "16 bits": files.png(DEEP),
    "RGBA": files.png(np.dstack([GREY, GREY, GREY, np.full_like(GREY, 7)])),
    "1 bit": bilevel(),
    "CMYK": files.tiff(np.dstack([255 - GREY] * 3 + [np.zeros_like(GREY)]), photometric=5),
    "without its modality": dicom(Modality=None),
    "a private element of VR UN": dicom(lambda ds: ds.add_new((0x0009, 0x1001), "UN", b"Doe^J")),
    "a name in a charset that it is not of": dicom(SpecificCharacterSet="ISO_IR 100").replace(
        b"ISO_IR 100", b"ISO_IR 999"
    ),
    "a megabyte of text in a PNG": files.with_png_chunk(
        files.png(GREY), b"tEXt", b"Comment\0" + bytes(MEBI)
    ),
}


@pytest.mark.parametrize("data", READ.values(), ids=READ.keys())
def test_an_unusual_image_is_read_and_always_alike(client: httpx.Client, data: bytes) -> None:
    documents = [post(client, data).json() for _ in range(2)]
    for document in documents:
        assert document["status"] == "done", document
        (image,) = document["images"]
        assert (image["width"], image["height"]) == (80, 96)
        for changing in ("id", "timings_ms"):
            document.pop(changing)
    assert documents[0] == documents[1]
    assert "Doe" not in str(documents)


def original(client: httpx.Client, data: bytes) -> Any:
    """The image as the appliance shows it."""
    study_id = post(client, data).json()["id"]
    png = client.get(f"/v1/studies/{study_id}/images/0/original.png").content
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def test_an_image_that_its_camera_turned_is_read_upright(client: httpx.Client) -> None:
    (image,) = post(client, files.jpeg(GREY, orientation=6)).json()["images"]
    assert (image["width"], image["height"]) == (96, 80)
    assert original(client, files.jpeg(GREY, orientation=6)).shape == (80, 96)


def test_monochrome1_is_shown_with_dense_as_bright(client: httpx.Client) -> None:
    inverted = dicom(PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(original(client, inverted), 255 - original(client, dicom()))


def test_colour_doppler_and_burnt_in_text_are_read_with_a_warning(client: httpx.Client) -> None:
    doppler = post(client, files.png(files.coloured(GREY))).json()["images"][0]
    assert any("Doppler" in warning for warning in doppler["warnings"])
    labelled = post(client, dicom(BurnedInAnnotation="YES")).json()["images"][0]
    assert any("text" in warning for warning in labelled["warnings"])


@pytest.mark.parametrize(("part", "stated"), [("mammogram", "US"), ("ultrasound", "MG")])
def test_a_modality_in_the_other_s_place_is_refused(
    client: httpx.Client, part: str, stated: str
) -> None:
    response = post(client, files.dicom(GREY, modality=stated), part)
    problem(response, 422, "modality_mismatch")


def test_who_hangs_up_while_the_study_waits_leaves_an_appliance_that_goes_on() -> None:
    reader = FakeReader()
    reader.gate.clear()
    with running(reader, queue_length=4) as client:
        request = client.build_request("POST", "/v1/studies?wait=60", **study())
        body = request.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        address = (client.base_url.host, client.base_url.port or 80)
        for number in range(3):
            with socket.create_connection(address, 60) as connection:
                connection.sendall(f"POST /v1/studies?wait=60 HTTP/1.1\r\n{head}\r\n".encode())
                connection.sendall(body)
                until(lambda number=number: len(listed(client)) > number)
        reader.gate.set()
        assert client.post("/v1/studies", **study()).status_code == 200
        # It could be that only the answer was lost: what was taken is read, each once.
        until(lambda: {s["status"] for s in listed(client)} == {"done"})
        assert reader.readings == 4


def listed(client: httpx.Client) -> list[dict[str, Any]]:
    studies: list[dict[str, Any]] = client.get("/v1/studies").json()["studies"]
    return studies


# docs/bad-inputs.md and docs/files.md

TABLE = (DOCS / "bad-inputs.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", TABLE, re.MULTILINE)


def test_every_kind_of_bad_input_has_a_row() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 26))


def test_every_test_and_every_place_of_the_table_of_files_exists() -> None:
    table = (DOCS / "files.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in table.splitlines() if "`test_" in line]
    assert len(rows) > 15
    for *_, places, tests in rows:
        for place in re.findall(r"`(\w+\.py)`", places):
            assert list((DOCS.parent / "appliance").rglob(place)), place
        for module, test in re.findall(r"`(test_\w+)::(test_\w+)`", tests):
            source = next(TESTS.rglob(f"{module}.py")).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{module}::{test}"


def test_every_attack_has_its_number_and_a_test_that_exists() -> None:
    rows = re.findall(
        r"^\| (\d+) \| .+ \| (.+) \|$", (DOCS / "attacks.md").read_text("utf-8"), re.MULTILINE
    )
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 52
    without = [number for number, tests in rows if "`test_" not in tests]
    assert without == ["50"]
    for _, tests in rows:
        named = re.findall(r"`(test_\w+)::(test_\w+)`", tests)
        assert tests.count("`") == 2 * len(named), tests
        for module, test in named:
            source = next(TESTS.rglob(f"{module}.py")).read_text(encoding="utf-8")
            assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{module}::{test}"


@pytest.mark.parametrize("row", ROWS, ids=[f"row {row[0]}" for row in ROWS])
def test_every_test_and_every_code_of_the_table_exists(row: tuple[str, ...]) -> None:
    _, _, answer, tests = row
    named = re.findall(r"`(test_\w+)::(test_\w+)`", tests)
    assert named
    assert tests.count("`") == 2 * len(named), tests
    for module, test in named:
        source = next(TESTS.rglob(f"{module}.py")).read_text(encoding="utf-8")
        assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{module}::{test}"
    contract = (DOCS / "http.md").read_text(encoding="utf-8")
    for code in re.findall(r"`([a-z_]+)`", answer):
        assert f"`{code}`" in contract, code
