"""Watch a folder: what is whole is posted once, and the answer lies beside it.

Nothing is remembered but in the folder itself, so the watching can be killed at any time: a group
with an answer is done, one without is posted (again; the box knows it by its study id).
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mammosono.appliance.workstation.client import BoxAway, Files, Refused
from mammosono.appliance.workstation.pairing import Group, group

logger = logging.getLogger(__name__)

RESULT, PROBLEM = ".result.json", ".problem.json"


class Posts(Protocol):
    """What is needed of a box."""

    def read(self, files: Files, study_id: str | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. settle: a file is whole when it has not changed for so long. alone: what one test
    waits for the other before it is posted without it. away: first and longest pause when the box
    does not answer."""

    settle: float = 3.0
    alone: float = 600.0
    away: tuple[float, float] = (2.0, 60.0)


@dataclass
class Watch:
    """One look at a folder at a time. told: is given what happens, a line each."""

    folder: Path
    box: Posts
    pace: Pace = Pace()
    now: Callable[[], float] = time.time
    told: Callable[[str], None] = lambda _: None
    _seen: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    _strangers: set[Path] = field(default_factory=set)
    _pause: float = 0.0
    _away_until: float = 0.0

    def look(self) -> int:
        """Post what is ready; how many studies were settled."""
        files = [path for path in self.folder.iterdir() if _is_image(path)]
        whole = {path for path in files if self._unchanged_for(path) >= self.pace.settle}
        groups, strangers = group(files)
        for path in set(strangers) & whole - self._strangers:
            self._strangers.add(path)
            self.told(f"{path.name}: neither DICOM nor named for a test (as in KEY_mg.png); left")
        settled = 0
        for one in groups:
            if self.now() < self._away_until:
                break
            try:
                if self._ready(one, whole):
                    settled += self._post(one)
            except OSError as error:  # taken away meanwhile, or a share that is gone: next time
                self.told(f"{one.key}: {error.strerror}")
        return settled

    def _ready(self, one: Group, whole: set[Path]) -> bool:
        if any(path not in whole for _, path in one.files) or self._answered(one):
            return False
        return one.paired or all(
            self._unchanged_for(path) >= self.pace.alone for _, path in one.files
        )

    def _answered(self, one: Group) -> bool:
        """A later file of the same patient makes the group another study, with a new answer."""
        for kind in (RESULT, PROBLEM):
            path = self.folder / (one.key + kind)
            if path.exists():
                return _study_of(path) == one.study_id
        return False

    def _post(self, one: Group) -> bool:
        study_id = one.study_id
        try:
            document, kind = self.box.read(one.files, study_id), RESULT
        except Refused as error:
            document, kind = {**error.problem, "study_id": study_id}, PROBLEM
        except BoxAway as error:
            self._step_back(error)
            return False
        self._pause = 0.0
        other = PROBLEM if kind == RESULT else RESULT
        _write(self.folder / (one.key + kind), document)
        (self.folder / (one.key + other)).unlink(missing_ok=True)
        said = document["verdict"] if kind == RESULT else document.get("detail")
        self.told(f"{one.key}: {said}")
        return True

    def _step_back(self, error: BoxAway) -> None:
        first, longest = self.pace.away
        self._pause = min(max(2 * self._pause, first), longest)
        pause = max(self._pause, error.retry_after_s or 0.0)
        self._away_until = self.now() + pause
        self.told(f"{error}; again in {pause:.0f} s")

    def _unchanged_for(self, path: Path) -> float:
        """Seconds since the file was last seen to change. The folder may be on another machine,
        with another clock: only what is seen here counts."""
        try:
            state = path.stat()
        except OSError:
            return 0.0
        mark = (state.st_size, state.st_mtime_ns)
        if path not in self._seen or self._seen[path][0] != mark:
            self._seen[path] = (mark, self.now())
        return self.now() - self._seen[path][1]


def _is_image(path: Path) -> bool:
    """Whether the file may be one: not ours, not hidden, not a name that programs write under."""
    name = path.name.lower()
    ours = name.endswith((RESULT, PROBLEM, ".tmp", ".part", ".crdownload"))
    return path.is_file() and not name.startswith(".") and not ours


def _study_of(answer: Path) -> str | None:
    try:
        document = json.loads(answer.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return document.get("study_id") or document.get("id") if isinstance(document, dict) else None


def _write(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
