"""Pictures that come with installed packages: of Python, and of Debian (or unpacked somewhere)."""

from __future__ import annotations

import gzip
import plistlib
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammosono.tools.kind.family import Family, Grey, slices, stored, windowed

MOST = 120
"""Pictures of a family; more of one kind teach nothing."""

Reads = Callable[[Path], Iterator[NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Source:
    """package: the Python package, or the folder below Debian's root, that `files` lie in.
    debian: the Debian package to install; "" of a Python one. files: patterns."""

    family: Family
    package: str
    files: tuple[str, ...]
    debian: str = ""


SOURCES = (
    Source(
        Family("scikit-image scenes", "scenes", "as skimage/data/README.txt, mostly CC0"),
        "skimage",
        (
            "data/astronaut.png",
            "data/camera.png",
            "data/chelsea.png",
            "data/coffee.png",
            "data/rocket.jpg",
            "data/horse.png",
            "data/motorcycle_*.png",
            "data/clock_motion.png",
        ),
    ),
    Source(
        Family("scikit-image coins", "scenes", "as skimage/data/README.txt, no known restriction"),
        "skimage",
        ("data/coins.png",),
    ),
    Source(
        Family("microscope and eye", "films and slices", "as skimage/data/README.txt, CC0"),
        "skimage",
        ("data/cell.png", "data/ihc.png", "data/microaneurysms.png", "data/retina.jpg"),
    ),
    Source(
        Family("sky", "scenes", "public domain (NASA)"),
        "skimage",
        ("data/hubble_deep_field.jpg", "data/moon.png"),
    ),
    Source(
        Family("scikit-image textures", "textures and noise", "CC0"),
        "skimage",
        ("data/brick.png", "data/grass.png", "data/gravel.png"),
    ),
    Source(
        Family("scanned text", "text and graphics", "as skimage/data/README.txt, CC0"),
        "skimage",
        ("data/page.png", "data/text.png"),
    ),
    Source(Family("scikit-learn scenes", "scenes", "CC BY"), "sklearn", ("datasets/images/*.jpg",)),
    Source(
        Family("matplotlib's", "scenes", "public domain (NASA), matplotlib"),
        "matplotlib",
        ("mpl-data/sample_data/*.jpg", "mpl-data/sample_data/*.png"),
    ),
    Source(
        Family("icons", "text and graphics", "matplotlib"), "matplotlib", ("mpl-data/images/*.png",)
    ),
    Source(
        Family("wallpapers", "scenes", "CC BY-SA, GPL-2+ (MATE, GNOME, Lomiri)"),
        "usr/share/backgrounds",
        ("*.jpg", "gnome/*.webp", "mate/*/*.jpg", "mate/*/*.png"),
        "mate-backgrounds",
    ),
    Source(
        Family("OpenCV scenes", "scenes", "Apache-2.0 and as Debian's copyright file"),
        "usr/share/doc/opencv-doc/examples/data",
        ("*.jpg", "*.png"),
        "opencv-doc",
    ),
    Source(
        Family("words in scenes", "text and graphics", "Apache-2.0"),
        "usr/share/doc/opencv-doc/examples/text",
        ("scenetext*.jpg",),
        "opencv-doc",
    ),
    Source(
        Family("diagrams and screenshots", "text and graphics", "Apache-2.0"),
        "usr/share/doc/opencv-doc/opencv4/html",
        ("*.jpg", "*.png"),
        "opencv-doc",
    ),
    Source(
        Family("targets before a camera", "scenes", "GPL-2 (ViSP)"),
        "usr/share/visp-images-data/ViSP-images",
        (
            "Klimt/*.png",
            "Solvay/*_1024*.jpg",
            "calibration/*.pgm",
            "cube/*.pgm",
            "line/*.pgm",
            "warp/*.pgm",
            "AprilTag/benchmark/640x480/*.png",
            "mire-2/image.00[0-4]?.pgm",
            "ellipse-1/*.pgm",
            "mbt-depth/Castle-simu/Images/*",
        ),
        "visp-images-data",
    ),
    Source(
        Family("CT head", "films and slices", "GPL-2 (InVesalius)"),
        "usr/share/doc/invesalius-examples/examples",
        ("*.inv3",),
        "invesalius-examples",
    ),
    Source(
        Family("MR head (Debian)", "films and slices", "BSD-3-Clause (MRIcron)"),
        "usr/share/mricron/templates",
        ("ch2.nii.gz", "ch2bet.nii.gz", "inia19-t1-brain.nii.gz"),
        "mricron-data",
    ),
    Source(
        Family("MR head (nilearn)", "films and slices", "MNI, free with notice"),
        "nilearn",
        ("datasets/data/mni_icbm152_t1_*.nii.gz",),
    ),
    Source(
        Family("CT, DICOM", "films and slices", "MIT (pydicom)"),
        "pydicom",
        (
            "data/test_files/CT_small.dcm",
            "data/test_files/693_J2KI.dcm",
            "data/test_files/J2K_pixelrep*.dcm",
        ),
    ),
    Source(
        Family("CT, DICOM, more", "films and slices", "MIT (pydicom-data)"),
        "data_store",
        (
            "data/693_UNCI.dcm",
            "data/bad_sequence.dcm",
            "data/explicit_VR-UN.dcm",
            "data/eCT_Supplemental.dcm",
        ),
    ),
    Source(
        Family("MR, DICOM", "films and slices", "MIT (pydicom)"),
        "pydicom",
        ("data/test_files/MR_small.dcm", "data/test_files/examples_overlay.dcm"),
    ),
    Source(
        Family("MR, DICOM, more", "films and slices", "MIT (pydicom-data)"),
        "data_store",
        ("data/MR2_UNCI.dcm", "data/MR2_UNCR.dcm", "data/emri_small.dcm", "data/MR-SIEMENS*.dcm"),
    ),
    Source(
        Family("bone scan", "films and slices", "MIT (pydicom)"),
        "pydicom",
        ("data/test_files/JPEG2000.dcm",),
    ),
    Source(
        Family("radiographs", "films and slices", "MIT (pydicom-data)"),
        "data_store",
        ("data/RG1_UNCI.dcm", "data/RG1_UNCR.dcm", "data/RG3_UNCI.dcm", "data/RG3_UNCR.dcm"),
    ),
    Source(
        Family("test patterns", "text and graphics", "MIT (pydicom-data)"),
        "data_store",
        ("data/mlut_18.dcm", "data/vlut_04.dcm", "data/SC_rgb.dcm"),
    ),
    Source(
        Family("other ultrasound, pydicom", "other ultrasound", "MIT (pydicom)"),
        "pydicom",
        (
            "data/test_files/examples_jpeg2k.dcm",
            "data/test_files/examples_palette.dcm",
            "data/test_files/examples_rgb_color.dcm",
            "data/test_files/examples_ybr_color.dcm",
        ),
    ),
    Source(
        Family("other ultrasound, pydicom-data", "other ultrasound", "MIT (pydicom-data)"),
        "data_store",
        (
            "data/US1_UNCI.dcm",
            "data/OBXXXX1A.dcm",
            "data/color-p?.dcm",
            "data/color3d_jpeg_baseline.dcm",
            "data/gdcm-US-ALOKA-16.dcm",
            "data/JPGLosslessP14SV1_1s_1f_8b.dcm",
        ),
    ),
)


def pictures(source: Source, debian: Path) -> list[Grey]:
    """At most MOST of them, spread over what there is; none where the package is not there.

    debian: the root that Debian's packages lie under.
    """
    if source.debian:
        folder: Path | None = debian / source.package
    else:
        spec = find_spec(source.package)
        places = spec.submodule_search_locations if spec else None
        folder = Path(next(iter(places))) if places else None
    if folder is None or not folder.is_dir():
        return []
    files = [file for pattern in source.files for file in sorted(folder.glob(pattern))]
    files = files[:: -(-len(files) // MOST) or 1]
    found = [stored(grey) for file in files for grey in _read(file)]
    return found[:: -(-len(found) // MOST) or 1]


def _read(file: Path) -> Iterator[Grey]:
    if file.suffix == ".dcm":
        yield from _dicom(file)
    elif file.suffix == ".inv3":
        yield from _invesalius(file)
    elif file.name.endswith(".nii.gz"):
        for each in slices(_nifti(file), 12):
            yield windowed(np.rot90(each), 0, 99.8)
    else:
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if grey is not None and min(grey.shape) >= 16:
            yield np.asarray(grey, np.uint8)


def _dicom(file: Path) -> Iterator[Grey]:
    """Every frame, or forty of them."""
    import pydicom
    from pydicom.pixels.processing import apply_color_lut

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # files made to test a reader
        dataset = pydicom.dcmread(file, force=True)
        values = dataset.pixel_array
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
    colour = values.shape[-1] in (3, 4)
    frames = values if values.ndim == 3 + colour else values[None]
    for frame in frames[:: -(-len(frames) // 40)]:
        if colour:
            bright = float(np.iinfo(frame.dtype).max)
            grey = np.asarray(frame[..., :3].mean(axis=2) * (255 / bright), np.uint8)
        else:
            grey = windowed(frame, 1, 99.8)
        yield 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _nifti(file: Path) -> NDArray[Any]:
    """The volume of a NIfTI-1 file, its first where it holds several."""
    data = gzip.decompress(file.read_bytes())
    shape: Sequence[int] = np.frombuffer(data, "<i2", 8, 40)[1:4].tolist()
    kind = {2: "u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 256: "i1", 512: "<u2"}
    start = int(np.frombuffer(data, "<f4", 1, 108)[0])
    code = int(np.frombuffer(data, "<i2", 1, 70)[0])
    volume = np.frombuffer(data, kind[code], int(np.prod(shape)), start)
    return volume.reshape(shape, order="F")


def _invesalius(file: Path) -> Iterator[Grey]:
    """The slices of a CT volume, each in one of three windows (HU): bone, brain, lung."""
    with tarfile.open(file) as archive:
        members = {Path(member.name).name: member for member in archive}
        entry = archive.extractfile(members["main.plist"])
        matrix = archive.extractfile(members["matrix.dat"])
        assert entry is not None
        assert matrix is not None
        about = plistlib.loads(entry.read())["matrix"]
        volume = np.frombuffer(matrix.read(), about["dtype"]).reshape(about["shape"])
    windows = ((-500, 1500), (-50, 150), (-1200, 400))
    for k, each in enumerate(slices(volume, 20)):
        low, high = windows[k % len(windows)]
        yield np.asarray(np.clip((each - low) * (255 / (high - low)), 0, 255), np.uint8)
