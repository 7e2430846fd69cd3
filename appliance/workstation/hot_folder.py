"""Hot folder: files that are complete are posted once, and the answer is written beside them.

All state is in the folder itself, so the process can be killed at any time: a group with an answer
is done, one without is posted (again; the appliance knows it by its study id). What is remembered
beside it only saves reading a file twice.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output import wording
from mammosono.appliance.output.document import Result
from mammosono.appliance.values import UnreadImage
from mammosono.appliance.workstation.client import Files, PostRefused, Unavailable
from mammosono.appliance.workstation.listing import Listing, Mark, SeenFile
from mammosono.appliance.workstation.pairing import (
    LEFT,
    Group,
    Image,
    describe,
    group_images,
    same_study,
)

RESULT, PROBLEM = ".result.json", ".problem.json"
_UNFINISHED = (".tmp", ".part", ".crdownload")
_MOST_ANSWER_BYTES = 2**26


class Poster(Protocol):
    """Interface of workstation.client.ApplianceClient."""

    def read(self, files: Files, study_id: str | None = None) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. settle: without a change, after which a file counts as complete. alone: wait of one
    test for the other, after which it is posted by itself. away: first and longest pause when the
    appliance does not answer, or the folder cannot be used."""

    settle: float = 3.0
    alone: float = 600.0
    away: tuple[float, float] = (2.0, 60.0)


