"""What the node keeps: received files under hashed names, and a database without identity.

An image is on the disk, and its row with it, before its sender is told that it is stored. Names,
IDs and UIDs are in the files alone; the rows hold keyed hashes (patient_key.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.node.pairing import Instance, Post, Posted, merged
from mammosono.appliance.node.uids import Written
from mammosono.appliance.studies.spool import files
from mammosono.appliance.studies.spool.clock import ShelfClock
from mammosono.appliance.studies.spool.files import disk_errors
from mammosono.appliance.values import Modality
from mammosono.engines.disk import sync

DATABASE = "node.db"
_VERSION = 1
_SCHEMA = """
CREATE TABLE instances (
    key          TEXT PRIMARY KEY,
    patient      TEXT NOT NULL,
    study        TEXT NOT NULL,
    modality     TEXT NOT NULL,
    sender       TEXT NOT NULL,
    received     REAL NOT NULL,             -- seconds of shelf time, see clock.py
    day          INTEGER,                   -- on which it was taken, as an ordinal
    birth        TEXT NOT NULL,
    sex          TEXT NOT NULL,
    side         TEXT NOT NULL,
    place        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    unread       INTEGER NOT NULL,
    contradicted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX instances_by_patient ON instances (patient);
CREATE TABLE readings (
    case_key    TEXT NOT NULL,
    version     INTEGER NOT NULL,
    patient     TEXT NOT NULL,
    content     TEXT NOT NULL,
    study_id    TEXT NOT NULL,
    images      TEXT NOT NULL,              -- JSON: keys of the images, in the order posted
    left_out    TEXT NOT NULL,              -- JSON: of each not read, see LeftOut
    no_negative TEXT NOT NULL,              -- JSON: codes
    side        TEXT NOT NULL,
    forced      INTEGER NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('waiting', 'read', 'failed')),
    problem     TEXT NOT NULL DEFAULT '',
    document    BLOB,
    read_at     REAL,                       -- seconds since 1970, by this machine's clock
    at          REAL NOT NULL,              -- of the status
    written     INTEGER NOT NULL DEFAULT 0, -- what is made of the result is in the outbox
    reports     TEXT,                       -- JSON: see uids.Written
    PRIMARY KEY (case_key, version),
    CHECK ((status = 'read') = (document IS NOT NULL))
) WITHOUT ROWID;
CREATE INDEX readings_by_patient ON readings (patient);
CREATE TABLE clock (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    shelf REAL NOT NULL,
    wall  REAL NOT NULL
);
"""
_INSTANCE = (
    "key, patient, study, modality, sender, received, day, birth, sex, side, place, reason, "
    "unread, contradicted"
)


class Status(str, Enum):
    """waiting: to be posted, or being read."""

    WAITING = "waiting"
    READ = "read"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image of the case that is not read. reason: a code, or empty for one too many. failed: it
    should have been read, so that nothing is negative without it. side, place: as of an instance,
    by which people find it."""

    key: str
    modality: Modality
    reason: str
    failed: bool
    side: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class StoredReading:
    """A case as it was posted. images: (modality, file) in the order posted, which is that of the
    document. document: the result, once it is read, and read_at when by this machine's clock, in
    seconds since 1970. at: shelf time of the status. written: what is
    made of the result waits in the outbox, or is sent."""

    case: str
    version: int
    patient: str
    content: str
    study_id: str
    images: tuple[tuple[Modality, Path], ...]
    left_out: tuple[LeftOut, ...]
    no_negative: tuple[str, ...]
    side: str
    forced: bool
    status: Status
    problem: str
    document: dict[str, Any] | None
    read_at: float | None
    at: float
    written: bool


def held(folder: Path, key: str) -> Path:
    """The file of an image, in the store's folder."""
    return folder / "held" / key[:2] / f"{key}.dcm"


