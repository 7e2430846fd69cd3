"""The locks of the Jetson image: every file that pip may install into it, by name and SHA-256.

    python .ci/l4t/lock.py           resolve anew, write the locks
    python .ci/l4t/lock.py --check   ask the index for every locked file; exit 1 if one is amiss

One file a requirement, and that file only: what was not built for the box's processor, glibc and
Python is found out here, on any machine, and not on a Nano without a compiler.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@dataclass(frozen=True)
class Locked:
    """A requirement and the one file that may answer it."""

    name: str
    version: str
    sha256: str
    file: str


@dataclass(frozen=True)
class Target:
    """The Python of a lock. glibc: minor version of the oldest libc it meets (Ubuntu 18.04: 27)."""

    python: str
    glibc: int

    @property
    def abi(self) -> str:
        digits = self.python.replace(".", "")
        return f"cp{digits}m" if digits < "38" and len(digits) == 2 else f"cp{digits}"

    @property
    def platforms(self) -> list[str]:
        newest_first = [f"manylinux_2_{minor}_aarch64" for minor in range(self.glibc, 16, -1)]
        return [*newest_first, "manylinux2014_aarch64", "linux_aarch64"]

    @property
    def markers(self) -> dict[str, str]:
        """What an environment marker sees there, whatever Python resolves here."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": "aarch64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
            "extra": "",
        }

    def options(self) -> list[str]:
        chosen = ["--implementation", "cp", "--python-version", self.python, "--only-binary=:all:"]
        for abi in (self.abi, "abi3", "none"):
            chosen += ["--abi", abi]
        for platform in self.platforms:
            chosen += ["--platform", platform]
        return chosen


NANO = Target("3.11", 27)
"""The service, on both lines: JetPack 4.6 has the older libc."""

LOCKS = {
    "service": NANO,
    "tools": NANO,
    "worker-tools": Target("3.6", 27),
    "worker-3.6": Target("3.6", 27),
    "worker-3.10": Target("3.10", 35),
}
"""Those made of wheels. PyCUDA has none; `pycuda-*.lock` name its source and are kept by hand."""

WANTED = {
    "tools": ["setuptools==84.2.1"],  # as in pyproject.toml
    # The last of each for Python 3.6; they serve 3.10 as well.
    "worker-tools": ["pip==21.3.1", "setuptools==59.6.0", "wheel==0.37.1"],
    "worker-3.6": ["numpy==1.19.5"],
    "worker-3.10": ["numpy==1.26.4"],
}

NOT_FOR_OLD_LIBC = {"onnxruntime", "pylibjpeg-rle"}
"""The version tested has no wheel for the libc of Ubuntu 18.04; the newest that has is taken."""

NOTE = "# Made by .ci/l4t/lock.py for {abi}, aarch64, glibc 2.{glibc}. Not edited by hand.\n"


