"""Many images in a study, and some that cannot be read: over HTTP, on the command line, through the
client and from the hot folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import files
import httpx
import numpy as np
import pytest
from fakes import FakeEngine, Scene, fake_model
from service_bench import problem, running
from test_whose_picture import OpenReader, echo, film
from typer.testing import CliRunner, Result

from mammosono.appliance.cli import app
from mammosono.appliance.output.save import PictureKind, picture_name
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.values import Label, Modality
from mammosono.appliance.workstation.client import ApplianceClient
from mammosono.appliance.workstation.hot_folder import HotFolder, Timing

BAD = files.png(files.picture())[:-40]
CLIP = files.dicom(files.picture(), NumberOfFrames=30)
"""An ultrasound clip, which cannot be read."""
Part = tuple[str, tuple[str, bytes]]


class CryingReader(OpenReader):
    """Its network takes every image for malignant."""

    @classmethod
    def open(cls, *_: Any, **__: Any) -> CryingReader:
        scene = Scene((), image=(0.0, 0.0, 1.0))
        return cls(FakeEngine([scene]), fake_model(), threads=1)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(OpenReader.open()) as client:  # type: ignore[arg-type]
        yield client


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammosono.appliance.pipeline.reader.Reader", OpenReader)


def scan(seed: int) -> bytes:
    return files.png(phantom(Modality.US, seed, Label.BENIGN, height=80, width=96).pixels)


def mammogram(seed: int) -> bytes:
    return files.png(phantom(Modality.MG, seed, Label.BENIGN, height=160, width=112).pixels)


def exam(*bad: int, data: bytes = BAD) -> list[Part]:
    """Two films and three scans, of which those at the places of `bad` are damaged, each in a way
    of its own."""
    whole = [mammogram(1), mammogram(2), scan(3), scan(4), scan(5)]
    posted = [data + bytes(k) if k in bad else each for k, each in enumerate(whole)]
    names = ["a_mg-1.png", "a_mg-2.png", "a_us-1.png", "a_us-2.png", "a_us-3.png"]
    parts = ["mammogram"] * 2 + ["ultrasound"] * 3
    return [(part, (name, one)) for part, name, one in zip(parts, names, posted, strict=True)]


def over_http(parts: list[Part], client: httpx.Client, folder: Path) -> dict[str, Any]:
    answer = client.post("/v1/studies?wait=60", files=parts)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def on_the_command_line(parts: list[Part], client: httpx.Client, folder: Path) -> dict[str, Any]:
    return dict(json.loads(run("read", parts, folder, "--json").stdout))


def through_the_client(parts: list[Part], client: httpx.Client, folder: Path) -> dict[str, Any]:
    arguments = ("--json", "--url", str(client.base_url))
    return dict(json.loads(run("post", parts, folder, *arguments).stdout))


def from_the_hot_folder(parts: list[Part], client: httpx.Client, folder: Path) -> dict[str, Any]:
    for _, (name, data) in parts:
        (folder / name).write_bytes(data)
    (answer,) = watched(folder, client)[1]
    return dict(json.loads(answer.read_bytes()))


def run(command: str, parts: list[Part], folder: Path, *more: str) -> Result:
    arguments = [command]
    for part, (name, data) in parts:
        (folder / name).write_bytes(data)
        arguments += [f"--{part}", str(folder / name)]
    return CliRunner().invoke(app, [*arguments, *more])


def watched(folder: Path, client: httpx.Client) -> tuple[list[str], list[Path]]:
    """The lines of the log, and the files that were written."""
    log: list[str] = []
    with ApplianceClient(str(client.base_url)) as appliance:
        assert HotFolder(folder, appliance, Timing(settle=0), log=log.append).look() == 1
    return log, sorted(folder.glob("*.json"))


WAYS = [over_http, on_the_command_line, through_the_client, from_the_hot_folder]
each_way = pytest.mark.parametrize("posted", WAYS)


@each_way
def test_one_bad_file_of_five_is_shown_as_not_read_and_the_others_are_read(
    client, tmp_path, posted
) -> None:
    whole = over_http(exam(), client, tmp_path)
    assert (whole["verdict"], whole["reasons"]) == ("negative", [])
    for bad, modality in ((1, "MG"), (3, "US")):
        (tmp_path / str(bad)).mkdir()
        document = posted(exam(bad), client, tmp_path / str(bad))
        assert [image["index"] for image in document["images"]] == [0, 1, 2, 3, 4]
        unread = document["images"][bad]
        assert unread["name"] == exam()[bad][1][0]
        assert (unread["verdict"], unread["score"], unread["findings"]) == (None, None, [])
        assert unread["reasons"] == ["corrupt_image"]
        assert unread["warnings"][0].startswith("The PNG file ")
        others = [image for k, image in enumerate(document["images"]) if k != bad]
        assert [image["verdict"] for image in others] == ["negative"] * 4
        scores = [image["score"] for k, image in enumerate(whole["images"]) if k != bad]
        assert [image["score"] for image in others] == scores
        assert (document["verdict"], document["decided_by"]) == ("indeterminate", [modality])
        assert document["reasons"] == ["image_not_read"]
        assert document["warnings"] == ["An image could not be read; a negative cannot be given."]
        assert document["incomplete"] is False


@each_way
def test_where_no_image_of_a_modality_can_be_read_the_study_is_incomplete(
    client, tmp_path, posted
) -> None:
    document = posted(exam(0, 1), client, tmp_path)
    assert [image["verdict"] for image in document["images"]] == [None] * 2 + ["negative"] * 3
    assert (document["verdict"], document["incomplete"]) == ("indeterminate", True)
    assert document["reasons"] == ["image_not_read", "incomplete"]
    assert document["warnings"] == ["2 images could not be read; a negative cannot be given."]


def test_where_none_can_be_read_the_study_is_refused_by_the_first(client, tmp_path) -> None:
    parts = exam(0, 1, 2, 3, 4)
    detail = problem(client.post("/v1/studies", files=parts), 422, "corrupt_image")["detail"]
    assert detail.startswith("mammogram 1: The PNG file ")
    assert detail.endswith(" None of the 5 images can be read.")
    for command, more in (("read", []), ("post", ["--url", str(client.base_url)])):
        refused = run(command, parts, tmp_path, *more)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.endswith(" None of the 5 images can be read. (corrupt_image)\n")
    assert "a_mg-1.png" in run("read", parts, tmp_path).stderr
    (tmp_path / "hot").mkdir()
    for _, (name, data) in parts:
        (tmp_path / "hot" / name).write_bytes(data)
    log, (answer,) = watched(tmp_path / "hot", client)
    assert answer.name == "a.problem.json"
    assert json.loads(answer.read_bytes())["code"] == "corrupt_image"
    assert "None of the 5 images can be read." in log[-1]


@pytest.mark.parametrize("data", [BAD, CLIP], ids=["a raster", "a clip"])
def test_a_single_file_that_cannot_be_read_is_refused_as_ever(client, tmp_path, data) -> None:
    answer = client.post("/v1/studies", files=[("ultrasound", data)])
    assert answer.status_code == 422
    assert "None of" not in answer.json()["detail"]
    refused = run("read", [("ultrasound", ("one", data))], tmp_path)
    assert refused.exit_code == 2
    assert f"({answer.json()['code']})" in refused.stderr


@each_way
def test_a_positive_beside_an_unread_image_stays_positive(tmp_path, posted, monkeypatch) -> None:
    monkeypatch.setattr("mammosono.appliance.pipeline.reader.Reader", CryingReader)
    with running(CryingReader.open()) as client:  # type: ignore[arg-type]
        document = posted(exam(1), client, tmp_path)
    assert (document["verdict"], document["decided_by"]) == ("positive", ["MG", "US"])
    assert document["reasons"] == ["image_not_read"]


def test_24_images_of_each_are_read_and_the_25th_is_refused_with_what_to_do(
    client, tmp_path
) -> None:
    films = [("mammogram", (f"a_mg-{k:02}.png", mammogram(k))) for k in range(24)]
    scans = [("ultrasound", (f"a_us-{k:02}.png", scan(k))) for k in range(24)]
    document = over_http([*films, *scans], client, tmp_path)
    assert [image["index"] for image in document["images"]] == list(range(48))
    assert document["verdict"] == "negative"
    one_more = ("ultrasound", ("a_us-24.png", scan(24)))
    refused = problem(
        client.post("/v1/studies", files=[*films, *scans, one_more]), 422, "too_many_files"
    )
    assert refused["detail"] == (
        "Post at most 24 images as ultrasound: leave out what shows the same."
    )
    assert "up to 24 images" in run("read", [*films, *scans, one_more], tmp_path).stderr
    log, (answer,) = watched(tmp_path, client)
    assert json.loads(answer.read_bytes())["code"] == "too_many_files"
    assert refused["detail"] in log[-1]


def test_the_most_images_are_a_setting_which_the_page_is_told() -> None:
    with running(OpenReader.open(), max_images=2) as client:  # type: ignore[arg-type]
        assert client.get("/v1/session").json()["max_images"] == 2
        three = [("ultrasound", scan(k)) for k in range(3)]
        refused = problem(client.post("/v1/studies", files=three), 422, "too_many_files")
        assert "at most 2 images" in refused["detail"]
        assert client.post("/v1/studies", files=three[:2]).status_code == 200


def test_an_unread_image_has_its_side_and_view_and_no_pictures(client) -> None:
    clip = files.dicom(
        files.picture(), modality="MG", NumberOfFrames=30, ImageLaterality="L", ViewPosition="MLO",
        PatientName=None, PatientID=None,
    )  # fmt: skip
    parts = [("mammogram", ("x.dcm", clip)), ("mammogram", ("R_CC.png", BAD))]
    parts += [("mammogram", ("y.png", BAD + b"y")), ("ultrasound", ("u.png", scan(1)))]
    form = {"laterality": ["", "", "R", ""], "view": ["", "", "MLO", ""]}
    document = client.post("/v1/studies", files=parts, data=form).json()
    told = ("laterality", "laterality_from", "view", "view_from", "reasons")
    assert [[image[key] for key in told] for image in document["images"][:3]] == [
        ["L", "header", "MLO", "header", ["multi_frame"]],
        ["R", "file_name", "CC", "file_name", ["corrupt_image"]],
        ["R", "form", "MLO", "form", ["corrupt_image"]],
    ]
    path = f"/v1/studies/{document['id']}/images"
    for kind in ("original", "denoised", "overlay", "mask"):
        said = problem(client.get(f"{path}/0/{kind}.png"), 404, "unknown_image")
        assert "could not be read" in said["detail"]
        assert client.get(f"{path}/3/{kind}.png").status_code == 200


def test_out_holds_the_pictures_of_the_images_that_were_read(client, tmp_path) -> None:
    out = tmp_path / "out"
    assert run("read", exam(1), tmp_path, "--out", str(out)).exit_code == 0
    assert {path.name for path in out.glob("*.png")} == {
        picture_name(kind, index) for kind in PictureKind for index in (0, 2, 3, 4)
    }
    shown = cv2.imread(str(out / "original_2.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(shown, cv2.imdecode(np.frombuffer(scan(3), np.uint8), -1))
    page = (out / "report.html").read_text()
    assert page.count("data:image/") == 3 * 4


def test_one_file_in_the_other_s_place_or_in_an_unknown_coding_leaves_the_rest(client) -> None:
    for data, code in (
        (echo(PatientName="Doe^Jane"), "modality_mismatch"),
        (files.with_transfer_syntax(film(), "1.2.3.4"), "unsupported_transfer_syntax"),
        (b"", "empty_file"),
        (b"%PDF-1.4", "unsupported_format"),
    ):
        parts = [("mammogram", film(2)), ("mammogram", data), ("ultrasound", echo(3))]
        document = client.post("/v1/studies", files=parts).json()
        assert [image["reasons"] for image in document["images"]] == [[], [code], []]
        assert document["verdict"] == "indeterminate"
        assert "Doe" not in json.dumps(document)


def test_a_file_that_cannot_be_read_still_tells_of_a_second_patient_and_of_a_repetition(
    client,
) -> None:
    clip = files.dicom(files.picture(), NumberOfFrames=30, PatientID="4712", PatientName="Roe")
    hers = film(PatientID="4711", PatientName="Musterfrau")
    refused = client.post("/v1/studies", files=[("mammogram", hers), ("ultrasound", clip)])
    problem(refused, 422, "patients_differ")
    twice = [("mammogram", film(2)), ("ultrasound", BAD), ("ultrasound", BAD)]
    assert (
        "Images 2 and 3"
        in problem(client.post("/v1/studies", files=twice), 422, "repeated_image")["detail"]
    )


def test_an_unread_view_leaves_its_breast_uncleared_and_the_other_as_it_is(client) -> None:
    """Each breast by one view; of the left another cannot be read."""
    parts = [
        ("mammogram", ("L_CC.png", mammogram(1))), ("mammogram", ("L_MLO.png", BAD)),
        ("mammogram", ("R_CC.png", mammogram(2))), ("ultrasound", ("u.png", scan(1))),
    ]  # fmt: skip
    images = client.post("/v1/studies", files=parts).json()["images"]
    assert [(image["verdict"], image["reasons"]) for image in images] == [
        ("indeterminate", ["view_not_read"]), (None, ["corrupt_image"]),
        ("negative", []), ("negative", []),
    ]  # fmt: skip


def test_the_terminal_shows_an_unread_image_in_its_place_with_why(tmp_path) -> None:
    parts = exam(1)
    parts[1] = ("mammogram", ("R_MLO.png", BAD))
    lines = run("read", parts, tmp_path).stdout.splitlines()
    at = next(k for k, line in enumerate(lines) if "NOT READ" in line)
    assert lines[0] == "fused  INDETERMINATE  The mammogram is indeterminate."
    assert lines[1].strip() == "! An image could not be read; a negative cannot be given."
    assert [line.split()[0] for line in lines if line[:2] in ("MG", "US")] == ["MG"] * 2 + [
        "US"
    ] * 3
    assert lines[at] == "MG     NOT READ       (R MLO, by file name, R_MLO.png)"
    assert lines[at + 1].strip().startswith("! The PNG file ")


def test_the_report_shows_an_unread_image_in_its_place_with_why(tmp_path) -> None:
    run("read", exam(1), tmp_path, "--out", str(tmp_path / "out"))
    text = (tmp_path / "out" / "report.html").read_text()
    films, scans = text.split("<h2>Ultrasound")
    assert films.count("<article") == 2
    assert scans.count("<article") == 3
    unread = films.split("<article")[2]
    assert "not read" in unread
    assert "a_mg-2.png" in unread
    assert "<li>The PNG file " in unread
    assert "<img" not in unread
    assert {path.name for path in (tmp_path / "out").glob("*_1.png")} == set()


def test_the_hot_folder_says_which_image_was_not_read_and_why(client, tmp_path) -> None:
    for _, (name, data) in exam(3):
        (tmp_path / name).write_bytes(data)
    log, (answer,) = watched(tmp_path, client)
    assert answer.name == "a.result.json"
    assert log[0].startswith("a: indeterminate (")
    assert log[1].startswith("a: ultrasound image 2 (a_us-2.png) not read: The PNG file ")


def test_what_was_not_read_is_counted_and_logged_by_its_code(client, caplog) -> None:
    with caplog.at_level("INFO"):
        client.post("/v1/studies", files=exam(1, 2))
    assert caplog.text.count("an image of it was not read: corrupt_image") == 2
    assert "a_mg" not in caplog.text
    assert 'mammosono_images_unread_total{code="corrupt_image"}' in client.get("/metrics").text


def test_it_is_read_the_same_when_it_is_posted_again(client) -> None:
    first, again = (
        client.post("/v1/studies", files=exam(1), data={"study_id": "twice"}).json()
        for _ in range(2)
    )
    assert first == again