class NodeStore:
    """A folder: node.db, incoming/, held/. For several threads; other processes may look and
    forget. Every change is on the disk when its call returns. Raises StorageError."""

    def __init__(
        self,
        folder: Path,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._wall = folder, wall
        self._lock = threading.RLock()
        with disk_errors(folder):
            files.make_folder(folder)
            self._db = _connect(folder / DATABASE)
            self._clock = ShelfClock(self._db, wall, monotonic)
            self._seen = self._data_version()

    def close(self) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._clock.tick()
            self._db.close()

    @property
    def incoming(self) -> Path:
        """Where a file is written while it comes."""
        return self._folder / "incoming"

    def now(self) -> float:
        """Seconds of shelf time, which only go forward."""
        return self._clock.now()

    def sweep(self) -> None:
        """Remove what a kill left over: files that nobody was told are stored. For the one process
        that receives, before it does."""
        with self._lock, disk_errors(self._folder):
            files.empty(self.incoming)
            files.make_folder(self._folder / "held")
            known = {row["key"] for row in self._db.execute("SELECT key FROM instances")}
            for file in (self._folder / "held").glob("*/*"):
                if file.stem not in known:
                    files.remove(file)

    def tick(self) -> None:
        """Remember the time, for the next start."""
        with self._lock, disk_errors(self._folder):
            self._clock.tick()

    def changed(self) -> bool:
        """Whether another process has changed something since the last call."""
        with self._lock, disk_errors(self._folder):
            seen, self._seen = self._seen, self._data_version()
            return seen != self._seen

    def add(self, instance: Instance, file: Path) -> bool:
        """Keep an image, and its file if it is to be read; the file is moved away. False if it was
        there: then the first one stays."""
        with self._lock, disk_errors(self._folder):
            known = self._instance(instance.key)
            if known is not None:
                self._update(known, merged(known, instance))
                return False
            held = self.path(instance.key)
            if instance.eligible:
                sync(file)
                file.chmod(0o600)
                files.move(file, held)
            try:
                row = _row(instance)
                marks = ", ".join("?" * len(row))
                self._db.execute(f"INSERT INTO instances ({_INSTANCE}) VALUES ({marks})", row)
            except BaseException:
                files.try_to_remove(held)
                raise
            return True

    def path(self, key: str) -> Path:
        return held(self._folder, key)

    def instances(self, patient: str | None = None) -> list[Instance]:
        where, values = (" WHERE patient = ?", (patient,)) if patient else ("", ())
        with self._lock, disk_errors(self._folder):
            rows = self._db.execute(f"SELECT {_INSTANCE} FROM instances{where}", values)
            return [_instance(row) for row in rows]

    def begin(self, post: Post) -> StoredReading | None:
        """Put down that the case is to be read; None if its images were forgotten meanwhile."""
        case = post.case
        left_out = [
            [
                each.key,
                each.modality.value,
                each.reason,
                each.unread or each.eligible,
                each.side,
                each.place,
            ]
            for each in case.left_out
        ]
        with self._lock, disk_errors(self._folder), self._transaction():
            if any(self._instance(each.key) is None for each in case.images):
                return None
            self._db.execute(
                "INSERT OR IGNORE INTO readings (case_key, version, patient, content, study_id, "
                "images, left_out, no_negative, side, forced, status, at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)",
                (
                    case.key, post.version, case.patient, case.content, case.study_id,
                    json.dumps([[each.key, each.modality.value] for each in case.images]),
                    json.dumps(left_out), json.dumps(case.no_negative), case.side, post.forced,
                    self.now(),
                ),
            )  # fmt: skip
            row = self._row_of(case.key, post.version)
            return self._stored(row) if row else None

    def finish(self, reading: StoredReading, document: dict[str, Any]) -> bool:
        """Keep the result; False if the patient was forgotten meanwhile."""
        return self._settle(reading, "read", "", json.dumps(document).encode())

    def fail(self, reading: StoredReading, problem: str) -> bool:
        """Keep why there is no result; as `finish`. problem: a code."""
        return self._settle(reading, "failed", problem, None)

    def mark_written(self, reading: StoredReading, written: Written | None) -> bool:
        """written: None where nothing is to be sent. False if the reading was forgotten."""
        reports = json.dumps([written.key, *written.reports]) if written else None
        with self._lock, disk_errors(self._folder):
            done = self._db.execute(
                "UPDATE readings SET written = 1, reports = ? WHERE case_key = ? AND version = ?",
                (reports, reading.case, reading.version),
            )
            return done.rowcount == 1

    def written_before(self, reading: StoredReading) -> Written | None:
        """What was written of the last version of the case before this one."""
        with self._lock, disk_errors(self._folder):
            row = self._db.execute(
                "SELECT reports FROM readings WHERE case_key = ? AND version < ? "
                "AND reports IS NOT NULL ORDER BY version DESC LIMIT 1",
                (reading.case, reading.version),
            ).fetchone()
        if row is None:
            return None
        key, *reports = json.loads(row["reports"])
        return Written(key, tuple(reports))

    def get(self, reading: StoredReading) -> StoredReading | None:
        """The reading as it is now, with its document; None if it was forgotten."""
        with self._lock, disk_errors(self._folder):
            row = self._row_of(reading.case, reading.version)
            return self._stored(row) if row else None

    def readings(self, status: Status | None = None) -> list[StoredReading]:
        """In the order of their cases and versions, without documents."""
        where, values = (" WHERE status = ?", (status.value,)) if status else ("", ())
        with self._lock, disk_errors(self._folder):
            rows = self._db.execute(
                f"SELECT * FROM readings{where} ORDER BY case_key, version", values
            )
            return [self._stored(row, with_document=False) for row in rows]

    def versions(self, case: str) -> list[StoredReading]:
        """Of the cases whose key begins so, all versions, with their documents."""
        with self._lock, disk_errors(self._folder):
            rows = self._db.execute("SELECT * FROM readings ORDER BY case_key, version")
            return [self._stored(row) for row in rows if row["case_key"].startswith(case)]

    def posted(self) -> list[tuple[str, str, Posted]]:
        """Patient, case and what of it was posted last: for pairing.restored."""
        return [
            (
                reading.patient,
                reading.case,
                Posted(reading.content, reading.version, reading.status is not Status.WAITING),
            )
            for reading in self.readings()
        ]

    def expire(self, keys: Sequence[str]) -> None:
        """Remove images and their files."""
        with self._lock, disk_errors(self._folder):
            self._remove(keys)

    def retire(self, results_days: float) -> list[StoredReading]:
        """Remove readings that are older, and of which no image is held any more."""
        limit = self.now() - results_days * 86_400
        with self._lock, disk_errors(self._folder):
            held = {row["patient"] for row in self._db.execute("SELECT patient FROM instances")}
            old = [
                reading
                for reading in self.readings()
                if reading.at < limit and reading.patient not in held
                and reading.status is not Status.WAITING
            ]  # fmt: skip
            with self._transaction():
                self._db.executemany(
                    "DELETE FROM readings WHERE case_key = ? AND version = ?",
                    [(each.case, each.version) for each in old],
                )
            return old

    def forget(self, patient: str) -> list[StoredReading]:
        """Remove all of a patient, from the database's log as well; returns what was read."""
        with self._lock, disk_errors(self._folder):
            gone = [each for each in self.readings() if each.patient == patient]
            keys = [each.key for each in self.instances(patient)]
            with self._transaction():
                self._db.execute("DELETE FROM readings WHERE patient = ?", (patient,))
            self._remove(keys)
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return gone

    def free_bytes(self) -> int:
        with disk_errors(self._folder):
            return files.free_bytes(self._folder)

    def _remove(self, keys: Iterable[str]) -> None:
        """The files first: one that resists keeps its row, and is tried again."""
        for key in keys:
            files.unlink(self.path(key))
            self._db.execute("DELETE FROM instances WHERE key = ?", (key,))

    def _settle(
        self, reading: StoredReading, status: str, problem: str, document: bytes | None
    ) -> bool:
        with self._lock, disk_errors(self._folder):
            done = self._db.execute(
                "UPDATE readings SET status = ?, problem = ?, document = ?, read_at = ?, at = ? "
                "WHERE case_key = ? AND version = ?",
                (
                    status, problem, document, self._wall() if document else None, self.now(),
                    reading.case, reading.version,
                ),
            )  # fmt: skip
            return done.rowcount == 1

    def _instance(self, key: str) -> Instance | None:
        row = self._db.execute(
            f"SELECT {_INSTANCE} FROM instances WHERE key = ?", (key,)
        ).fetchone()
        return _instance(row) if row else None

    def _update(self, known: Instance, after: Instance) -> None:
        if after != known:
            self._db.execute(
                "UPDATE instances SET contradicted = ? WHERE key = ?",
                (after.contradicted, after.key),
            )

    def _row_of(self, case: str, version: int) -> sqlite3.Row | None:
        found: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM readings WHERE case_key = ? AND version = ?", (case, version)
        ).fetchone()
        return found

    def _stored(self, row: sqlite3.Row, *, with_document: bool = True) -> StoredReading:
        return StoredReading(
            case=row["case_key"],
            version=row["version"],
            patient=row["patient"],
            content=row["content"],
            study_id=row["study_id"],
            images=tuple(
                (Modality(modality), self.path(key)) for key, modality in json.loads(row["images"])
            ),
            left_out=tuple(
                LeftOut(key, Modality(modality), *more)
                for key, modality, *more in json.loads(row["left_out"])
            ),
            no_negative=tuple(json.loads(row["no_negative"])),
            side=row["side"],
            forced=bool(row["forced"]),
            status=Status(row["status"]),
            problem=row["problem"],
            document=json.loads(row["document"]) if with_document and row["document"] else None,
            read_at=row["read_at"],
            at=row["at"],
            written=bool(row["written"]),
        )

    def _data_version(self) -> int:
        """Changes when another connection has changed the database."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _row(instance: Instance) -> tuple[object, ...]:
    return (
        instance.key, instance.patient, instance.study, instance.modality.value, instance.sender,
        instance.received, instance.day, instance.birth, instance.sex, instance.side,
        instance.place, instance.reason, instance.unread, instance.contradicted,
    )  # fmt: skip


def _instance(row: sqlite3.Row) -> Instance:
    values = dict(row)
    return Instance(
        **values
        | {
            "modality": Modality(values["modality"]),
            "unread": bool(values["unread"]),
            "contradicted": bool(values["contradicted"]),
        }
    )


def _connect(file: Path) -> sqlite3.Connection:
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at every commit: a power cut loses nothing that a sender was told of.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > _VERSION:
            raise StorageFailed(
                f"{DATABASE} is of a later version ({version}) of this software; install that again"
            )
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db
