"""The locks of the Jetson image: all that is needed, nothing that a Nano cannot install."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow

packaging = pytest.importorskip("packaging.utils", reason="packaging comes with pytest")

HERE = Path(__file__).parents[2] / ".ci" / "l4t"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("l4t_lock", HERE / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["l4t_lock"] = module
    spec.loader.exec_module(module)
    return module


lock = load()


def fits(file: str, target) -> bool:
    """Whether pip there would take this wheel."""
    *_, tags = packaging.parse_wheel_filename(file)
    major = f"py{target.python[0]}"
    digits = target.python.replace(".", "")

    def one(tag) -> bool:
        if tag.platform == "any":
            return tag.abi == "none" and tag.interpreter in (major, f"cp{digits}")
        if tag.platform not in target.platforms:
            return False
        if tag.abi == "abi3":
            return int(tag.interpreter.removeprefix("cp3") or 0) <= int(digits[1:])
        return (tag.interpreter, tag.abi) == (f"cp{digits}", target.abi)

    return any(one(tag) for tag in tags)


@pytest.mark.parametrize("name", lock.LOCKS)
def test_every_file_is_a_wheel_for_that_python_processor_and_libc(name):
    entries = lock.read_lock(name)
    assert entries
    for entry in entries:
        distribution, version, *_ = packaging.parse_wheel_filename(entry.file)
        assert (distribution, str(version)) == (entry.name, entry.version)
        assert fits(entry.file, lock.LOCKS[name]), entry.file


@pytest.mark.parametrize(
    "file",
    [
        "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl",
        "onnxruntime-1.31.1-cp311-cp311-manylinux_2_28_aarch64.whl",
        "numpy-2.4.6-cp312-cp312-manylinux_2_27_aarch64.whl",
        "numpy-2.4.6-cp311-cp311-musllinux_1_2_aarch64.whl",
        "protobuf-7.36.2-cp312-abi3-manylinux2014_aarch64.whl",
    ],
)
def test_a_wheel_for_another_machine_would_be_seen(file):
    assert not fits(file, lock.NANO)


def test_every_requirement_of_the_device_is_locked_in_a_version_that_answers_it():
    from packaging.requirements import Requirement

    locked = {entry.name: entry.version for entry in lock.read_lock("service")}
    wanted = [Requirement(text) for text in lock.requirements("service")]
    assert len(wanted) >= 15
    there = {**lock.NANO.markers, "extra": ""}
    for requirement in wanted:
        if requirement.marker and not requirement.marker.evaluate(there):
            continue
        version = locked[packaging.canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} has {version}"


def test_the_box_gets_the_versions_that_are_tested_where_its_libc_allows():
    tested = {}
    for line in lock.tested_versions():
        if pinned := re.match(r"([\w.-]+)==([^;\s]+)", line):
            tested[packaging.canonicalize_name(pinned[1])] = pinned[2]
    for entry in lock.read_lock("service"):
        if entry.name not in lock.NOT_FOR_OLD_LIBC:
            assert entry.version == tested[entry.name], entry.name


@pytest.mark.parametrize("name", ["pycuda-3.6", "pycuda-3.10"])
def test_pycuda_is_its_source_by_exact_version_and_hash(name):
    (entry,) = lock.read_lock(name)
    assert entry.file == f"pycuda-{entry.version}.tar.gz"


@pytest.mark.parametrize("file", sorted(HERE.glob("*.lock")), ids=lambda file: file.stem)
def test_a_lock_names_no_index_and_no_address(file):
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert "://" not in file.read_text("utf-8")


def test_a_line_that_is_no_entry_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "HERE", tmp_path)
    (tmp_path / "service.lock").write_text("# file: a-1-py3-none-any.whl\na==1\n")
    with pytest.raises(ValueError, match="no entry"):
        lock.read_lock("service")


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A package index that answers; there need be none to run the tests."""
    folder = tmp_path_factory.mktemp("probe")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--timeout", "5",
               "--retries", "0", "--dest", str(folder), "mdurl==0.1.2"]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("no package index answers")


@pytest.mark.parametrize("name", lock.LOCKS)
def test_the_index_has_every_locked_file_and_the_set_is_complete_there(name, index):
    assert lock.check(name) == []


def test_what_only_the_target_needs_is_seen_from_any_machine():
    items = [
        {"metadata": {"name": "a", "requires_dist": ['b; platform_machine == "aarch64"', "c"]}},
        {
            "metadata": {
                "name": "c",
                "requires_dist": ['d; python_version < "3.11"', 'e; extra == "x"'],
            }
        },
    ]
    assert lock.needed(items, ["a"], lock.NANO) == {"a", "b", "c"}
    assert lock.needed(items, ["a", "c[x]"], lock.NANO) == {"a", "b", "c", "e"}
