"""Large films: read without copies, at half the resolution where nothing hangs on the rest."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from files import dicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from mammosono.appliance.errors import RepeatedImage
from mammosono.appliance.intake import jpeg2000, read_image
from mammosono.appliance.phantoms import phantom
from mammosono.appliance.pipeline.detector.area import area_mean
from mammosono.appliance.pipeline.kind import reduced
from mammosono.appliance.pipeline.model import SHIPPED, model_of
from mammosono.appliance.pipeline.prepare import Reduced, reduce
from mammosono.appliance.pipeline.stopwatch import Stopwatch
from mammosono.appliance.pipeline.study import SIMILAR_IMAGES, study_cautions
from mammosono.appliance.pipeline.window import to_grey
from mammosono.appliance.values import Caution, Label, Modality, SourceImage
from mammosono.engines.bundle import open_bundle

MG = Modality.MG
BITS: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}
Edit = Callable[[FileDataset], None]


@pytest.fixture(scope="module")
def film() -> NDArray[np.uint16]:
    """12 bits, 3072 x 1536: drawn at half of that, with noise of its own in every pixel."""
    clean = phantom(MG, 3, Label.MALIGNANT, height=1536, width=768, noise=0).clean
    large = np.kron(clean, np.ones((2, 2), np.float32)) * 14
    noise = np.random.default_rng(1).normal(size=large.shape) * np.sqrt(0.5 * large + 9)
    return np.clip(np.rint(large + noise), 0, 4095).astype(np.uint16)


def read(
    film: NDArray[Any],
    *edit: Edit,
    coarse: bool = True,
    syntax: UID = JPEG2000Lossless,
    **more: Any,
) -> SourceImage:
    data = dicom(film, *edit, modality="MG", syntax=syntax, **{**BITS, **more})
    return read_image(data, MG, coarse=coarse)


def test_half_is_the_band_below_the_picture_where_its_pixels_lie(film: NDArray[Any]) -> None:
    half, whole = read(film), read(film, coarse=False)
    assert (half.coarseness, half.pixels.shape) == (2, (1536, 768))
    assert (half.height, half.width) == film.shape
    assert np.array_equal(whole.pixels, film)
    # The filter of the standard (T.800, 5/3), across and then down, without its rounding.
    band = film.astype(float)
    for _ in range(2):
        padded = np.pad(band, ((2, 2), (0, 0)), mode="reflect")
        taps = (-1, 2, 6, 2, -1)
        band = sum(w / 8 * padded[k : k + len(band)] for k, w in enumerate(taps))[::2].T
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(half.pixels.astype(float) - np.clip(band, 0, 4095))[inner].max() <= 2


def test_what_the_network_sees_of_half_is_what_it_sees_of_the_whole(film: NDArray[Any]) -> None:
    model = model_of(open_bundle(SHIPPED), "none")
    half, whole = (reduce(read(film, coarse=c), model, Stopwatch()) for c in (True, False))
    assert not half.too_coarse
    assert np.abs(np.subtract(half.frame.crop, whole.frame.crop)).max() <= 16
    assert half.shown is not None
    assert whole.shown is not None
    assert np.abs(half.shown.astype(int) - whole.shown).mean() < 1
    same = replace(half, frame=whole.frame)
    seen = same.frame.cut(read(film).pixels, 2)
    difference = seen - whole.working
    assert np.abs(difference).mean() < 4095 * 1e-3
    assert abs(difference.mean()) < 0.5
    x0, y0, x1, y1 = (end / 2 for end in same.frame.crop)  # as if it were means of two by two
    beside = area_mean(read(film).pixels, (x0, y0, x1, y1), whole.working.shape) - whole.working
    assert np.abs(difference).mean() < 0.8 * np.abs(beside).mean()


def stated_padding(ds: FileDataset) -> None:
    ds.PixelPaddingValue = 0


def voi_table(ds: FileDataset) -> None:
    ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = 2000, 3000, "SIGMOID"


@pytest.mark.parametrize("edit", [stated_padding, voi_table], ids=["padding", "a table that bends"])
def test_what_hangs_on_single_pixels_is_decoded_in_full(film: NDArray[Any], edit: Edit) -> None:
    assert read(film, edit).coarseness == 1


def marked(film: NDArray[Any]) -> NDArray[Any]:
    marked = film // 8
    marked[100:160, 100:140] = 4095
    return marked


@pytest.mark.parametrize(
    "change", [marked, lambda film: film // 100], ids=["a mark far from the content", "few levels"]
)
def test_pictures_that_are_not_ordinary_are_decoded_in_full(
    film: NDArray[Any], change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    changed = change(film)
    coarse, whole = read(changed), read(changed, coarse=False)
    assert coarse.coarseness == 1
    assert np.array_equal(coarse.pixels, whole.pixels)
    assert (coarse.window, coarse.warnings) == (whole.window, whole.warnings)


def test_a_film_of_the_other_polarity_or_with_signed_pixels_may_be_halved(
    film: NDArray[Any],
) -> None:
    half = read(film)
    turned = read(film, PhotometricInterpretation="MONOCHROME1")
    assert turned.coarseness == 2
    assert np.array_equal(turned.pixels, 4095 - half.pixels)


def test_small_pictures_and_other_codecs_come_whole(film: NDArray[Any]) -> None:
    assert read(film[:2000]).coarseness == 1
    assert read(film, syntax=RLELossless).coarseness == 1


def test_without_the_library_the_film_comes_whole(
    film: NDArray[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg2000, "_library", lambda: None)
    assert np.array_equal(read(film).pixels, film)


def test_a_breast_that_fills_little_of_the_film_is_too_coarse_at_half(film: NDArray[Any]) -> None:
    small = np.zeros_like(film)
    small[1000:1800] = film[1000:1800]
    model, half = model_of(open_bundle(SHIPPED), "none"), read(small)
    assert half.coarseness == 2
    assert reduce(half, model, Stopwatch()).too_coarse
    assert not reduce(read(small, coarse=False), model, Stopwatch()).too_coarse


def test_one_film_in_two_files_decoded_at_half_and_in_full_is_still_told(
    film: NDArray[Any],
) -> None:
    model = model_of(open_bundle(SHIPPED), "none")

    def seen(pixels: NDArray[Any], coarse: bool, modality: Modality = MG) -> Reduced:
        image = replace(read(pixels, coarse=coarse), modality=modality, sha256=f"{coarse}")
        return reduce(image, model, Stopwatch())

    half, whole = seen(film, True), seen(film, False)
    assert (half.image.coarseness, whole.image.coarseness) == (2, 1)
    assert similar(half, whole) == (SIMILAR_IMAGES,)
    with pytest.raises(RepeatedImage):
        similar(half, seen(film, False, Modality.US))
    assert similar(half, seen(film[::-1], False)) == (SIMILAR_IMAGES,)
    other = np.roll(film, 500, axis=0)
    assert similar(half, seen(other, False)) == ()
    assert similar(half, seen(other, False, Modality.US)) == ()


def similar(*seen: Reduced) -> tuple[Caution, ...]:
    return study_cautions([each.image for each in seen], [each.likeness for each in seen])


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_an_uncompressed_film_that_is_given_away_is_its_own_pixels(
    film: NDArray[Any], syntax: UID, photometric: str
) -> None:
    data = dicom(film, modality="MG", syntax=syntax, PhotometricInterpretation=photometric, **BITS)
    wanted = read_image(data, MG).pixels
    given = bytearray(data)
    tracemalloc.start()
    try:
        image = read_image(given, MG)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(image.pixels, wanted)
    assert np.shares_memory(image.pixels, np.frombuffer(given, np.uint8))
    assert peak < 0.5 * film.nbytes  # of tables, whatever the film's size


def test_bytes_are_nobodys_to_write_to(film: NDArray[Any]) -> None:
    data = dicom(film, modality="MG", PhotometricInterpretation="MONOCHROME1", **BITS)
    before = bytes(bytearray(data))
    read_image(data, MG)
    assert data == before


def test_what_is_seen_of_a_film_is_made_in_strips(film: NDArray[Any]) -> None:
    image = read(film, coarse=False, syntax=ExplicitVRLittleEndian)
    model = model_of(open_bundle(SHIPPED), "none")
    tracemalloc.start()
    try:
        seen = reduce(image, model, Stopwatch())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen.image.pixels.strides == (0, 0)  # it has let go of them
    assert (seen.image.height, seen.image.width) == film.shape
    assert peak < seen.working.nbytes + 0.3 * film.nbytes


@pytest.mark.parametrize("modality", Modality)
def test_the_kind_is_told_from_the_same_small_picture_as_before(modality: Modality) -> None:
    import cv2

    pixels = phantom(modality, 2, None, height=700, width=500).pixels
    window = (20.0, 200.0)
    small = reduced(pixels, window)
    wanted = cv2.resize(to_grey(pixels, window), small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - wanted).max() <= 1


def test_a_codestream_that_is_cut_is_no_reason_to_end() -> None:
    code = (
        "from mammosono.appliance.intake.jpeg2000 import decode_half\n"
        "assert decode_half(b'') is None\n"
        "assert decode_half(b'\\xff\\x4f\\xff\\x51' + bytes(60)) is None\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