def requirements(lock: str) -> list[str]:
    """What a lock answers: pyproject's own and those of the DICOM node for the service, a short
    list for the others."""
    if lock != "service":
        return WANTED[lock]
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    own = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    node = re.search(r"^dicom = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    assert own is not None
    assert node is not None
    return re.findall(r'^\s*"([^"]+)"', own[1], re.MULTILINE) + re.findall(r'"([^"]+)"', node[1])


def read_lock(lock: str) -> list[Locked]:
    """The entries of a lock; a line that is none raises ValueError."""
    found: list[Locked] = []
    file = ""
    for line in (HERE / f"{lock}.lock").read_text("utf-8").splitlines():
        if line.startswith("# file: "):
            file = line.removeprefix("# file: ")
        elif line and not line.startswith("#"):
            entry = re.fullmatch(r"([\w.-]+)==([\w.+!]+) --hash=sha256:([0-9a-f]{64})", line)
            if entry is None or not file:
                raise ValueError(f"{lock}.lock: {line!r} is no entry, or its file is not named")
            found.append(Locked(entry[1], entry[2], entry[3], file))
            file = ""
    return found


def write_lock(lock: str, entries: Iterable[Locked]) -> None:
    target = LOCKS[lock]
    lines = [NOTE.format(abi=target.abi, glibc=target.glibc)]
    for entry in sorted(entries, key=lambda entry: entry.name):
        lines.append(f"# file: {entry.file}\n")
        lines.append(f"{entry.name}=={entry.version} --hash=sha256:{entry.sha256}\n")
    (HERE / f"{lock}.lock").write_text("".join(lines), "utf-8")


def ask(target: Target, arguments: list[str]) -> list[dict[str, Any]]:
    """What pip would install there; it installs nothing. Raises RuntimeError with its words."""
    command = [
        sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
        "--target", "unused", "--report", "-", *target.options(), *arguments,
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(answer.stderr.strip())
    return list(json.loads(answer.stdout)["install"])


def entry_of(item: dict[str, Any]) -> Locked:
    download = item["download_info"]
    return Locked(
        canonicalize_name(item["metadata"]["name"]),
        item["metadata"]["version"],
        download["archive_info"]["hashes"]["sha256"],
        download["url"].rsplit("/", 1)[-1],
    )


def needed(items: list[dict[str, Any]], roots: Iterable[str], target: Target) -> set[str]:
    """Names that `roots` come to need on the target, each with what its markers say there."""
    metadata = {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in items}
    todo = [(Requirement(root), "") for root in roots]
    done: set[tuple[str, str]] = set()
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate(
            target.markers | {"extra": extra}
        ):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in done:
                done.add((name, wanted))
                further = metadata.get(name, {}).get("requires_dist", [])
                todo += [(Requirement(text), wanted) for text in further]
    return {name for name, _ in done}


def resolve(lock: str) -> list[Locked]:
    """A set of files that answers the lock's requirements on its target."""
    target, roots = LOCKS[lock], requirements(lock)
    arguments = list(roots)
    with NamedTemporaryFile("w", suffix=".txt") as tested:
        if lock == "service":
            tested.writelines(tested_versions())
            tested.flush()
            arguments += ["--constraint", tested.name]
        # pip reads markers as of the Python it runs under: what only the target needs is added,
        # what only this Python needs is left out.
        while True:
            items = ask(target, arguments)
            names = needed(items, roots, target)
            missing = names - {entry_of(item).name for item in items}
            if not missing:
                return [entry for entry in map(entry_of, items) if entry.name in names]
            arguments += sorted(missing)


def tested_versions() -> Iterator[str]:
    """The versions that the tests ran with, so that the box gets the same where it can."""
    for line in (ROOT / ".ci" / "constraints.txt").read_text("utf-8").splitlines(keepends=True):
        if line.partition("==")[0] not in NOT_FOR_OLD_LIBC:
            yield line


def check(lock: str) -> list[str]:
    """What is amiss, as the index sees it; nothing: empty. Raises RuntimeError with pip's words."""
    target, entries = LOCKS[lock], read_lock(lock)
    file = str(HERE / f"{lock}.lock")
    items = ask(target, ["--no-deps", "--require-hashes", "--requirement", file])
    there = {entry_of(item) for item in items}
    amiss = [
        f"{entry.file}: another file would be taken" for entry in entries if entry not in there
    ]
    names = needed(items, requirements(lock), target)
    amiss += [f"{name}: needed, not locked" for name in sorted(names - {e.name for e in entries})]
    amiss += [f"{e.name}: locked, not needed" for e in entries if e.name not in names]
    return amiss


def main() -> int:
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    amiss: list[str] = []
    for lock in LOCKS:
        if sys.argv[1:]:
            amiss += [f"{lock}.lock: {line}" for line in check(lock)]
        else:
            write_lock(lock, resolve(lock))
        sys.stdout.write(f"{lock}.lock: {len(read_lock(lock))} files\n")
    sys.stderr.writelines(f"{line}\n" for line in amiss)
    return bool(amiss)


if __name__ == "__main__":
    sys.exit(main())
