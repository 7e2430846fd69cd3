"""Small data sets in exactly the layouts that their originals are downloaded in."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from mammosono.tools.prepare.tfrecord import masked_crc

Grey = NDArray[Any]


def scene(seed: int, height: int = 96, width: int = 128, levels: int = 256) -> Grey:
    """A smooth picture that looks unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 8)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    smooth += rng.normal(0, 0.01, smooth.shape).astype(np.float32)
    dtype = np.uint8 if levels <= 256 else np.uint16
    return np.rint(np.clip(smooth, 0.02, 1) * (levels - 1)).astype(dtype)


def disc(height: int, width: int, cx: float, cy: float, radius: float) -> Grey:
    """0 and 255."""
    y, x = np.mgrid[0:height, 0:width]
    return ((x - cx) ** 2 + (y - cy) ** 2 <= radius**2).astype(np.uint8) * 255


def save(path: Path, pixels: Grey) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


# Kaggle DDSM


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def length_delimited(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def example(features: Mapping[str, bytes | int]) -> bytes:
    """tf.train.Example as TensorFlow writes it: one bytes or (packed) int64 value a feature."""
    entries = b""
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = length_delimited(1, length_delimited(1, value))
        else:
            feature = length_delimited(3, length_delimited(1, varint(value)))
        entry = length_delimited(1, name.encode()) + length_delimited(2, feature)
        entries += length_delimited(1, entry)
    return length_delimited(1, entries)


def tile(seed: int) -> Grey:
    return scene(seed, 299, 299)


def tile_record(seed: int, label: int, **changes: bytes | int) -> bytes:
    features: dict[str, bytes | int] = {
        "label": label,
        "label_normal": int(label != 0),
        "image": tile(seed).tobytes(),
    }
    return example({**features, **changes})


def framed(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def write_tfrecords(path: Path, records: Sequence[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(framed, records)))
    return path


# BUSI


def make_busi(root: Path, per_label: int = 3) -> Path:
    """RGB pictures, 3-channel masks as in the original; benign (2) has two lesions."""
    folder = root / "Dataset_BUSI_with_GT"
    for k, label in enumerate(("benign", "malignant", "normal")):
        for number in range(1, per_label + 1):
            grey = scene(1000 * k + number)
            stem = f"{label} ({number})"
            save(folder / label / f"{stem}.png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
            mask = disc(96, 128, 40, 50, 12) if label != "normal" else np.zeros((96, 128), np.uint8)
            save(folder / label / f"{stem}_mask.png", mask)
    save(folder / "benign" / "benign (2)_mask_1.png", disc(96, 128, 100, 30, 9))
    return root


# BUS-BRA


def make_bus_bra(root: Path) -> Path:
    """Two cases: the first with both sides, benign; the second with one, malignant."""
    rows = [
        ("bus_0001-l", "1", "left", "benign"),
        ("bus_0001-r", "1", "right", "benign"),
        ("bus_0002-s", "2", "single", "malignant"),
    ]
    folder = root / "BUSBRA"
    folder.mkdir(parents=True)
    header = [
        "ID",
        "Case",
        "Histology",
        "Pathology",
        "BIRADS",
        "Device",
        "Width",
        "Height",
        "Side",
        "BBOX",
    ]
    with (folder / "bus_data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for k, (name, case, side, pathology) in enumerate(rows):
            box = '"[28,38,25,25]"'
            writer.writerow([name, case, "Cyst", pathology, 2, "GE", 128, 96, side, box])
            save(folder / "Images" / f"{name}.png", scene(50 + k))
            mask = folder / "Masks" / f"{name.replace('bus', 'mask')}.png"
            save(mask, disc(96, 128, 40, 50, 12))
    return root


# CBIS-DDSM

CBIS_COLUMNS = [
    "patient_id",
    "breast_density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "mass shape",
    "mass margins",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
]


def write_dicom(path: Path, pixels: Grey, patient: str, series: str) -> Path:
    """As TCIA gives them: secondary capture, modality MG, the case as PatientID."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.PatientID, dataset.PatientName = patient, patient
    dataset.SeriesInstanceUID = series
    dataset.Modality = "MG"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if bits == 16 else "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


class Cbis:
    """Films, masks and tables, a call each; `folders` says how the folders are named on disk:
    by `uid`, by `date` and description, or `flat`, under names of no meaning."""

    def __init__(self, root: Path, folders: str = "date") -> None:
        self.root = root
        self.folders = folders
        self.rows: dict[str, list[list[str]]] = {}
        self.count = 0

    def dicom(self, case: str, description: str, file: str, pixels: Grey) -> str:
        """Write a file; return the path that the table states."""
        self.count += 1
        study, series = f"1.3.6.1.{self.count}.1", f"1.3.6.1.{self.count}.2"
        folder = {
            "uid": f"CBIS-DDSM/{case}/{study}/{series}",
            "date": f"CBIS-DDSM/{case}/07-20-2016-DDSM-{self.count}/1.000000-{description}-2386",
            "flat": f"download/{self.count:05d}",
        }[self.folders]
        write_dicom(self.root / folder / file, pixels, case, series)
        return f"{case}/{study}/{series}/000000.dcm"

    def film(
        self, patient: str, view: str, pixels: Grey, masks: Sequence[Grey | None], **changes: Any
    ) -> None:
        """One film and its abnormalities. Changes: kind, split, pathologies, swapped, crop."""
        kind, split = changes.get("kind", "mass"), changes.get("split", "train")
        pathologies = changes.get("pathologies", ["MALIGNANT"] * len(masks))
        long = {"train": "Training", "test": "Test"}[split]
        case = f"{kind.capitalize()}-{long}_{patient}_{view}"
        film = self.dicom(case, "full mammogram images", "1-1.dcm", pixels)
        side, _, direction = view.partition("_")
        for k, (mask, pathology) in enumerate(zip(masks, pathologies, strict=True), 1):
            crop = changes.get("crop", pixels[10:50, 20:70])
            crop_path = self.dicom(f"{case}_{k}", "cropped images", "1-1.dcm", crop)
            mask_path = f"{case}_{k}/1.2.3.{self.count}/1.2.4.{self.count}/000001.dcm"
            if mask is not None:
                mask_path = self.dicom(f"{case}_{k}", "ROI mask images", "1-2.dcm", mask)
            if changes.get("swapped"):
                crop_path, mask_path = mask_path, crop_path
            row = [patient, "3", side, direction, str(k), kind, "OVAL", "ILL_DEFINED", "4",
                   pathology, "4", film, crop_path, mask_path + "\n"]  # fmt: skip
            self.rows.setdefault(f"{kind}_case_description_{split}_set.csv", []).append(row)

    def tables(self) -> Path:
        for name, rows in self.rows.items():
            with (self.root / name).open("w", newline="") as file:
                writer = csv.writer(file)
                spaced = [c.replace("breast_density", "breast density") for c in CBIS_COLUMNS]
                writer.writerow(spaced if name.startswith("calc") else CBIS_COLUMNS)
                writer.writerows(rows)
        return self.root


# mini-MIAS

MIAS_INFO = """INFORMATION:

This file lists the films in the MIAS database and provides
appropriate details as follows:

1st column: MIAS database reference number.

mdb001 G CIRC B 53 42 19
mdb002 G CIRC M 52 80 16
mdb003 D NORM
mdb004 D NORM
mdb005 F CIRC B 47 33 10
mdb005 F CIRC B 80 64 8
mdb059 F CIRC B *NOTE 3*
mdb144 F MISC B 23 99 9
mdb144 F MISC M 31 51 9
"""


def make_mias(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "Info.txt").write_text(MIAS_INFO)
    for number in (1, 2, 3, 4, 5, 59, 144):
        save(root / f"mdb{number:03d}.pgm", scene(200 + number, 128, 128))
    return root


# The project's own index


def make_index(root: Path, rows: Sequence[str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    header = "modality,label,image,mask,annotation,patient_or_case,source,split"
    (root / "index.csv").write_text("\n".join((header, *rows)) + "\n")
    return root


# VIA


def region(label: str | None, **shape: Any) -> dict[str, Any]:
    return {
        "shape_attributes": shape,
        "region_attributes": {} if label is None else {"label": label},
    }


def polygon(label: str | None, *points: tuple[float, float]) -> dict[str, Any]:
    xs, ys = zip(*points, strict=True)
    return region(label, name="polygon", all_points_x=list(xs), all_points_y=list(ys))


def via_entry(
    filename: str, regions: Sequence[Any], modality: str | None = "US", **attributes: str
) -> dict[str, Any]:
    stated = {"modality": modality} if modality else {}
    return {
        "filename": filename,
        "size": 1234,
        "regions": list(regions),
        "file_attributes": {**stated, **attributes},
    }


def write_via(path: Path, entries: Sequence[Mapping[str, Any]], shape: str = "export2") -> Path:
    """export2: annotations, regions as lists. export1: as dicts. project: a VIA 2 project."""
    document: dict[str, Any] = {}
    for entry in entries:
        one = dict(entry)
        if shape == "export1":
            one["regions"] = {str(k): region for k, region in enumerate(one["regions"])}
        document[f"{one['filename']}{one['size']}"] = one
    if shape == "project":
        document = {
            "_via_settings": {"ui": {}, "core": {"default_filepath": "pictures/"}},
            "_via_img_metadata": document,
            "_via_attributes": {"region": {}, "file": {}},
            "_via_data_format_version": "2.0.10",
            "_via_image_id_list": list(document),
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path
