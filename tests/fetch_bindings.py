"""Fetch NVIDIA's Python bindings of TensorRT, to hold the fakes against the real surface.

    python tests/fetch_bindings.py

The bindings are on PyPI for this Python and x86-64; the libraries that they load are not, and need
a GPU. So each wheel is unpacked into .cache/tensorrt/<version>/ beside stub libraries, made with
gcc, that hold every symbol the bindings ask for and do nothing: enough to import and look at, not
to call. What cannot be had is said and left out; tests/device/test_trt_surface.py skips it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "tensorrt"

WHEELS = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.16.1": "tensorrt-cu12-bindings==10.16.1.11",
    "11.4.0": "tensorrt-cu12-bindings==11.4.0.106",
    "rtx-1.7.1": "tensorrt-rtx-cu12-bindings==1.7.1.116",
}
"""What pip is asked for, by the folder it goes to. 8.2's were never published there."""

STUBS = "stubs"


def folder_of(version: str) -> Path:
    # One for each Python: a binding module serves a single one.
    return CACHE / f"{version}-cp{sys.version_info[0]}{sys.version_info[1]}"


def fetch(version: str) -> None:
    """Raises RuntimeError, saying why, if pip or gcc cannot do it."""
    folder = folder_of(version)
    with tempfile.TemporaryDirectory() as temporary:
        only = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
        pip = [sys.executable, "-m", "pip", "download", *only]
        _run([*pip, "--dest", temporary, WHEELS[version]])
        # Whole or not at all: what is there is taken to be complete.
        unpacked = Path(temporary) / "unpacked"
        for wheel in Path(temporary).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        (module,) = unpacked.glob("*_bindings/tensorrt*.so")
        _make_stubs(module, unpacked / STUBS)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run(["mv", "--no-target-directory", str(unpacked), str(folder)])


def _make_stubs(module: Path, folder: Path) -> None:
    folder.mkdir()
    dynamic = _run(["readelf", "--dynamic", "--wide", str(module)])
    libraries = re.findall(r"\(NEEDED\).*\[(lib(?:nv|tensorrt)[^\]]*)\]", dynamic)
    wanted = _run(["nm", "--dynamic", "--undefined-only", str(module)])
    # With a version it is the C library's, with Py the interpreter's, dl... the loader's.
    symbols = re.findall(r" U (?!_?Py|dl)([^\s@]+)$", wanted, re.MULTILINE)
    source = folder / "stubs.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in symbols))
    for library in libraries:
        options = ["-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(folder / library)]
        _run(["gcc", *options, str(source)])


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr.strip() or '?').splitlines()[-1]}")
    return done.stdout


def main() -> int:
    missed = 0
    for version in WHEELS:
        said = "there already"
        if not folder_of(version).exists():
            try:
                fetch(version)
                said = "fetched"
            except (RuntimeError, ValueError, zipfile.BadZipFile) as error:
                missed += 1
                said = f"left out: {error}"
        sys.stdout.write(f"{version}: {said}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
