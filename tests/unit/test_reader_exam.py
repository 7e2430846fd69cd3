"""Many images of a study, and some that cannot be read: one at a time, and nothing cleared."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import readings
from fakes import FakeEngine, Lesion, Scene, fake_model

from mammosono.appliance.errors import CorruptImage, EmptyFile, NoImages, RepeatedImage
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.denoise import denoise
from mammosono.appliance.pipeline.prepare import Reduced
from mammosono.appliance.pipeline.reader import Reader
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.verdict import VIEW_NOT_READ
from mammosono.appliance.studies.exam import Exam, decoded
from mammosono.appliance.studies.reader_process.job import StoredFile
from mammosono.appliance.values import (
    BreastScoring,
    Calibration,
    Label,
    Laterality,
    Modality,
    Posted,
    Reading,
    Scoring,
    SourceImage,
    UnreadImage,
    Verdict,
)
from mammosono.engines.errors import EngineLost

MG, US = Modality.MG, Modality.US
L, R = Laterality.LEFT, Laterality.RIGHT
P, N, I = Verdict.POSITIVE, Verdict.NEGATIVE, Verdict.INDETERMINATE  # noqa: E741
SIZES = {MG: (300, 210), US: (200, 260)}
CALM = Scene()
FAINT = Scene((Lesion((30, 40, 54, 64), 0.05, 0.15),), image=(0.2, 0.2, 0.6))
STRONG = Scene((), image=(0.2, 0.0, 0.9))
SCORED = Scoring(0.5, 0.05, 0.5, Calibration(1.0, 0.0), BreastScoring(Calibration(1.0, 0.0), 0.4))

READER = Reader(FakeEngine([CALM]), fake_model(), threads=1)


def image(
    modality: Modality, seed: int = 1, side: Laterality | None = None, view: str | None = None
):
    height, width = SIZES[modality]
    pixels = phantom(modality, seed, Label.BENIGN, height=height, width=width).pixels
    return SourceImage(
        modality, pixels, 8, (0, 255), None, f"{modality.value}{seed}", laterality=side, view=view
    )


def unread(modality: Modality, **more) -> UnreadImage:
    return readings.not_read(0, modality, **more)


def read(*images, scenes=(CALM,), scoring: Scoring = SCORED) -> Reading:
    model = fake_model().everywhere(scoring=scoring)
    return Reader(FakeEngine(list(scenes)), model, threads=1).read(images)


def test_each_image_has_the_place_at_which_it_was_posted():
    c = replace(unread(MG, name="c"), sha256="c")
    given = (unread(MG, name="a"), image(MG, 1), c, image(MG, 2), image(US))
    reading = read(*given)
    assert [one.index for one in reading.images] == [1, 3, 4]
    assert [(one.index, one.name) for one in reading.unread] == [(0, "a"), (2, "c")]
    assert [one.index for one in reading.in_order] == [0, 1, 2, 3, 4]
    assert len(reading.pictures) == 3
    assert {one.verdict for one in reading.images} == {N}
    assert (reading.verdict, reading.decided_by) == (I, (MG,))


@pytest.mark.parametrize("more", [{"view": "MLO"}, {"view": "CC"}, {"view": "XCCL"}, {}])
def test_a_breast_of_which_a_view_is_unread_is_at_best_indeterminate_and_the_other_as_it_is(more):
    left = (image(MG, 1, L, "CC"), image(MG, 2, L, "MLO"))
    right = (image(MG, 3, R, "CC"), image(MG, 4, R, "MLO"))
    reading = read(unread(MG, laterality=L, **more), *left, *right, image(US))
    assert [(b.laterality, b.images, b.verdict) for b in reading.breasts] == [
        (L, (1, 2), I), (R, (3, 4), N)
    ]  # fmt: skip
    assert [one.verdict for one in reading.images] == [I, I, N, N, N]
    assert reading.images[0].reasons == (VIEW_NOT_READ.code,)
    positive = read(
        unread(MG, laterality=L, **more), *left, image(US), scenes=[STRONG, FAINT, CALM]
    )
    assert positive.breasts[0].verdict is P  # by both its views together: 0.45 and 0.375
    assert [one.verdict for one in positive.images] == [P, P, N]
    assert positive.verdict is P


def test_an_unread_ultrasound_or_a_film_of_an_unknown_side_leaves_the_breasts_as_they_are():
    both = (image(MG, 1, L, "CC"), image(MG, 2, L, "MLO"))
    for other in (unread(MG), unread(US, laterality=L)):
        reading = read(*both, other, image(US))
        assert reading.breasts[0].verdict is N
        assert reading.verdict is I


def test_where_nothing_can_be_read_there_is_no_reading():
    with pytest.raises(NoImages):
        read(unread(MG), unread(US))


def test_an_unread_image_that_is_there_twice_is_refused_by_its_bytes():
    with pytest.raises(RepeatedImage, match="Images 2 and 3"):
        read(image(MG), unread(US), unread(US))


def test_an_image_for_which_there_is_no_memory_leaves_the_others():
    def short(working, modality, peak):
        if modality is US:
            raise MemoryError
        return denoise(working, modality, peak=peak, threads=1)

    reader = Reader(FakeEngine([CALM]), fake_model(), threads=1, denoise=short)
    reading = reader.read([image(MG), image(US), image(MG, 2)])
    assert [one.index for one in reading.images] == [0, 2]
    (lost,) = reading.unread
    assert (lost.index, lost.sha256, lost.reasons) == (1, "US1", ("image_too_large",))
    assert reading.verdict is I


class Decoded:
    """Images that are made when they are asked for, and whose pixels are watched."""

    def __init__(self, count: int) -> None:
        self.count, self.alive, self.most, self.rounds = count, 0, 0, 0

    def __iter__(self) -> Iterator[SourceImage]:
        self.rounds += 1
        for seed in range(self.count):
            # The thread that prepared the one before may be about to let go of it.
            until = time.monotonic() + 2
            while self.alive and time.monotonic() < until:
                time.sleep(0.005)
            yield self._make(seed)

    def _make(self, seed: int) -> SourceImage:
        small = image(MG, seed + 1)
        pixels = small.pixels.astype(np.uint16) << 4
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(pixels, self._gone)
        return replace(small, pixels=pixels, bits=12, window=(0, 4095))

    def _gone(self) -> None:
        self.alive -= 1


def test_no_image_is_decoded_before_the_pixels_of_the_last_are_gone():
    posted = Decoded(6)
    reading = Reader(FakeEngine([CALM]), fake_model(), threads=1).read(posted)
    assert len(reading.images) == 6
    assert posted.most == 1
    assert (posted.alive, posted.rounds) == (0, 1)


def test_where_the_engine_is_lost_the_images_are_decoded_once_more():
    class Lost(FakeEngine):
        def run(self, stage, inputs, keep=()):
            if len(self.calls) == 4:
                self.calls.append((stage, {}))
                raise EngineLost("killed")
            return super().run(stage, inputs, keep)

    posted = Decoded(3)
    reading = Reader(Lost([CALM]), fake_model(), threads=1).read(posted)
    assert [one.index for one in reading.images] == [0, 1, 2]
    assert posted.rounds == 2


def stored(folder: Path, seed: int, height: int = 1400, width: int = 1000) -> StoredFile:
    film = phantom(MG, seed, Label.BENIGN, height=height, width=width).pixels.astype(np.uint16) << 4
    film[0, 0] = 4095
    path = folder / f"{seed}.png"
    path.write_bytes(cv2.imencode(".png", film)[1].tobytes())
    return StoredFile(MG, path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_memory_does_not_grow_with_the_images(tmp_path):
    """Twelve films take less than two films' pixels more than three do, and that is what the
    network without a network remembers of its calls; held, they would take nine."""
    files = [stored(tmp_path, seed) for seed in range(12)]

    def peak(count: int) -> int:
        reader = Reader(FakeEngine([CALM]), fake_model(), threads=1)
        tracemalloc.start()
        reading = reader.read(Exam(files[:count], reader.reduce, Stopwatch()))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (len(reading.images), reading.pictures) == (count, ())
        return most

    peak(1)  # what is imported and kept for ever
    assert peak(12) - peak(3) < 2 * 1400 * 1000 * 2


def test_a_film_that_is_too_coarse_at_half_its_resolution_is_decoded_in_full(tmp_path, monkeypatch):
    halves = []

    def read_half(data, modality, posted, sha256, coarse):
        halves.append(coarse)
        film = phantom(MG, 1, Label.BENIGN, height=100, width=70).pixels
        size = tuple(2 * side for side in film.shape)
        known = SourceImage(MG, film, 8, (0, 255), None, sha256)
        return replace(known, coarseness=2, posted_size=size) if coarse else known

    monkeypatch.setattr("mammosono.appliance.studies.exam.read_image", read_half)
    file = stored(tmp_path, 1)
    (seen,) = Exam([file], READER.reduce, Stopwatch())
    assert halves == [True, False]
    assert seen.image.coarseness == 1
    assert decoded(file, "for its pictures").coarseness == 1


def test_an_exam_of_bad_files_alone_is_refused_by_the_first_at_its_end(tmp_path):
    for name, data in (("a", b""), ("b", b"\x89PNG\r\n\x1a\n"), ("c", b"")):
        (tmp_path / name).write_bytes(data)
    files = [
        StoredFile(MG, path, hashlib.sha256(path.read_bytes()).hexdigest(), Posted(path.name))
        for path in sorted(tmp_path.iterdir())
    ]
    with pytest.raises(EmptyFile, match=r"^mammogram 1: .* None of the 3 images"):
        list(Exam(files, READER.reduce, Stopwatch()))
    with pytest.raises(CorruptImage, match=r"^b: The .*source\.$"):
        list(Exam(files[1:2], READER.reduce, Stopwatch(), ["b"]))
    files.append(stored(tmp_path, 1, 300, 210))
    first, second, third, film = Exam(files, READER.reduce, Stopwatch())
    assert [one.reasons for one in (first, second, third)] == [
        ("empty_file",), ("corrupt_image",), ("empty_file",)
    ]  # fmt: skip
    assert isinstance(film, Reduced)


def test_a_file_that_is_too_large_is_not_even_opened(tmp_path, monkeypatch):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(129 * 2**20)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was read"))
    file = StoredFile(MG, large, "0" * 64, Posted("R_CC.dcm"))
    exam = iter(Exam([file], READER.reduce, Stopwatch()))
    lost = next(exam)
    assert isinstance(lost, UnreadImage)
    assert (lost.reasons, lost.laterality, lost.view) == (("image_too_large",), R, "CC")
