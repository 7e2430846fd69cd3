"""The reader process itself, with the real network: it answers what the reader answers."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from files import PATIENT, dicom, png, with_transfer_syntax
from fuzz.lossless import lossless_jpeg
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1

from mammosono.appliance.intake import read_image
from mammosono.appliance.output.document import Result
from mammosono.appliance.output.save import PictureKind, picture_name
from mammosono.appliance.phantoms.demo import draw_pair
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.studies.exam import Exam
from mammosono.appliance.studies.reader_process.job import Opening, StoredFile
from mammosono.appliance.studies.reader_process.process import COMMAND
from mammosono.appliance.values import Modality
from mammosono.engines.options import EngineOptions

pytestmark = pytest.mark.slow

ONE_THREAD = EngineOptions(threads=1, runtime="onnxruntime")


def stored(modality: Modality, path: Path) -> StoredFile:
    data = path.read_bytes() if path.exists() else b""
    return StoredFile(modality, path, hashlib.sha256(data).hexdigest())


class Child:
    """The process, spoken to directly."""

    def __init__(self, opening: Opening) -> None:
        self.process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.say(open=opening.document())

    def say(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order, default=str) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def read(self, **files: Path) -> dict[str, Any]:
        images = [stored(Modality(name), path).document() for name, path in files.items()]
        self.say(read="s", images=images, result=None)
        answer = self.hear()
        if "done" in answer:
            assert self.hear() == {"drawn": None}
        return answer

    def draw(self, folder: Path, result: dict[str, Any], index: int, **files: Path) -> Any:
        images = [stored(Modality(name), path).document() for name, path in files.items()]
        self.say(read="s", images=images, result=result, index=index, pictures=str(folder))
        assert self.hear() == {"done": result, "verdict": result["verdict"]}
        return self.hear()["drawn"]

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child(Opening(options=ONE_THREAD))
    assert "ready" in child.hear()
    yield child
    assert child.end() == 0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return draw_pair(tmp_path_factory.mktemp("pair"))


def test_the_process_answers_what_the_reader_answers(
    child: Child, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    mammogram, ultrasound = pair
    answer = child.read(MG=mammogram, US=ultrasound)
    files = [stored(Modality.MG, mammogram), stored(Modality.US, ultrasound)]
    with Reader.open(options=ONE_THREAD) as reader:
        images = Exam(files, reader.reduce, Stopwatch())
        wanted = Result.of("s", reader.read(images)).document()

    timings = answer["done"].pop("timings_ms")
    assert set(timings) >= set(wanted.pop("timings_ms")) | {"decode"}
    assert answer["done"] == json.loads(json.dumps(wanted))
    assert answer["verdict"] == wanted["verdict"]


def test_an_image_is_drawn_alone_as_the_reader_draws_it(
    child: Child, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    files = dict(zip(("MG", "US"), pair, strict=True))
    result = child.read(**files)["done"]
    assert child.draw(tmp_path, result, 1, **files) == "s"
    assert {path.name for path in tmp_path.iterdir()} == {
        picture_name(kind, 1) for kind in PictureKind
    }
    image = read_image(pair[1].read_bytes(), Modality.US)
    with Reader.open(options=ONE_THREAD) as reader:
        pictures = reader.pictures(image)
    original = cv2.imread(str(tmp_path / "original_1.png"), cv2.IMREAD_UNCHANGED)
    denoised = cv2.imread(str(tmp_path / "denoised_1.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(original, image.pixels)
    assert np.array_equal(denoised, pictures.denoised)


def test_findings_of_another_model_are_not_drawn(
    child: Child, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    result = child.read(US=pair[1])["done"]
    result["model"]["sha256"] = "cd" * 32
    assert child.draw(tmp_path, result, 0, US=pair[1]) is None
    assert not list(tmp_path.iterdir())


def test_a_bad_file_is_refused_by_its_place_and_the_next_study_is_read(
    child: Child, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    bad = tmp_path / PATIENT
    bad.write_bytes(png(np.zeros((80, 80), np.uint8))[:-30])
    refused = child.read(US=bad)["refused"]
    assert (refused["status"], refused["code"]) == (422, "corrupt_image")
    assert refused["detail"].startswith("ultrasound 1: ")
    assert refused["instance"] == "/v1/studies/s"
    assert PATIENT not in json.dumps(refused)
    assert "done" in child.read(US=pair[1])


def test_a_file_that_is_gone_is_an_answer_and_names_no_path(child: Child, tmp_path: Path) -> None:
    refused = child.read(US=tmp_path / "gone")["refused"]
    assert (refused["status"], refused["code"]) == (503, "storage_damaged")
    assert "gone" not in json.dumps(refused)


def test_a_file_that_is_not_the_posted_one_is_refused_before_it_is_decoded(
    child: Child, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    film, scan = (stored(m, path) for m, path in zip(Modality, pair, strict=True))
    swapped = {**film.document(), "path": scan.document()["path"]}
    child.say(read="s", images=[scan.document(), swapped], result=None)
    refused = child.hear()["refused"]
    assert (refused["status"], refused["code"]) == (503, "storage_damaged")
    assert refused["detail"].startswith("mammogram 1: ")


def test_pictures_that_cannot_be_written_leave_the_result(
    child: Child, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    result = child.read(US=pair[1])["done"]
    assert child.draw(tmp_path / "no such folder", result, 0, US=pair[1]) is None


def test_it_says_that_it_lives(child: Child) -> None:
    child.say(ping=7)
    assert child.hear() == {"pong": 7}


def test_a_bundle_that_cannot_be_used_is_told_and_the_process_ends(tmp_path: Path) -> None:
    child = Child(Opening(bundle=tmp_path))
    assert "manifest.json" in child.hear()["unavailable"]
    assert child.end() == 0


def test_a_study_beyond_the_memory_it_may_take_is_refused_and_the_next_is_read(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    child = Child(Opening(options=ONE_THREAD, memory_bytes=1100 * 2**20))
    assert "ready" in child.hear()
    noise = np.random.default_rng(0).integers(0, 2**16, (7000, 7000), np.uint16)
    (tmp_path / "large.png").write_bytes(
        cv2.imencode(".png", noise, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes()
    )
    images = [stored(Modality.MG, tmp_path / "large.png").document()] * 4
    child.say(read="s", images=images, result=None)
    assert child.hear()["refused"]["code"] in ("image_too_large", "corrupt_image", "internal")
    assert "done" in child.read(US=pair[1])
    child.end()


def test_a_reader_worn_by_damaged_files_makes_room_for_another_before_it_refuses_a_sound_one(
    tmp_path: Path,
) -> None:
    """Over each such file the decoder loses its pixels, 9 MiB here."""
    child = Child(Opening(options=ONE_THREAD, memory_bytes=1100 * 2**20))
    assert "ready" in child.hear()
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8)
    coded = bytearray(lossless_jpeg(noise))
    coded[-400:-2] = b"\xfe" * 398

    def damage(ds: FileDataset) -> None:
        ds.PixelData = encapsulate([bytes(coded)])

    whole = dicom(noise, damage, syntax=JPEGBaseline8Bit)
    (tmp_path / "damaged").write_bytes(with_transfer_syntax(whole, JPEGLosslessSV1))
    codes = []
    with suppress(BrokenPipeError, json.JSONDecodeError):  # it is gone
        while len(codes) < 100:
            codes.append(child.read(US=tmp_path / "damaged")["refused"]["code"])
    assert child.process.wait(60) == 0
    assert set(codes) == {"corrupt_dicom"}
    with suppress(BrokenPipeError):
        child.end()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_it_ends_with_the_service_even_by_kill(tmp_path: Path, busy: bool) -> None:
    """A stand-in for the service starts it, gives it a file that never comes, and is killed."""
    file = tmp_path / "file"
    os.mkfifo(file)
    order = {"read": "s", "images": [stored_nowhere(file)], "result": None}
    start = (
        "import subprocess, sys, json, time\n"
        "p = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        'p.stdin.write(b\'{"open": {"bundle": null, "memory_bytes": null, "options": \'\n'
        '  b\'{"threads": 1, "runtime": "onnxruntime"}}}\\n\'); p.stdin.flush()\n'
        "p.stdout.readline(); p.stdin.write(sys.argv[1].encode()); p.stdin.flush()\n"
        "print(p.pid, flush=True); time.sleep(600)\n"
    )
    said = json.dumps(order) + "\n" if busy else ""
    with subprocess.Popen(
        [sys.executable, "-c", start, said, *COMMAND], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        reader = int(service.stdout.readline())
        handle = os.pidfd_open(reader)
        writer = opened_by_the_reader(file) if busy else None
        service.send_signal(signal.SIGKILL)
    try:
        assert select.select([handle], [], [], 30)[0], "the reader outlived the service"
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
        if writer is not None:
            os.close(writer)


def stored_nowhere(file: Path) -> dict[str, str]:
    return StoredFile(Modality.MG, file, "0" * 64).document()


def opened_by_the_reader(file: Path) -> int:
    """A handle for writing to the pipe, once the reader waits at its other end."""
    end = time.monotonic() + 60
    while True:
        try:
            return os.open(file, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > end:
                raise
            time.sleep(0.02)
