"""mammosono.env.example: every setting of a technician, with the values that hold."""

from __future__ import annotations

import re

import pytest
from systemd_units import SYSTEMD, environment

from mammosono.appliance.intake.limits import Limits
from mammosono.appliance.settings import Settings

EXAMPLE = (SYSTEMD / "mammosono.env.example").read_text()
UNITS = [
    SYSTEMD / f"{name}.service"
    for name in ("mammosono", "mammosono-build-engine", "mammosono-node")
]
LINES = re.findall(r"^(#?)([A-Z][A-Z_0-9]*)=(.*)$", EXAMPLE, flags=re.MULTILINE)
PREFIX = "MAMMOSONO_"

SET_BY_THE_UNIT = {"plans", "state"}
"""Folders that the unit mounts."""

LIBRARIES_BYTES = 1331 * 2**20
"""1.3 GB: of Python, CUDA, cuDNN and TensorRT on a Nano, before the first study."""


def bytes_of(size: str) -> int:
    return int(size[:-1]) * {"m": 2**20, "g": 2**30}[size[-1]]


def test_the_example_names_every_setting_once() -> None:
    named = [name[len(PREFIX) :].lower() for _, name, _ in LINES if name.startswith(PREFIX)]
    assert sorted(named) == sorted(set(Settings.model_fields) - SET_BY_THE_UNIT)


def test_the_values_are_ones_that_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, name, value in LINES:
        monkeypatch.setenv(name, value)
    Settings()


def test_a_line_with_a_hash_shows_the_value_that_holds_without_it() -> None:
    in_units = environment(UNITS[2]) | environment(UNITS[1]) | environment(UNITS[0])
    for hashed, name, value in LINES:
        if not hashed or name == "CONTAINER_DEVICE":
            continue
        default = in_units.get(name)
        if default is None:
            field = Settings.model_fields[name[len(PREFIX) :].lower()]
            default = value if field.default is None else field.default
        assert type(default)(value) == default, name


def test_what_the_units_ask_for_is_in_the_example() -> None:
    asked = {name for unit in UNITS for name in re.findall(r"\$\{?([A-Z_]+)", unit.read_text())}
    assert asked <= {name for _, name, _ in LINES}


def test_systemd_and_docker_read_the_same() -> None:
    # docker keeps quotes and what follows a value; systemd takes quotes and backslashes away.
    for _, name, value in LINES:
        assert re.fullmatch(r"[A-Za-z0-9_.:/-]*", value), name
    for line in EXAMPLE.splitlines():
        assert not line or line[0] == "#" or re.match(r"[A-Z_]+=", line)


def test_the_example_s_memory_fits_the_container_of_a_nano() -> None:
    given = {name: value for hashed, name, value in LINES if not hashed}
    # Uploads are on the disk. Of a study one image is in memory: its file, its pixels of 16 bits,
    # and the two pictures of 8 that are made of them.
    needed = LIBRARIES_BYTES + Limits().max_file_bytes + 4 * Limits().max_pixels
    assert needed < bytes_of(given["CONTAINER_MEMORY"])
    assert given["CONTAINER_MEMORY"] == environment(UNITS[0])["CONTAINER_MEMORY"]
    # What is left of 4 GB is the GPU's and the system's.
    assert bytes_of(given["CONTAINER_MEMORY"]) <= 2.5 * 2**30


@pytest.mark.parametrize("given", ["", "MAX_BODY_BYTES"])
def test_an_exam_at_its_real_size_can_be_posted(given: str) -> None:
    """Four uncompressed films of 3328 x 4096 at 16 bits and eight stills of 2 MB, each with 64 KiB
    of header and form; by default, and with what the example says."""
    values = {name: value for hashed, name, value in LINES if not hashed}
    chosen = Settings(**{given.lower(): values[PREFIX + given]} if given else {})
    exam = 4 * 3328 * 4096 * 2 + 8 * 2_000_000 + 12 * 65536
    assert exam < chosen.body_bytes()
    assert chosen.max_images >= 8


def test_the_default_largest_request_goes_with_the_images_that_a_study_may_hold() -> None:
    film, still = 3328 * 4096 * 2 + 65536, 2_000_000
    for most in (1, 24, 100):
        assert Settings(max_images=most).body_bytes() > most * (film + still)
