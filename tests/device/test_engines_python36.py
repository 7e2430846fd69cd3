"""engines/ runs under the Jetson Nano's system Python 3.6, the only one that NVIDIA's TensorRT
module was built for there. Nobody develops on 3.6, so without these tests the first f"{x=}" or
`list[int]` would be found on the device."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mammosono.engines.bundle import open_bundle, write_manifest
from mammosono.engines.python_launch import PACKAGE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "engines").rglob("*.py"))

COMPILE = """
import py_compile, sys
for number, source in enumerate(sys.argv[2:]):
    py_compile.compile(source, cfile="%s/%d.pyc" % (sys.argv[1], number), doraise=True)
"""

OPEN = (
    PACKAGE
    + """
sys.dont_write_bytecode = True
from mammosono.engines.bundle import open_bundle
sys.stdout.write(open_bundle(sys.argv[1]).sha256)
"""
)


@pytest.fixture(scope="module")
def python36() -> str:
    """A Python 3.6 that starts; pyenv leaves shims on the path that only print a message."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which("python3.6"), *map(str, pyenv.glob("versions/3.6*/bin/python"))]
    ask = "import sys; sys.exit(sys.version_info[:2] != (3, 6))"
    for candidate in filter(None, found):
        if subprocess.run([candidate, "-c", ask], capture_output=True).returncode == 0:
            return candidate
    pytest.skip("no Python 3.6 that starts on this machine")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def vermin(*files: str) -> subprocess.CompletedProcess[str]:
    # Annotations of functions are evaluated when 3.6 imports them: list[int] there fails.
    options = ["-t=3.6-", "--no-tips", "--violations", "--eval-annotations"]
    start = "import vermin; vermin.main()"
    return subprocess.run(
        [sys.executable, "-c", start, *options, *files], capture_output=True, text=True
    )


def test_the_engines_need_no_more_than_python_36() -> None:
    assert SOURCES
    done = vermin(*map(str, SOURCES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("if (n := 3): pass\n", "3.8"),
        ("def f(x: list[int]) -> None: pass\n", "3.9"),
        ("f'{1=}'\n", "3.8"),
        ("from dataclasses import dataclass\n", "3.7"),
    ],
)
def test_the_check_notices_a_newer_python(tmp_path: Path, source: str, needed: str) -> None:
    (tmp_path / "newer.py").write_text(source, encoding="utf-8")
    done = vermin(str(tmp_path / "newer.py"))
    assert done.returncode == 1
    assert needed in done.stdout


def test_python_36_compiles_every_file(python36: str, tmp_path: Path) -> None:
    run(python36, "-c", COMPILE, str(tmp_path), *map(str, SOURCES))
    assert len(list(tmp_path.glob("*.pyc"))) == len(SOURCES)


def test_python_36_opens_a_bundle_with_its_standard_library_alone(
    python36: str, tmp_path: Path
) -> None:
    data = b"the bytes of a trunk"
    (tmp_path / "trunk.onnx").write_bytes(data)
    tensors = {"x": {"dtype": "float32", "shape": [1]}}
    trunk = {
        "file": "trunk.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "inputs": tensors,
        "outputs": tensors,
    }
    write_manifest(
        tmp_path, {"schema": 1, "name": "tiny", "version": "1", "stages": {"trunk": trunk}}
    )

    assert run(python36, "-I", "-c", OPEN, str(ROOT), str(tmp_path)) == open_bundle(tmp_path).sha256
