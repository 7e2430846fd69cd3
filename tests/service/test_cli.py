"""The command line: what is printed, what is written, how it ends."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from types import SimpleNamespace

import cv2
import pytest
import readings
from service_bench import FakeReader
from typer.testing import CliRunner

from mammosono.appliance import __version__
from mammosono.appliance.cli import app
from mammosono.appliance.errors import ModelFault, ModelUnavailable
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.render import grey_png
from mammosono.appliance.output.rle import decode
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.model import SHIPPED
from mammosono.appliance.pipeline.prepare import source
from mammosono.appliance.settings import Settings
from mammosono.appliance.values import Label, Laterality, Modality, Origin, Rle, Verdict

SIZE = (90, 110)


class HandReader(FakeReader):
    """Stands in for the reader: every mammogram is positive, every ultrasound negative."""

    def __init__(self):
        super().__init__()
        self.bundle, self.seen = None, ()

    def open(self, bundle=None, threads=None):
        self.bundle = bundle
        return self

    def read(self, images):
        self.seen = tuple(map(source, images))
        return readings.of_exam(self.seen, self.see)

    def see(self, index, image):
        verdict = Verdict.POSITIVE if image.modality is Modality.MG else Verdict.NEGATIVE
        size = (image.height, image.width)
        read = readings.image(index, image.modality, verdict, size=size, score=0.5)
        return readings.as_seen(read, image)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True


@pytest.fixture
def reader(monkeypatch):
    stand_in = HandReader()
    monkeypatch.setattr("mammosono.appliance.pipeline.reader.Reader", stand_in)
    return stand_in


@pytest.fixture
def mammogram(tmp_path):
    return written(tmp_path / "m.png", Modality.MG)


@pytest.fixture
def ultrasound(tmp_path):
    return written(tmp_path / "u.png", Modality.US)


def written(file, modality):
    picture = phantom(modality, 1, Label.BENIGN, height=SIZE[0], width=SIZE[1])
    file.write_bytes(grey_png(picture.pixels))
    return file


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def refused(result):
    """The one line on standard error of a refused command."""
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_read_prints_the_fused_verdict_first(reader, mammogram, ultrasound):
    result = run("read", "--mammogram", mammogram, "--ultrasound", ultrasound)
    assert result.exit_code == 0
    assert result.stdout.startswith("fused  POSITIVE")
    assert reader.closed


def test_json_is_the_document_and_nothing_else(reader, mammogram, ultrasound):
    result = run("read", "-u", ultrasound, "-m", mammogram, "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert document == Result.of(document["id"], reader.read(reader.seen)).document()
    assert [image["modality"] for image in document["images"]] == ["MG", "US"]


def test_the_study_id_follows_from_the_images(reader, mammogram, ultrasound):
    first, second = (
        json.loads(run("read", "-m", mammogram, "-u", ultrasound, "--json").stdout)["id"]
        for _ in range(2)
    )
    hashes = "".join(hashlib.sha256(f.read_bytes()).hexdigest() for f in (mammogram, ultrasound))
    assert first == second == hashlib.sha256(hashes.encode()).hexdigest()[:16]
    assert json.loads(run("read", "-m", mammogram, "--json").stdout)["id"] != first


def test_out_holds_what_was_printed(reader, mammogram, ultrasound, tmp_path):
    out = tmp_path / "out"
    printed = run("read", "-m", mammogram, "-u", ultrasound, "--out", out, "--json").stdout
    assert (out / "result.json").read_text() == printed
    assert (out / "report.html").exists()
    assert cv2.imread(str(out / "overlay_1.png")).shape[:2] == SIZE


def test_images_repeat_up_to_24_of_a_modality_or_as_many_as_are_set(reader, mammogram, monkeypatch):
    most = ["-m", mammogram] * 24
    assert run("read", *most).exit_code == 0
    assert len(reader.seen) == 24
    line = refused(run("read", *most, "-m", mammogram))
    assert "up to 24 images" in line
    assert "MAMMOSONO_MAX_IMAGES" in line
    assert line.endswith("(too_many_files)")
    monkeypatch.setenv("MAMMOSONO_MAX_IMAGES", "25")
    assert run("read", *most, "-m", mammogram).exit_code == 0


def test_without_an_image_it_is_refused(reader):
    line = refused(run("read"))
    assert line.startswith("error: ")
    assert line.endswith("(missing_modality)")


def test_the_bundle_is_passed_on(reader, mammogram, tmp_path):
    run("read", "-m", mammogram, "--bundle", tmp_path)
    assert reader.bundle == tmp_path


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_file"), (b"hello, world" * 9, "unsupported_format")],
)
def test_a_bad_file_is_refused_by_its_base_name(reader, tmp_path, content, code):
    file = tmp_path / "secret" / "bad.png"
    file.parent.mkdir()
    file.write_bytes(content)
    line = refused(run("read", "--ultrasound", file))
    assert line.startswith("error: bad.png: ")
    assert line.endswith(f"({code})")
    assert "secret" not in line


def test_a_truncated_picture_is_refused(reader, mammogram):
    mammogram.write_bytes(mammogram.read_bytes()[:-500])
    assert refused(run("read", "-m", mammogram)).endswith("(corrupt_image)")


def test_a_missing_file_and_a_folder_are_refused(reader, tmp_path):
    for file in (tmp_path / "none.png", tmp_path):
        line = refused(run("read", "-m", file))
        assert line.startswith(f"error: {file.name}: cannot be read: ")
        assert line.endswith("(unreadable_file)")


def test_of_a_folder_it_is_said_what_to_do(reader, tmp_path):
    line = refused(run("read", "-u", tmp_path))
    assert "it is a folder; give each of its images" in line
    assert "mammosono watch" in line


def seen(reader):
    return [(image.laterality, image.view, image.laterality_from) for image in reader.seen]


def test_side_and_view_may_be_said_once_or_of_each_image(reader, mammogram, ultrasound):
    left, right, form = Laterality.LEFT, Laterality.RIGHT, Origin.FORM
    pair = ("read", "-u", ultrasound, "-m", mammogram)
    run(*pair, "--laterality", "l", "--view", "MLO")
    assert seen(reader) == [(left, "MLO", form), (left, None, form)]
    run(*pair, "--laterality", "R", "--laterality", "", "--view", "cc", "--view", "")
    assert seen(reader) == [(right, "CC", form), (None, None, None)]
    shown = run(*pair, "--laterality", "R", "--view", "MLO")
    assert "(R MLO, as posted, m.png, 110 x 90 px)" in shown.stdout
    (film, _) = json.loads(run(*pair, "--laterality", "R", "--json").stdout)["images"]
    assert (film["laterality"], film["laterality_from"], film["name"]) == ("R", "form", "m.png")


@pytest.mark.parametrize(
    "said", [("--laterality", "B"), ("--view", "up"), ("--view", "CC", "--view", "CC")]
)
def test_another_word_for_a_side_or_view_is_refused(reader, mammogram, said):
    line = refused(run("read", "-m", mammogram, *said))
    assert line.endswith("(invalid_field)")


def test_a_file_name_cannot_break_the_line(reader, tmp_path):
    file = tmp_path / "a\nb\x1b[31m.png"
    file.write_bytes(b"")
    assert refused(run("read", "-m", file)).startswith("error: a?b?[31m.png: ")


def test_an_out_folder_that_cannot_be_written_is_refused(reader, mammogram):
    line = refused(run("read", "-m", mammogram, "--out", mammogram / "out"))
    assert line.endswith("(unwritable_folder)")


@pytest.mark.parametrize("error", [ModelUnavailable, ModelFault])
def test_a_model_that_cannot_answer_is_refused_and_closed(reader, mammogram, monkeypatch, error):
    def fail(images):
        raise error("The bundle is damaged; install it again.")

    monkeypatch.setattr(reader, "read", fail)
    line = refused(run("read", "-m", mammogram))
    assert line == f"error: The bundle is damaged; install it again. ({error.code})"
    assert reader.closed


def test_demo_says_that_its_pictures_are_phantoms(reader, tmp_path):
    result = run("demo", "--out", tmp_path / "demo")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert "phantoms" in lines[0]
    assert [line.split()[0] for line in lines if line[:1].strip()][1:4] == ["fused", "MG", "US"]
    assert lines[-1].endswith("report.html")
    assert all(image.warnings[-1].code == "phantom" for image in reader.seen)
    assert "shows no patient" in (tmp_path / "demo" / "report.html").read_text()


def test_demo_reads_the_files_it_wrote(reader, tmp_path):
    run("demo", "--out", tmp_path)
    for image, name in zip(reader.seen, ("mammogram", "ultrasound"), strict=True):
        data = (tmp_path / f"{name}.png").read_bytes()
        assert image.sha256 == hashlib.sha256(data).hexdigest()


def test_the_demo_is_read_by_the_shipped_bundle(tmp_path):
    result = run("demo", "--out", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads((tmp_path / "result.json").read_text())
    assert [image["modality"] for image in document["images"]] == ["MG", "US"]
    assert document["model"]["runtime"].startswith("onnxruntime")
    assert all(0 <= image["score"] <= 1 for image in document["images"])
    for image in document["images"]:
        for finding in image["findings"]:
            mask = decode(Rle(tuple(finding["mask"]["size"]), finding["mask"]["counts"]))
            assert mask.shape == (image["height"], image["width"])
            assert mask.sum() == finding["area_px"]


def test_a_tampered_bundle_is_refused(mammogram, tmp_path):
    bundle = shutil.copytree(SHIPPED, tmp_path / "bundle")
    with next(bundle.glob("*heads.onnx")).open("ab") as stage:
        stage.write(b"x")
    line = refused(run("read", "-m", mammogram, "--bundle", bundle))
    assert line.endswith("(engine_unavailable)")
    assert str(tmp_path) not in line


def test_serve_listens_where_its_options_and_the_environment_say(monkeypatch, tmp_path):
    ran = []

    class Server:
        failed = False

        def __init__(self, application, settings):
            self.settings = settings

        def run(self, sockets):
            ran.append((self.settings, sockets[0].getsockname(), sockets[0].proto))

    monkeypatch.setenv("MAMMOSONO_PORT", "9000")
    monkeypatch.setenv("MAMMOSONO_HOST", "127.0.0.2")
    monkeypatch.setattr("mammosono.appliance.http.server.make_server", Server)
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    assert run("serve", "--port", "0", "--bundle", tmp_path).exit_code == 0
    ((settings, (host, port), protocol),) = ran
    assert (settings.host, settings.port, settings.bundle) == ("127.0.0.2", 0, tmp_path)
    assert host == "127.0.0.2"
    assert port not in (0, 9000)
    # Without it asyncio leaves Nagle's algorithm on: 40 ms for every small answer.
    assert protocol == socket.IPPROTO_TCP


def test_serve_ends_with_status_1_when_a_part_of_the_service_has_failed(monkeypatch, tmp_path):
    server = SimpleNamespace(failed=True, run=lambda sockets: None)
    monkeypatch.setattr("mammosono.appliance.http.server.make_server", lambda *_: server)
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    assert run("serve", "--port", "0", "--bundle", tmp_path).exit_code == 1


def test_serve_refuses_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        line = refused(run("serve", "--port", other.getsockname()[1]))
    assert line.startswith("error: 127.0.0.1: cannot listen: ")
    assert line.endswith("(address_unavailable)")


def test_serve_refuses_a_setting_that_does_not_fit(monkeypatch):
    monkeypatch.setenv("MAMMOSONO_QUEUE_LENGTH", "many")
    line = refused(run("serve"))
    assert line.startswith("error: queue_length: ")
    assert line.endswith("(invalid_setting)")


def test_help_and_version_are_complete():
    assert run("--version").stdout == f"mammosono {__version__}\n"
    assert all(command in run("--help").stdout for command in ("demo", "read", "serve"))
    settings = Settings.model_fields
    told = run("serve", "--help").stdout
    assert f"{settings['host'].default}" in told
    assert f"{settings['port'].default}" in told
