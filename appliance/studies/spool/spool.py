"""Spool: a durable queue and store of studies, SQLite rows beside files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mammosono.appliance.errors import (
    QueueFull,
    StorageDamaged,
    StorageError,
    StorageFailed,
    StorageFull,
    StudyConflict,
    UnknownStudy,
)
from mammosono.appliance.studies.spool import files, seal
from mammosono.appliance.studies.spool.clock import ShelfClock
from mammosono.appliance.studies.spool.files import disk_errors
from mammosono.appliance.studies.spool.records import Records
from mammosono.appliance.studies.spool.schema import connect
from mammosono.appliance.studies.spool.values import (
    Retained,
    Status,
    StoredImage,
    Study,
    Upload,
)
from mammosono.appliance.values import Verdict
from mammosono.engines.disk import sync

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 5
"""A study that was being read at five crashes more likely caused them than not."""
RESERVE_BYTES = 2**20
"""Given up to open the spool on a full disk: without room not even a study can be deleted."""
_NOT_DELETED = (
    "Not all of the study is deleted: delete it again until it is unknown; files that outlive it "
    "are removed by the appliance."
)
_OTHER_LIST = (
    "studies.db was moved or replaced while the service runs; stop it, put it back, start it."
)
_NO_LINKS = "Put the folder back; to use another disk, move all of the state: MAMMOSONO_STATE."
_DAMAGED = "The study was damaged on the disk; post the images again under the same id."


class Spool:
    """A folder: studies.db, incoming/, uploads/, drawing/ and pictures/; unclaimed/ after a loss of
    the database; and a reserve of room. For one thread at a time.

    A file is in uploads/ only while the database says whose it is: it waits for its row in
    incoming/, and a deleted study's are noted until they are gone. One that no row knows there is
    of a later state than the database.

    Every change is on the disk when its call returns. Any call raises StorageError where the disk
    refuses; what was there before is then still there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        queue_length: int,
        max_age_s: float,
        min_free_bytes: int,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = files.free_bytes,
        retired: Callable[[Sequence[Study]], None] = lambda _: None,
    ) -> None:
        """Open or make the spool; studies that were being read go back into the queue, posted files
        that the database does not know go to unclaimed/. Raises StorageFailed if another process
        has it open.

        retired: called with the studies that were removed for their age or to make room."""
        self._retired = retired
        self._folder, self._wall, self._free = folder, wall, free_bytes
        self.queue_length = queue_length
        self._max_age_s, self._min_free_bytes = max_age_s, min_free_bytes
        with self._disk_errors(), contextlib.ExitStack() as undo:
            files.make_folder(folder)
            self._lock = _only_process(folder / "lock")
            undo.callback(os.close, self._lock)
            try:
                self._start(monotonic)
            except StorageFull:
                if not self._reserve.exists():
                    raise
                self._reserve.unlink()
                self._start(monotonic)
                undo.callback(self._database.close)
                self._free_up(max(self._min_free_bytes, 2 * RESERVE_BYTES))
            else:
                undo.callback(self._database.close)
            self._keep_reserve()
            self._say_unclaimed()
            undo.pop_all()

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._clock.tick()
        self._database.close()
        os.close(self._lock)

    def unclaimed_files(self) -> int:
        """Posted files that are kept though the database that said whose they are was lost, or an
        older one was put in its place."""
        with self._disk_errors():
            folder = self._folder / "unclaimed"
            return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0

    @property
    def incoming(self) -> Path:
        """Where a posted file is written before it is taken; emptied when the spool is opened."""
        return self._folder / "incoming"

    def accept(self, study_id: str | None, owner: str, uploads: Sequence[Upload]) -> Study:
        """Keep the study and its files, or find it where the same was posted before.

        The uploads' own files are moved away. Raises StudyConflict or QueueFull, too; whatever is
        raised, nothing of the study is kept.
        """
        self._require_own_list()
        known = self._known(study_id, owner, uploads)
        if known is not None:
            return known
        if self.counts()[Status.QUEUED] >= self.queue_length:
            raise QueueFull("Wait the seconds of Retry-After, then post the study again.")
        self._make_room()
        hashes = {upload.sha256 for upload in uploads}
        with self._disk_errors(), contextlib.ExitStack() as undo:
            for upload in uploads:
                undo.callback(files.try_to_remove, self._arriving(upload.sha256))
                sync(upload.path)
                upload.path.replace(self._arriving(upload.sha256))
            sync(self.incoming)
            name = study_id or secrets.token_urlsafe(16)
            study = self._records.enter(name, owner, self._wall(), uploads)
            undo.callback(self._undo, study)
            self._require_own_list()
            for sha256 in hashes:
                files.move(self._arriving(sha256), self.upload_path(sha256))
            undo.pop_all()
        return study

    def claim(self) -> Study | None:
        """The study that waits longest, now being read; None if none waits. One that is `damaged`
        cannot be read."""
        with self._disk_errors():
            return self._records.claim()

    def finish(self, study: Study, result: bytes, verdict: Verdict) -> bool:
        """The study's one result; False if it was deleted meanwhile."""
        with self._disk_errors():
            return self._records.finish(study, result, verdict, self._clock.now())

    def fail(self, study: Study, problem: Mapping[str, Any]) -> bool:
        """Why the study has no result; False if it was deleted meanwhile."""
        with self._disk_errors():
            return self._records.fail(study, problem, self._clock.now())

    def requeue(self, study: Study, *, begun: bool = True) -> bool:
        """Back into the queue, at its old place; False if it was deleted meanwhile.

        begun: whether a reader had begun it, which counts as an attempt."""
        with self._disk_errors():
            return self._records.requeue(study, begun=begun)

    def drawing(self, study: Study) -> Path:
        """A new empty folder in which pictures of the study can be drawn, for `attach`."""
        folder = self._folder / "drawing" / str(study.number)
        with self._disk_errors():
            files.empty(folder)
        return folder

    def attach(self, study: Study) -> bool:
        """Keep the pictures of `drawing` beside those of other images, as those of the study's
        result; False if it has none, or was deleted meanwhile."""
        drawn = self._folder / "drawing" / str(study.number)
        with self._disk_errors():
            result = self._records.result_of(study.number)
            if result is None:
                files.remove(drawn)
                return False
            pictures = self._pictures(study.number, result)
            files.make_folder(pictures.parent)
            files.make_folder(pictures)
            for picture in drawn.iterdir():
                picture.chmod(0o600)
                picture.replace(pictures / picture.name)
            files.remove(drawn)
        return True

    def discard(self, study: Study) -> None:
        """Remove what was drawn and not attached."""
        with self._disk_errors():
            files.remove(self._folder / "drawing" / str(study.number))

    def picture(self, study: Study, name: str) -> Path | None:
        """The file of that name among the pictures of the study's result, if they are drawn."""
        path = self._pictures(study.number, seal.sha256(study.result)) / name
        return path if path.is_file() else None

    def upload_path(self, sha256: str) -> Path:
        return self._folder / "uploads" / sha256[:2] / sha256

    def get(self, study_id: str, owner: str | None = None) -> Study:
        """Raises UnknownStudy, also if it is not of `owner`, where one is given; StorageDamaged if
        its result is no longer what was written."""
        study = self._get(study_id, owner)
        _require_intact(study)
        return study

    def again(self, study: Study) -> Study:
        """The study as it is now: the one of its number, whatever has its id by now.

        Raises UnknownStudy once it was deleted, StorageDamaged as `get` does."""
        with self._disk_errors():
            study = self._records.find(study.number)
        _require_intact(study)
        return study

    def list(
        self,
        *,
        owner: str | None = None,
        status: Status | None = None,
        search: str = "",
        before: int | None = None,
        limit: int = 100,
    ) -> list[Study]:
        """Studies, the newest first, without their result documents.

        search: a part of the id. before: only studies whose number is smaller.
        """
        with self._disk_errors():
            return self._records.newest(owner, status, search, before, limit)

    def counts(self) -> Mapping[Status, int]:
        with self._disk_errors():
            return self._records.counts()

    def delete(self, study_id: str, owner: str | None = None) -> Study:
        """Remove the study, its result and its bytes; returns what it was.

        Raises UnknownStudy as `get` does, and StorageFailed if something of it is still there: the
        study, which can be deleted again, or posted files, which `retain` goes on removing."""
        study = self._get(study_id, owner)
        try:
            self._remove([study])
        except StorageFailed as error:
            raise StorageFailed(f"{_NOT_DELETED} {error}") from error
        return study

    def retain(self) -> Retained:
        """Delete what has lain for longer than it may, and the oldest while the disk runs full:
        studies that were read first, then failed ones, those that wait never. Writes in any case:
        raises StorageError if the disk permits nothing to be written."""
        with self._disk_errors():
            self._clock.tick()
            old = self._records.settled(before=self._clock.now() - self._max_age_s)
            try:
                self._remove_leaving()  # what resisted before
                self._remove(old)
            finally:
                gone = [study for study in old if not self._records.exists(study)]
                if gone:
                    self._retired(gone)
        by_space = self._free_up(self._min_free_bytes)
        self._keep_reserve()
        return Retained(len(gone), by_space)

    def free_bytes(self) -> int:
        with self._disk_errors():
            return self._free(self._folder)

    def check(self) -> None:
        """Raises StorageFull or StorageFailed if a study could not be taken now, as far as a look
        can tell: everybody may ask, so nothing is written. `retain` writes, and shows the rest."""
        if self.free_bytes() < max(self._min_free_bytes, files.FULL_BYTES):
            raise StorageFull("The disk is nearly full; delete studies or free space.")
        self._require_own_list()
        with self._disk_errors():
            if not os.access(self.incoming, os.W_OK):
                raise PermissionError(errno.EACCES, "not writable")

    def _require_own_list(self) -> None:
        """Raises StorageFailed if another file, or none, has the place of the list that is open:
        what is written to that would be gone with this process."""
        with self._disk_errors():
            if _identity(self._folder / "studies.db") != self._list_file:
                raise StorageFailed(_OTHER_LIST)

    def _known(self, study_id: str | None, owner: str, uploads: Sequence[Upload]) -> Study | None:
        """The study posted before under this id, unless that post came to nothing."""
        if study_id is None:
            return None
        try:
            study = self._get(study_id)
        except UnknownStudy:
            return None
        if study.owner != owner:
            raise StudyConflict("Post the images under another id.")
        same = list(map(_as_read, study.images)) == list(map(_as_read, uploads))
        failed = study.problem is not None and (not same or study.problem["status"] >= 500)
        if failed or (study.damaged and (same or not study.images)):
            # Nothing was read under this id: better images, or a better day, may have it.
            self._remove([study])
            return None
        if not same:
            raise StudyConflict("Post other images under an id of their own.")
        return study

    def _get(self, study_id: str, owner: str | None = None) -> Study:
        """As `get`, and one whose result is damaged as well."""
        with self._disk_errors():
            return self._records.get(study_id, owner)

    def _make_room(self) -> None:
        self._free_up(self._min_free_bytes)
        if self.free_bytes() < self._min_free_bytes:
            raise StorageFull("Wait until older studies have made room, or free space.")

    def _free_up(self, least: int) -> int:
        """Delete settled studies until `least` bytes are free; how many went."""
        gone = 0
        if self.free_bytes() < least:
            with self._disk_errors():
                oldest_first = self._records.settled()
            for study in oldest_first:
                self._remove([study])
                self._retired([study])
                gone += 1
                if self.free_bytes() >= least:
                    break
        return gone

    def _remove(self, studies: Sequence[Study]) -> None:
        """All that can be. Raises StorageFailed for what resists, when the others are gone."""
        resisting: StorageError | None = None
        for study in studies:
            try:
                with self._disk_errors():
                    # What can be drawn again first: if it resists, the study is still there, and
                    # can be deleted again.
                    for pictures in self._folder.glob(f"pictures/{study.number}-*"):
                        files.remove(pictures)
                    # Then the row: a file without a row is removed later, a row without its file
                    # is a loss.
                    self._records.delete(study)
                    self._remove_leaving()
            except StorageError as error:
                resisting = error
        if studies:
            with self._disk_errors():
                # Until then the write-ahead log still holds what secure_delete has overwritten.
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if resisting is not None:
            raise resisting

    def _undo(self, study: Study) -> None:
        """Of a study that was entered and cannot be acknowledged."""
        with contextlib.suppress(StorageError):
            self._remove([study])

    def _remove_leaving(self) -> None:
        """The files of deleted studies. Raises OSError for one that resists, when the others are
        gone."""
        gone: list[str] = []
        resisting: OSError | None = None
        for sha256 in self._records.leaving():
            try:
                files.unlink(self.upload_path(sha256))
                gone.append(sha256)
            except OSError as error:
                resisting = error
        if gone:
            self._records.left(gone)
        if resisting is not None:
            raise resisting

    def _start(self, monotonic: Callable[[], float]) -> None:
        """Connect and tidy up; leaves no handle open if it raises."""
        with self._disk_errors():
            for name in ("incoming", "uploads", "drawing", "pictures", "unclaimed"):
                if (self._folder / name).is_symlink():  # what it leads to is not ours to remove
                    raise StorageFailed(f"spool/{name} is a link. {_NO_LINKS}")
            files.empty(self._folder / "drawing")
            for folder in (self.incoming, self._folder / "uploads"):
                files.make_folder(folder)
                sync(folder)  # whoever was killed here may not have come to it
            for folder in (self._folder, self._folder.parent):
                sync(folder)
            self._database = connect(self._folder / "studies.db")
            try:
                self._list_file = _identity(self._folder / "studies.db")
                self._records = Records(self._database)
                self._clock = ShelfClock(self._database, self._wall, monotonic)
                self._land()
                self._sweep()
                self._recover()
            except BaseException:
                self._database.close()
                raise

    def _land(self) -> None:
        """Move files to their place whose study was entered just before the power went; what else
        is in incoming/ was never acknowledged."""
        hashes = self._records.hashes()
        for path in self.incoming.iterdir():
            if path.name in hashes:
                files.move(path, self.upload_path(path.name))
        files.empty(self.incoming)

    def _say_unclaimed(self) -> None:
        count = self.unclaimed_files()
        if count:
            logger.error(
                "studies.db was lost, or is an older copy: %d posted files that it does not know "
                "are kept in spool/unclaimed; post those studies again, then remove the folder",
                count,
            )

    def _arriving(self, sha256: str) -> Path:
        """Where a posted file waits for the row of its study."""
        return self.incoming / sha256

    @property
    def _reserve(self) -> Path:
        return self._folder / "reserve"

    def _keep_reserve(self) -> None:
        if not self._reserve.exists() and self.free_bytes() > self._min_free_bytes + RESERVE_BYTES:
            files.reserve(self._reserve, RESERVE_BYTES)

    def _disk_errors(self) -> contextlib.AbstractContextManager[None]:
        return disk_errors(self._folder)

    def _recover(self) -> None:
        for study in self._records.being_read():
            if study.attempts < MOST_ATTEMPTS:
                self._records.requeue(study)
            else:
                self._records.fail(study, _given_up(study), self._clock.now())

    def _sweep(self) -> None:
        """Put away what no study has: deleted files are removed, those that the database does not
        know at all are kept in unclaimed/."""
        with contextlib.suppress(OSError):  # what resists is tried again by `retain`
            self._remove_leaving()
        hashes = self._records.hashes()
        for path in self._folder.glob("unclaimed/*"):
            if path.name in hashes:  # the right list of studies was put back
                files.move(path, self.upload_path(path.name))
        hashes.update(self._records.leaving())
        for path in self._folder.glob("uploads/*/*"):
            if path.name not in hashes:
                files.move(path, self._folder / "unclaimed" / path.name)
        numbers = {str(n) for n in self._records.numbers()}
        for path in self._folder.glob("pictures/*"):
            number, _, result = path.name.partition("-")
            if number not in numbers:
                files.try_to_remove(path)
            elif not result and (sealed := self._records.result_of(int(number))):
                path.replace(self._pictures(int(number), sealed))  # as earlier versions named it

    def _pictures(self, number: int, result: str) -> Path:
        """By the result that they belong to as well: another copy of the list of studies may know
        another study by the same number. result: its SHA-256."""
        return self._folder / "pictures" / f"{number}-{result[:16]}"


def _as_read(image: Upload | StoredImage) -> tuple[object, ...]:
    """What a reading of it hangs on; the same file may come by another name."""
    return image.modality, image.sha256, image.posted.laterality, image.posted.view


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _only_process(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StorageFailed(
            "Another mammosono serves from this state folder; stop it, or set MAMMOSONO_STATE."
        ) from None
    return handle


def _require_intact(study: Study) -> None:
    if study.damaged and study.problem is None:
        raise StorageDamaged(_DAMAGED)


def _given_up(study: Study) -> dict[str, Any]:
    return {
        "title": "The study could not be read to its end",
        "status": 503,
        "detail": f"The appliance stopped {study.attempts} times while it read this study; "
        "look at its images, then post it again.",
        "code": "reader_lost",
        "instance": f"/v1/studies/{study.study_id}",
    }