@dataclass(slots=True)
class Pause:
    """Back-off: each failure in a row doubles the pause, up to the longest."""

    bounds: tuple[float, float]
    seconds: float = 0.0
    until: float = float("-inf")

    def begin(self, now: float, least: float = 0.0) -> float:
        """Seconds of the pause that begins now."""
        first, longest = self.bounds
        self.seconds = min(max(2 * self.seconds, first), longest)
        pause = max(self.seconds, least)
        self.until = now + pause
        return pause

    def end(self) -> bool:
        """Whether there was one."""
        was, self.seconds = self.seconds > 0, 0.0
        return was


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer beside the images says: of which study, and of which files, if it does."""

    study_id: str
    files: Mapping[str, Mark]


Content = Image | Answer | str
"""Of a file: an image, an answer, or why it is left."""


@dataclass
class HotFolder:
    """A folder that is scanned by `look`, again and again. log: called with a line per event.

    pair_days: as `pairing.group_images`."""

    folder: Path
    appliance: Poster
    timing: Timing = Timing()
    now: Callable[[], float] = time.time
    log: Callable[[str], None] = lambda _: None
    pair_days: int = 0
    _listing: Listing[Content] = field(init=False)
    _unread: bool = False
    _open: dict[str, Group] = field(default_factory=dict)
    _strangers: list[SeenFile[Content]] = field(default_factory=list)
    _failures: Counter[str] = field(default_factory=Counter)
    _said: set[tuple[str, str]] = field(default_factory=set)
    _appliance_away: Pause = field(init=False)
    _folder_away: Pause = field(init=False)

    def __post_init__(self) -> None:
        self._listing = Listing(self.folder, self.now, _is_wanted)
        self._appliance_away = Pause(self.timing.away)
        self._folder_away = Pause(self.timing.away)

    def look(self) -> int:
        """Post the groups that are ready; returns how many got an answer.

        A folder that cannot be used for a while is said, and tried again ever more seldom."""
        posted = 0
        if self.now() < self._folder_away.until:
            return posted
        try:
            changed = self._listing.look()
            self._unread |= changed
            if (self._unread and self._read_new()) or changed:
                self._regroup()
            self._say_strangers()
            # What failed goes to the end: no study keeps the others waiting.
            for group in sorted(self._open.values(), key=lambda one: self._failures[one.key]):
                if self.now() < self._appliance_away.until:
                    break
                posted += self._try(group)
        except OSError as error:
            if not self._folder_away.seconds:
                self.log(f"the folder cannot be used: {_reason(error)}; it is tried again")
            self._folder_away.begin(self.now())
        else:
            if self._folder_away.end():
                self.log("the folder can be used again")
        return posted

    def _read_new(self) -> bool:
        """Read what was not read since it changed; whether anything was."""
        unread = [file for file in self._listing.files.values() if file.content is None]
        failed = {name for name, _ in self._said}
        for file in sorted(unread, key=lambda one: one.path.name in failed):
            try:
                file.content = _content(file)
            except FileNotFoundError:  # the next look will not list it
                continue
            except OSError as error:
                self._say(file, f"{_reason(error)}; it is tried again")
                # Held by who writes it, or not ours; anything else the whole share may have.
                if not isinstance(error, PermissionError):
                    break
        self._unread = any(file.content is None for file in unread)
        return any(file.content is not None for file in unread)

    def _regroup(self) -> None:
        files = self._listing.files
        contents = [file.content for file in files.values()]
        images = [content for content in contents if isinstance(content, Image)]
        self._open = {group.key: group for group in group_images(images, self.pair_days)}
        self._strangers = [file for file in files.values() if isinstance(file.content, str)]
        self._said = {(name, line) for name, line in self._said if name in files}
        self._failures = Counter({key: self._failures[key] for key in self._open})

    def _say_strangers(self) -> None:
        for file in [one for one in self._strangers if self._complete(one)]:
            self._say(file, str(file.content))
            self._strangers.remove(file)

    def _say(self, file: SeenFile[Content], line: str) -> None:
        """Once for each file."""
        if (file.path.name, line) not in self._said:
            self._said.add((file.path.name, line))
            self.log(f"{file.path.name}: {line}")

    def _try(self, group: Group) -> bool:
        """Post the group if it is ready, and close it if it is answered; whether it was posted."""
        files = [self._listing.files[path.name] for _, path in group.files]
        marks = {file.path.name: file.mark for file in files}
        if not all(self._complete(file) for file in files):
            return False
        if self._is_answered(group, marks):
            del self._open[group.key]
            return False
        alone = all(self._unchanged_for(file) >= self.timing.alone for file in files)
        if not (group.left or group.paired or alone):
            return False
        try:
            document = self._left(group) if group.left else self._read(group, marks)
            if document is None:
                return False
            self._answer(group, {**document, "files": marks})
        except FileNotFoundError:  # taken away meanwhile
            return False
        except Unavailable as error:
            self._failures[group.key] += 1
            pause = self._appliance_away.begin(self.now(), error.retry_after_s or 0.0)
            self.log(f"{error}; again in {pause:.0f} s")
            return False
        except OSError:
            self._failures[group.key] += 1
            raise
        return not group.left

    def _is_answered(self, group: Group, marks: Mapping[str, Mark]) -> bool:
        """Whether these very files were. A later file of the same patient makes the group another
        study, with a new answer."""
        same = [answer for _, answer in self._answers(group) if answer.files == marks]
        return any(bool(answer.study_id) != bool(group.left) for answer in same)

    def _answers(self, group: Group) -> list[tuple[Path, Answer]]:
        files = (self._listing.files.get(group.key + kind) for kind in (RESULT, PROBLEM))
        return [
            (file.path, file.content)
            for file in files
            if file is not None and isinstance(file.content, Answer)
        ]

    def _left(self, group: Group) -> dict[str, Any]:
        code = str(group.left)
        return {"title": "The files are left", "code": code, "detail": LEFT[code]}

    def _read(self, group: Group, marks: Mapping[str, Mark]) -> dict[str, Any] | None:
        """The result document, or the problem; None if these bytes have their answer."""
        digest = group.digest(lambda path: self._listing.files[path.name].hashed())
        for path, answer in self._answers(group):
            if same_study(answer.study_id, digest):
                # The next start need not read them again to know.
                _write(path, {**json.loads(path.read_bytes()), "files": marks})
                del self._open[group.key]
                return None
        study_id = group.study_id(digest)
        try:
            document = self.appliance.read(group.files, study_id)
        except PostRefused as error:
            document = {**error.problem, "study_id": study_id}
        self._appliance_away.end()
        return document

    def _answer(self, group: Group, document: dict[str, Any]) -> None:
        """Write the answer beside the files. It replaces an earlier one; why files are left does
        not."""
        kind, other = (RESULT, PROBLEM) if "verdict" in document else (PROBLEM, RESULT)
        _write(self.folder / (group.key + kind), document)
        if not group.left:
            (self.folder / (group.key + other)).unlink(missing_ok=True)
        del self._open[group.key]
        study_id = document.get("study_id") or document.get("id")
        named = f" ({study_id})" if study_id else ""
        self.log(f"{group.key}: {document.get('verdict') or document.get('detail')}{named}")
        for line in _unread(document):
            self.log(f"{group.key}: {line}")

    def _complete(self, file: SeenFile[Content]) -> bool:
        return self._unchanged_for(file) >= self.timing.settle

    def _unchanged_for(self, file: SeenFile[Content]) -> float:
        return self.now() - file.since


def _is_wanted(name: str) -> bool:
    """Whether the file may be an image or an answer: not hidden, not the name of a download."""
    return not name.startswith(".") and not name.lower().endswith(_UNFINISHED)


def _content(file: SeenFile[Content]) -> Content:
    """Raises OSError."""
    if file.path.name.endswith((RESULT, PROBLEM)):
        return _parse_answer(file)
    return describe(file.path)


def _parse_answer(file: SeenFile[Content]) -> Answer:
    """What the file says; nothing, if it is no answer of ours."""
    try:
        fits = file.mark[0] <= _MOST_ANSWER_BYTES
        document = json.loads(file.path.read_bytes()) if fits else {}
        files = {str(name): tuple(mark) for name, mark in document.get("files", {}).items()}
        return Answer(str(document.get("study_id") or document.get("id") or ""), files)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Answer("", {})


def _unread(document: Mapping[str, Any]) -> list[str]:
    """Which images of a result could not be read, and why; nothing of what is none of ours."""
    try:
        reading = Result.parse({key: document[key] for key in document if key != "files"}).reading()
    except ValueError:
        return []
    called = zip(reading.in_order, wording.labels(reading), strict=True)
    return [
        f"{MODALITIES[image.modality].part} {label}{f' ({image.name})' if image.name else ''} "
        f"{wording.NOT_READ}: {' '.join(image.warnings)}"
        for image, label in called
        if isinstance(image, UnreadImage)
    ]


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _write(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
