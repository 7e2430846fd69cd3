"""Try a mutant: a copy of the tree, one text replaced, the tests that must notice."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
DEADLINE_S = 600.0
"""For the tests of one mutant; on a busy machine the longest takes half of it."""
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "__pycache__"
)
_DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """By name of a test: "passed", "failed", or "skipped". A test of many cases has failed if one
    has. seconds: of the run. hung: it was ended at its deadline."""

    tests: dict[str, str]
    seconds: float
    hung: bool = False

    @property
    def survived_by(self) -> list[str]:
        """Names of the tests that did not notice."""
        return [name for name, how in self.tests.items() if how != "failed"]


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The file's text with the mutation. Raises ValueError if it does not apply exactly once."""
    text = (root / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.text) != 1:
        raise ValueError(f"{mutant.file}: the text is there {text.count(mutant.text)} times")
    return text.replace(mutant.text, mutant.replacement)


def defined_tests(root: Path = ROOT) -> dict[str, list[Path]]:
    """Files, below `root`, of every test's name."""
    found: dict[str, list[Path]] = {}
    for file in sorted((root / "tests").rglob("test_*.py")):
        for name in _DEFINED.findall(file.read_text(encoding="utf-8")):
            found.setdefault(name, []).append(file.relative_to(root))
    return found


class Copy:
    """A copy of the tree, in which tests import the copied code. Use as a context."""

    def __enter__(self) -> Copy:
        self._folder = tempfile.TemporaryDirectory(prefix="mutants-")
        self.root = Path(self._folder.name) / "tree"
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT, symlinks=True)
        package = Path(self._folder.name) / "path" / "mammosono"
        package.mkdir(parents=True)
        for name in ("appliance", "engines", "tools"):
            (package / name).symlink_to(self.root / name)
        for name in ("__init__.py", "py.typed"):
            (package / name).symlink_to(self.root / "appliance" / "api" / name)
        self._defined = defined_tests(self.root)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def try_out(self, mutant: Mutant) -> Outcome:
        """Run the mutant's tests on the mutant; the copy is as before afterwards."""
        file = self.root / mutant.file
        before = file.read_text(encoding="utf-8")
        file.write_text(mutated(mutant, self.root), encoding="utf-8")
        try:
            return self.run(mutant.tests)
        finally:
            file.write_text(before, encoding="utf-8")

    def run(self, tests: Iterable[str], deadline_s: float = DEADLINE_S) -> Outcome:
        """Run tests by their names."""
        names = sorted(set(tests))
        report = self.root / "report.xml"
        report.unlink(missing_ok=True)
        places = [f"{file}::{name}" for name in names for file in self._defined[name]]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(self._folder.name) / "path"),
            # A mutated file may have the age and the size of the one before it.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if len(names) == 1:
            command.append("-x")
        started, hung = time.monotonic(), False
        process = subprocess.Popen(
            [*command, *places],
            cwd=self.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what it starts may outlive it
        )
        try:
            process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            hung = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        outcomes = dict.fromkeys(names, "failed" if hung else "not run")
        if report.exists():
            outcomes |= _read(report)
        return Outcome(outcomes, time.monotonic() - started, hung)


def _read(report: Path) -> dict[str, str]:
    worst = ("skipped", "passed", "failed")
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = str(case.get("name")).partition("[")[0]
        kinds = {part.tag for part in case}
        how = "passed"
        if kinds & {"failure", "error"}:
            how = "failed"
        elif "skipped" in kinds:
            how = "skipped"
        found[name] = max(found.get(name, how), how, key=worst.index)
    return found
