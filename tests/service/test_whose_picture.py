"""Two patients, an image twice and two breasts, over HTTP and on the command line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeEngine, Scene, fake_model
from files import dicom, png
from service_bench import problem, running
from typer.testing import CliRunner, Result

from mammosono.appliance.cli import app
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.values import Label, Modality

JANE = {"PatientID": "4711-JANE", "PatientName": "Musterfrau^Jane", "PatientBirthDate": "19610203"}
MARY = {"PatientID": "4712-MARY", "PatientName": "Beispiel^Mary", "PatientBirthDate": "19550101"}
WHO = ("4711-J", "4712-M", "-JANE", "^Jane", "-MARY", "^Mary", "usterfrau", "eispiel",
       "19610203", "19550101")  # fmt: skip


class OpenReader(Reader):
    """A real reader over a network that sees nothing; the command line opens it, too."""

    gate = property(lambda self: self)

    def set(self) -> None: ...

    @classmethod
    def open(cls, *_: Any, **__: Any) -> OpenReader:
        return cls(FakeEngine([Scene()]), fake_model(), threads=1)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(OpenReader.open()) as client:  # type: ignore[arg-type]
        yield client


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammosono.appliance.pipeline.reader.Reader", OpenReader)


def film(seed: int = 1, **elements: Any) -> bytes:
    drawn = phantom(Modality.MG, seed, Label.BENIGN, height=300, width=210).pixels
    return dicom(drawn, modality="MG", **{"PatientID": None, "PatientName": None} | elements)


def echo(seed: int = 1, **elements: Any) -> bytes:
    drawn = phantom(Modality.US, seed, Label.BENIGN, height=200, width=260).pixels
    return dicom(drawn, modality="US", **{"PatientID": None, "PatientName": None} | elements)


def post(client: httpx.Client, *parts: tuple[str, bytes], wait: int = 30) -> httpx.Response:
    return client.post(f"/v1/studies?wait={wait}", files=list(parts))


def on_the_command_line(
    folder: Path, *parts: tuple[str, bytes], url: httpx.URL | None = None
) -> Result:
    """`mammosono read`; with a url, `mammosono post`."""
    arguments = ["post", "--url", str(url)] if url else ["read"]
    for number, (part, data) in enumerate(parts):
        (folder / f"{number}").write_bytes(data)
        arguments += [f"--{part}", str(folder / f"{number}")]
    return CliRunner().invoke(app, [*arguments, "--json"])


TWO_PATIENTS = [("mammogram", film(**JANE)), ("ultrasound", echo(**MARY))]
ANY = png(phantom(Modality.MG, 1, Label.BENIGN, height=300, width=210).pixels)
TWICE = [[("mammogram", ANY)] * 2, [("mammogram", ANY), ("ultrasound", ANY)]]


def test_two_patients_are_refused_over_http(client: httpx.Client) -> None:
    refused = post(client, *TWO_PATIENTS)
    problem(refused, 422, "patients_differ")
    assert not any(word in refused.text for word in WHO)


def test_a_study_that_was_acknowledged_before_fails_with_the_code(client: httpx.Client) -> None:
    taken = post(client, *TWO_PATIENTS, wait=0)
    study = taken.json()
    while study["status"] in ("queued", "reading"):
        study = client.get(f"/v1/studies/{taken.json()['id']}").json()
    assert study["status"] == "failed"
    assert study["problem"]["code"] == "patients_differ"


def test_two_patients_are_refused_on_the_command_line(tmp_path: Path) -> None:
    refused = on_the_command_line(tmp_path, *TWO_PATIENTS)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "patients_differ" in refused.stderr
    assert not any(word in refused.stderr for word in WHO)


def test_two_patients_are_refused_to_the_client(client: httpx.Client, tmp_path: Path) -> None:
    refused = on_the_command_line(tmp_path, *TWO_PATIENTS, url=client.base_url)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "patients_differ" in refused.stderr


@pytest.mark.parametrize("parts", TWICE, ids=["in one place", "in both"])
def test_an_image_twice_is_refused(client, tmp_path, parts) -> None:
    problem(post(client, *parts), 422, "repeated_image")
    refused = on_the_command_line(tmp_path, *parts)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "repeated_image" in refused.stderr


def test_one_who_is_named_beside_one_who_is_not_is_read_with_a_warning(client, tmp_path) -> None:
    parts = [("mammogram", film(**JANE)), ("ultrasound", echo())]
    for document in (
        post(client, *parts).json(),
        json.loads(on_the_command_line(tmp_path, *parts).stdout),
    ):
        assert document["reasons"] == ["patient_unconfirmed"]
        assert document["verdict"] == "negative"


def test_films_of_the_left_and_ultrasound_of_the_right_are_never_negative(client, tmp_path) -> None:
    for side, verdict, reasons in (("L", "negative", []), ("R", "indeterminate", ["sides_differ"])):
        parts = [
            ("mammogram", film(ImageLaterality="L", **JANE)),
            ("ultrasound", echo(Laterality=side, **JANE)),
        ]
        for document in (
            post(client, *parts).json(),
            json.loads(on_the_command_line(tmp_path, *parts).stdout),
        ):
            assert (document["verdict"], document["reasons"]) == (verdict, reasons)


def test_nothing_of_who_is_kept_or_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd
) -> None:
    """In results, problems, the database, the log; the posted files themselves are as posted.

    What is kept is looked at when the service has ended: it writes and renames files to the last.
    """
    opened = running(OpenReader.open(), state=tmp_path)  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG), opened as client:
        read = post(client, ("mammogram", film(2, **JANE)), ("ultrasound", echo(2, **JANE)))
        refused = post(client, *TWO_PATIENTS)
    problem(refused, 422, "patients_differ")
    assert read.json()["status"] == "done"
    captured = capfd.readouterr()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "uploads" not in path.parts]
    kept = [path.read_bytes().decode("latin-1") for path in files]
    assert any(read.json()["id"] in text for text in kept)
    for text in (read.text, *kept, caplog.text, captured.out, captured.err):
        assert not any(word in text for word in WHO)


def test_side_and_view_and_name_are_in_the_result_with_who_said_so(client, tmp_path) -> None:
    raster = png(phantom(Modality.MG, 7, Label.BENIGN, height=300, width=210).pixels)
    header = film(8, ImageLaterality="R", ViewPosition="CC")
    posted = client.post(
        "/v1/studies",
        files=[("mammogram", ("a\x1b.dcm", header)), ("mammogram", ("../b.png", raster))],
        data={"laterality": ["", "R"], "view": ["", "MLO"]},
    ).json()
    told = ("name", "laterality", "laterality_from", "view", "view_from")
    assert [[image[key] for key in told] for image in posted["images"]] == [
        ["a.dcm", "R", "header", "CC", "header"],
        ["b.png", "R", "form", "MLO", "form"],
    ]
    (tmp_path / "R_MLO.png").write_bytes(raster)
    read = CliRunner().invoke(app, ["read", "--json", "-m", str(tmp_path / "R_MLO.png")])
    (image,) = json.loads(read.stdout)["images"]
    assert [image[key] for key in told] == ["R_MLO.png", "R", "file_name", "MLO", "file_name"]
    shown = CliRunner().invoke(
        app, ["post", "--url", str(client.base_url), "-m", str(tmp_path / "R_MLO.png")]
    )
    assert "(R MLO, by file name, R_MLO.png, 210 x 300 px)" in shown.stdout


def test_the_client_says_sides_and_views_as_the_form_does(client, tmp_path) -> None:
    for seed in (1, 2):
        drawn = phantom(Modality.MG, seed, Label.BENIGN, height=300, width=210).pixels
        (tmp_path / f"{seed}.png").write_bytes(png(drawn))
    files = ["-m", str(tmp_path / "1.png"), "-m", str(tmp_path / "2.png")]
    post = ["post", "--url", str(client.base_url), "--json", "--study", "ward-7", *files]
    views = ["--view", "CC", "--view", "MLO"]
    for _ in range(2):
        posted = CliRunner().invoke(app, [*post, "--laterality", "R", *views])
        images = json.loads(posted.stdout)["images"]
        assert [(image["laterality"], image["view"]) for image in images] == [
            ("R", "CC"),
            ("R", "MLO"),
        ]
    refused = CliRunner().invoke(app, [*post, "--laterality", "L", *views])
    assert refused.exit_code == 2
    assert "study_conflict" in refused.stderr
    refused = CliRunner().invoke(app, [*post[:4], *files, "--laterality", "X"])
    assert refused.exit_code == 2
    assert "invalid_field" in refused.stderr
