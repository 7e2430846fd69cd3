"""Judges of DICOM objects that are not ours: dciodvfy, DicomSRValidator, dsrdump.

A test that asks one which is not installed is skipped, with what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGES = {"dciodvfy": "dicom3tools", "DicomSRValidator": "pixelmed-apps", "dsrdump": "dcmtk"}

# Its style sheets are beyond the bounds that Java 17 sets by default (JAXP0801003).
_NO_BOUNDS = " ".join(f"-Djdk.xml.xpath{what}Limit=0" for what in ("ExprOp", "TotalOp", "ExprGrp"))


def iod_errors(path: Path) -> list[str]:
    """What dciodvfy calls an error."""
    said = _said("dciodvfy", str(path))
    return [line for line in said.splitlines() if line.startswith("Error")]


def template_errors(path: Path) -> list[str]:
    """What DicomSRValidator calls an error; it takes seconds."""
    said = _said("DicomSRValidator", str(path))
    assert "Found" in said, said  # it names the IOD and the template that it judged by
    return [line for line in said.splitlines() if "Error" in line]


def as_text(path: Path) -> str:
    """A structured report as DCMTK prints it, in UTF-8."""
    require("dsrdump")
    done = subprocess.run(
        ["dsrdump", "+U8", "+Pl", "+Pc", "--quiet", str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def require(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: apt-get install {PACKAGES[tool]}")


def _said(tool: str, *arguments: str) -> str:
    require(tool)
    done = subprocess.run(
        [tool, *arguments],
        capture_output=True, text=True, errors="replace", timeout=300,
        env={**os.environ, "JAVA_TOOL_OPTIONS": _NO_BOUNDS},
    )  # fmt: skip
    return done.stdout + done.stderr
