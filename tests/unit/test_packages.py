"""What is installed: one package, and all of it."""

from __future__ import annotations

from pathlib import Path

import tomllib

import mammosono

ROOT = Path(__file__).parents[2]


def test_what_builds_the_package_is_one_version_here_and_on_the_device() -> None:
    (backend,) = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"][
        "requires"
    ]
    assert "==" in backend
    assert f"\n{backend} --hash=sha256:" in (ROOT / ".ci" / "l4t" / "tools.lock").read_text("utf-8")


def test_every_folder_with_code_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {
        ".".join(("mammosono", *file.parent.relative_to(ROOT).parts))
        for part in ("appliance", "engines", "tools")
        for file in (ROOT / part).rglob("*.py")
    }
    assert set(listed["packages"]) == folders - {"mammosono.appliance.api"} | {"mammosono"}


def test_nothing_is_installed_beside_one_top_level_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert {name.split(".")[0] for name in listed["packages"]} == {"mammosono"}


def test_what_programs_import_is_there() -> None:
    assert all(hasattr(mammosono, name) for name in mammosono.__all__)
    assert dir(mammosono) == sorted(mammosono.__all__)
