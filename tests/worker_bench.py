"""What the worker's tests share: a bundle without graphs, a worker without onnxruntime, and a
CPython 3.6 with the last onnxruntime that was made for it."""

from __future__ import annotations

import hashlib
import os
import platform
import select
import shutil
import subprocess
import sys
from pathlib import Path

from mammosono.engines.bundle import Bundle, open_bundle, write_manifest

ROOT = Path(__file__).resolve().parent.parent
STUB = Path(__file__).with_name("worker_stub.py")
SHAPE = (2, 3)
STAGES = ("double", "add_one", "fault", "lost", "bug", "abort", "endless")

PYTHON36 = ROOT / ".venv" / "py36"
PINNED = ("numpy==1.19.5", "onnxruntime==1.10.0")
_INDEX_S = 300


def stub_bundle(folder: Path, version: str = "1") -> Bundle:
    """Every stage takes x and gives y, float32 of SHAPE; what it does is in worker_stub.py."""
    folder.mkdir(exist_ok=True)
    data = b"no graph"
    (folder / "stage").write_bytes(data)
    tensor = {"dtype": "float32", "shape": SHAPE}
    stage = {
        "file": "stage",
        "sha256": hashlib.sha256(data).hexdigest(),
        "inputs": {"x": tensor},
        "outputs": {"y": tensor},
    }
    stages = dict.fromkeys(STAGES, stage)
    write_manifest(folder, {"schema": 1, "name": "stub", "version": version, "stages": stages})
    return open_bundle(folder)


def stub_python(folder: Path) -> str:
    """An interpreter to the supervisor, in truth worker_stub.py."""
    return script(folder, f'exec "{sys.executable}" "{STUB}" "$@"')


def script(folder: Path, line: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def ended(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends in that time; one that is nobody's child any more, too."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def python36() -> str | None:
    """A Python 3.6 that starts; pyenv leaves shims on the path that only print a message."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [shutil.which("python3.6"), *map(str, pyenv.glob("versions/3.6*/bin/python"))]
    ask = "import sys; sys.exit(sys.version_info[:2] != (3, 6))"
    for candidate in filter(None, found):
        if subprocess.run([candidate, "-c", ask], capture_output=True).returncode == 0:
            return candidate
    return None


def python36_with_onnxruntime() -> tuple[str, str]:
    """Its path, or why there is none. Made once, in a folder that git ignores; this Python's pip
    fills it, since 3.6's own is too old to know the wheels' names."""
    python, packages = PYTHON36 / "bin" / "python", PYTHON36 / "lib/python3.6/site-packages"
    works = [str(python), "-c", "import numpy, onnxruntime"]
    if python.exists() and subprocess.run(works, capture_output=True).returncode == 0:
        return str(python), ""
    interpreter = python36()
    if interpreter is None:
        return "", "no Python 3.6 that starts on this machine"
    wheels = (f"manylinux{form}_{platform.machine()}" for form in ("2014", "2010", "_2_17"))
    pip = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
        "--implementation=cp", "--python-version=3.6", "--abi=cp36m", "--target", str(packages),
        *(f"--platform={wheel}" for wheel in wheels), *PINNED,
    ]  # fmt: skip
    try:
        for command in ([interpreter, "-m", "venv", "--clear", "--without-pip", PYTHON36], pip):
            subprocess.run(command, check=True, capture_output=True, timeout=_INDEX_S)
        subprocess.run(works, check=True, capture_output=True)
    except (subprocess.SubprocessError, OSError) as error:
        return "", f"no {' and '.join(PINNED)} for Python 3.6 here: {type(error).__name__}"
    return str(python), ""
