"""A name is the same name in every object, in whatever character set it was sent."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from exams import exam
from images import mammogram, ultrasound
from pydicom.dataset import Dataset
from test_objects import bytes_of
from validators import as_text, iod_errors, require

NAMES = {
    "umlauts": ("ISO_IR 100", "Müller-Lüdenscheidt^Jörg"),
    "umlauts in UTF-8": ("ISO_IR 192", "Müller^Zoë"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг^Анна"),
    "Polish": ("ISO_IR 101", "Wałęsa^Łucja"),
    "Greek": ("ISO_IR 126", "Διονυσιος^Μαρια"),
    "Arabic": ("ISO_IR 127", "قباني^نزار"),
    "Hebrew": ("ISO_IR 138", "שרון^דבורה"),
    "Thai": ("ISO_IR 166", "นามสกุล^ชื่อ"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Hanako=山田^花子=やまだ^はなこ"),
    "Japanese, half width": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        "ﾔﾏﾀﾞ^ﾊﾅｺ=山田^花子=やまだ^はなこ",
    ),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "two Latin sets": (["ISO 2022 IR 100", "ISO 2022 IR 144"], "Müller^Анна"),
}


def written(folder: Path, charset: object, name: object) -> tuple[bytes, list[Dataset]]:
    """The bytes of the name as they were sent, and what is written of it."""
    mg = mammogram("R", "MLO", SpecificCharacterSet=charset, PatientName=name)
    us = ultrasound(1, SpecificCharacterSet=charset, PatientName=name)
    return raw(bytes_of(mg), "PatientName"), exam(folder, images=(mg, us)).write()


def raw(data: bytes, keyword: str) -> bytes:
    return bytes(pydicom.dcmread(BytesIO(data)).get_item(keyword).value)


@pytest.mark.parametrize("which", NAMES)
def test_name_and_character_set_are_those_of_the_image(which: str, tmp_path: Path) -> None:
    charset, name = NAMES[which]
    sent, objects = written(tmp_path, charset, name)
    for ds in objects:
        data = bytes_of(ds)
        assert raw(data, "PatientName") == sent
        back = pydicom.dcmread(BytesIO(data))
        assert str(back.PatientName) == name
        assert back.SpecificCharacterSet == charset


@pytest.mark.parametrize("which", ["umlauts", "Cyrillic", "Japanese", "Korean", "Chinese"])
def test_the_iods_are_satisfied_in_any_character_set(which: str, tmp_path: Path) -> None:
    charset, name = NAMES[which]
    _, objects = written(tmp_path, charset, name)
    for ds in objects:
        path = tmp_path / "object.dcm"
        path.write_bytes(bytes_of(ds))
        assert iod_errors(path) == []


@pytest.mark.parametrize("which", ["umlauts", "Cyrillic", "Greek"])  # ISO 2022 it cannot
def test_another_reader_reads_the_name(which: str, tmp_path: Path) -> None:
    require("dsrdump")
    charset, name = NAMES[which]
    _, objects = written(tmp_path, charset, name)
    report = next(ds for ds in objects if ds.Modality == "SR")
    path = tmp_path / "object.dcm"
    path.write_bytes(bytes_of(report))
    assert name.split("=")[0].split("^")[0] in as_text(path)


@pytest.mark.parametrize("stated", [None, "ISO_IR 192", "ISO_IR 999"])
def test_words_that_do_not_fit_their_character_set_are_not_made_others(
    stated: str | None, tmp_path: Path
) -> None:
    """Latin 1 under no character set, another or one that there is not, as modalities send it."""
    mg = mammogram("R", "MLO", SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    mg.StudyDescription = "Füße"
    data = bytes_of(mg)
    path = tmp_path / "sent.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom doubts what is stated
        words = {keyword: raw(data, keyword) for keyword in ("PatientName", "StudyDescription")}
        if stated is None:
            sent = pydicom.dcmread(BytesIO(data))
            del sent.SpecificCharacterSet
            sent.save_as(path)
        else:
            path.write_bytes(data.replace(b"ISO_IR 100", stated.encode()))
        assert {keyword: raw(path.read_bytes(), keyword) for keyword in words} == words
        for ds in exam(tmp_path, images=(pydicom.dcmread(path),)).write():
            written = bytes_of(ds)
            assert {keyword: raw(written, keyword) for keyword in words} == words
            assert pydicom.dcmread(BytesIO(written)).get("SpecificCharacterSet") == stated


def test_what_the_node_says_itself_fits_every_character_set(tmp_path: Path) -> None:
    _, objects = written(tmp_path, *NAMES["Japanese"])
    for ds in objects:
        for element in pydicom.dcmread(BytesIO(bytes_of(ds))).iterall():
            if element.VR in ("LO", "SH", "LT", "ST", "UT", "UC"):
                assert str(element.value).isascii()


def test_lengths_are_even(tmp_path: Path) -> None:
    sent, objects = written(tmp_path, "ISO_IR 100", "Mül^J")
    for ds in objects:
        data = bytes_of(ds)
        at = data.index(struct.pack("<HH2s", 0x10, 0x10, b"PN"))
        (length,) = struct.unpack_from("<H", data, at + 6)
        assert length == len(sent) == 6
