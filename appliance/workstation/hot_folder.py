"""Hot folder: files that are complete are posted once, and the answer is written beside them.

All state is in the folder itself, so the process can be killed at any time: a group with an answer
is done, one without is posted (again; the appliance knows it by its study id).
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

from mammosono.appliance.workstation.client import Files, PostRefused, Unavailable
from mammosono.appliance.workstation.pairing import Group, group_files

logger = logging.getLogger(__name__)

RESULT, PROBLEM = ".result.json", ".problem.json"


class Poster(Protocol):
    """Interface of workstation.client.ApplianceClient."""

    def read(self, files: Files, study_id: str | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. settle: without a change, after which a file counts as complete. alone: wait of one
    test for the other, after which it is posted by itself. away: first and longest pause when the
    appliance does not answer."""

    settle: float = 3.0
    alone: float = 600.0
    away: tuple[float, float] = (2.0, 60.0)


@dataclass
class HotFolder:
    """A folder that is scanned by `look`, again and again. log: called with a line per event."""

    folder: Path
    appliance: Poster
    timing: Timing = Timing()
    now: Callable[[], float] = time.time
    log: Callable[[str], None] = lambda _: None
    _marks: dict[Path, tuple[tuple[int, int], float]] = field(default_factory=dict)
    _unknown: set[Path] = field(default_factory=set)
    _pause: float = 0.0
    _away_until: float = 0.0

    def look(self) -> int:
        """Post the groups that are ready; returns how many got an answer."""
        files = [path for path in self.folder.iterdir() if _is_image(path)]
        complete = {path for path in files if self._unchanged_for(path) >= self.timing.settle}
        groups, unknown = group_files(files)
        for path in set(unknown) & complete - self._unknown:
            self._unknown.add(path)
            self.log(f"{path.name}: neither DICOM nor named for a test (as in KEY_mg.png); left")
        settled = 0
        for each in groups:
            if self.now() < self._away_until:
                break
            try:
                if self._ready(each, complete):
                    settled += self._post(each)
            except OSError as error:  # taken away meanwhile, or a share that is gone: next time
                self.log(f"{each.key}: {error.strerror}")
        return settled

    def _ready(self, group: Group, complete: set[Path]) -> bool:
        if any(path not in complete for _, path in group.files) or self._answered(group):
            return False
        return group.paired or all(
            self._unchanged_for(path) >= self.timing.alone for _, path in group.files
        )

    def _answered(self, group: Group) -> bool:
        """A later file of the same patient makes the group another study, with a new answer."""
        for kind in (RESULT, PROBLEM):
            path = self.folder / (group.key + kind)
            if path.exists():
                return _study_of(path) == group.study_id
        return False

    def _post(self, group: Group) -> bool:
        study_id = group.study_id
        try:
            document, kind = self.appliance.read(group.files, study_id), RESULT
        except PostRefused as error:
            document, kind = {**error.problem, "study_id": study_id}, PROBLEM
        except Unavailable as error:
            self._pause_posting(error)
            return False
        self._pause = 0.0
        other = PROBLEM if kind == RESULT else RESULT
        _write(self.folder / (group.key + kind), document)
        (self.folder / (group.key + other)).unlink(missing_ok=True)
        outcome = document["verdict"] if kind == RESULT else document.get("detail")
        self.log(f"{group.key}: {outcome}")
        return True

    def _pause_posting(self, error: Unavailable) -> None:
        first, longest = self.timing.away
        self._pause = min(max(2 * self._pause, first), longest)
        pause = max(self._pause, error.retry_after_s or 0.0)
        self._away_until = self.now() + pause
        self.log(f"{error}; again in {pause:.0f} s")

    def _unchanged_for(self, path: Path) -> float:
        """Seconds since the file's last change was observed. Its own time would be no measure: the
        folder may be on a machine with another clock."""
        try:
            state = path.stat()
        except OSError:
            return 0.0
        mark = (state.st_size, state.st_mtime_ns)
        if path not in self._marks or self._marks[path][0] != mark:
            self._marks[path] = (mark, self.now())
        return self.now() - self._marks[path][1]


def _is_image(path: Path) -> bool:
    """Whether the file may be an image: not ours, not hidden, not the name of a download."""
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
