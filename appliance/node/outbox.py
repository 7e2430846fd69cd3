"""Outbox: a durable queue of the objects that each destination is to have.

    waiting --stored by the destination--> sent --committed by it--> committed
    waiting --refused, or not delivered in 72 hours--> refused
    sent    --commitment failed--> waiting, up to three times, then refused

A row of SQLite for each object and destination; the objects are files. The rows name an object by
the SHA-256 of its SOP Instance UID; no identity and no UID in clear is outside of the files.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.uid import UID

from mammosono.appliance.node.quiet import quiet_libraries
from mammosono.appliance.node.uids import hashed
from mammosono.appliance.studies.spool.clock import ShelfClock
from mammosono.engines.disk import sync, write_whole

FOLDER = Path("node") / "outbox"
"""Of the state folder."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 3600.0
DELIVERY_S = 72 * 3600.0
"""After so long a destination that cannot be reached, or has no room, is given up."""
ANSWER_S = 24 * 3600.0
"""So long an answer to a commitment request is waited for; then the destination is queried."""
MOST_FAILED_COMMITMENTS = 3
"""So often an object that was not committed is sent again."""
BATCH = 100
"""Objects of one association, and of one commitment request."""

_SCHEMA = """
CREATE TABLE objects (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    object      TEXT NOT NULL,             -- SHA-256 of the SOP Instance UID, and its file's name
    "case"      TEXT NOT NULL,
    sop_class   TEXT NOT NULL,
    syntax      TEXT NOT NULL,
    status      TEXT NOT NULL DEFAULT 'waiting'
                CHECK (status IN ('waiting', 'sent', 'committed', 'refused')),
    since       REAL NOT NULL,             -- all times in seconds of shelf time, see clock.py
    attempts    INTEGER NOT NULL DEFAULT 0,
    not_before  REAL NOT NULL DEFAULT 0,
    uncommitted INTEGER NOT NULL DEFAULT 0,-- times that the destination did not commit it
    request     TEXT,                      -- the commitment request that names it
    query_at    REAL,                      -- when to look whether it is there; NULL: not asked yet
    settled     REAL,                      -- NULL: something is still to be done
    reason      TEXT NOT NULL DEFAULT '',
    UNIQUE (destination, object)
);
CREATE INDEX objects_by_state ON objects (destination, settled, status);
CREATE INDEX objects_by_case ON objects ("case");
CREATE TABLE destinations (
    name           TEXT PRIMARY KEY,
    attempts       INTEGER NOT NULL DEFAULT 0,
    not_before     REAL NOT NULL DEFAULT 0,
    reason         TEXT NOT NULL DEFAULT '',
    last_sent      REAL,
    last_committed REAL
) WITHOUT ROWID;
CREATE TABLE requests (                    -- for storage commitment
    uid         TEXT PRIMARY KEY,
    destination TEXT NOT NULL,
    asked       REAL NOT NULL,
    answered    REAL
) WITHOUT ROWID;
CREATE TABLE clock (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    shelf REAL NOT NULL,
    wall  REAL NOT NULL
);
PRAGMA user_version = 1;
"""


class OutboxError(Exception):
    """The outbox cannot be used, or not for this. `str(error)` is one line with the remedy."""


class State(str, Enum):
    WAITING = "waiting"
    SENT = "sent"
    COMMITTED = "committed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Entry:
    """One object for one destination. age_s: since when it is in this state. settled: that nothing
    more is done by itself. reason: why it waits or was refused; without identity."""

    number: int
    destination: str
    case: str
    object: str
    sop_class: UID
    syntax: UID
    state: State
    age_s: float
    settled: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination does. oldest_s: age of the object that waits longest. sent_s,
    committed_s: since the last success. reason: why it cannot be reached now."""

    name: str
    waiting: int
    refused: int
    oldest_s: float | None
    sent_s: float | None
    committed_s: float | None
    reason: str


def pause_s(attempts: int) -> float:
    """Seconds until the next attempt: 30 s, then twice as long each time, at most an hour.

    attempts: those that failed, 1 or more.
    """
    return min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 16), LONGEST_PAUSE_S)


class Outbox:
    """A folder: outbox.db and objects/. For any number of threads, and for further processes that
    list, or put back what was settled; one process sends, see `sender.run`.

    What a call changed is on the disk when it returns. Raises OutboxError, sqlite3.Error, OSError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        quiet_libraries()
        self.folder = folder
        self._objects = folder / "objects"
        for each in (folder, self._objects):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(folder)
        self._lock = threading.RLock()
        self._db = _connect(folder / "outbox.db")
        self._clock = ShelfClock(self._db, wall, monotonic)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def tick(self) -> None:
        """Remember the time, for the next run to go on from."""
        with self._lock:
            self._clock.tick()

    # What is to be sent

    def put(self, case: str, destination: str, datasets: Iterable[Dataset]) -> int:
        """Have the destination get these objects; those that it was to have before stay as they
        are. Returns how many are new.

        Datasets are whole, with File Meta; an object is the same wherever its SOP Instance UID is.
        """
        with self._lock:  # a file without a row yet is not to be taken for a left-over one
            rows, written = [], []
            try:
                for dataset in datasets:
                    key = hashed(dataset.SOPInstanceUID)
                    syntax = str(dataset.file_meta.TransferSyntaxUID)
                    rows.append((destination, key, case, str(dataset.SOPClassUID), syntax))
                    if not self._path(key).exists():
                        data = BytesIO()
                        dcmwrite(data, dataset, enforce_file_format=True)
                        write_whole(str(self._path(key)), data.getvalue(), 0o600)
                        written.append(self._path(key))
                with self._transaction():
                    return sum(self._enter(row) for row in rows)
            except BaseException:
                # Of a patient who is forgotten before this is tried again, they would stay.
                for file in written:
                    file.unlink(missing_ok=True)
                raise

    def send_again(self, case: str, destination: str | None = None) -> int:
        """Have the case's settled objects sent again: to that destination or, if none is named, to
        all that were to have them. One that never was is entered. Returns how many."""
        with self._transaction():
            known = self._rows('WHERE "case" = ?', (case,))
            if destination is not None:
                return sum(
                    self._enter((destination, key, case, sop_class, syntax), again=True)
                    for key, sop_class, syntax in dict.fromkeys(
                        (row["object"], row["sop_class"], row["syntax"]) for row in known
                    )
                )
            return sum(
                self._enter(
                    (row["destination"], row["object"], case, row["sop_class"], row["syntax"]),
                    again=True,
                )
                for row in known
            )

    def due(self, destination: str) -> list[Entry]:
        """Those to send now, the oldest first, but what failed before last; none while the
        destination is being left alone."""
        with self._lock:
            now = self._clock.now()
            if self._left_alone(destination, now):
                return []
            return self._entries(
                "WHERE destination = ? AND status = 'waiting' AND settled IS NULL "
                "AND not_before <= ? ORDER BY attempts, number LIMIT ?",
                (destination, now, BATCH),
            )

    def path(self, entry: Entry) -> Path:
        """The object's file, DICOM Part 10."""
        return self._path(entry.object)

    # What became of it

    def stored(self, entry: Entry, *, confirmed_later: bool) -> None:
        """The destination has it. confirmed_later: that it will be asked to commit to it."""
        now = self._clock.now()
        with self._transaction():
            self._set(
                entry,
                "status = 'sent', since = :now, attempts = 0, not_before = 0, request = NULL, "
                "query_at = NULL, reason = '', settled = :settled",
                now=now,
                settled=None if confirmed_later else now,
            )
            self._about(entry.destination, "last_sent = :now", now=now)

    def refused(self, entry: Entry, reason: str) -> None:
        """For good: it is not sent again by itself."""
        with self._transaction():
            for row in self._rows("WHERE number = ? AND status = 'waiting'", (entry.number,)):
                self._refuse(row["number"], reason)

    def postpone(self, entry: Entry, reason: str) -> None:
        """Not now: again after a pause, and refused once that has gone on for DELIVERY_S."""
        with self._transaction():
            self._postpone(entry.number, reason)

    def unreachable(self, destination: str, reason: str) -> None:
        """Nothing can be sent there now: again after a pause. What has waited for DELIVERY_S is
        refused."""
        now = self._clock.now()
        with self._transaction():
            self._about(destination, "attempts = attempts + 1, reason = :reason", reason=reason)
            (attempts,) = self._db.execute(
                "SELECT attempts FROM destinations WHERE name = ?", (destination,)
            ).fetchone()
            self._about(destination, "not_before = :until", until=now + pause_s(attempts))
            for row in self._rows(
                "WHERE destination = ? AND settled IS NULL AND since <= ? "
                "AND coalesce(query_at, since) <= ?",
                (destination, now - DELIVERY_S, now - DELIVERY_S),
            ):
                self._give_up(row, reason)

    def reached(self, destination: str) -> None:
        """It answers; the next failure begins with the shortest pause again."""
        with self._lock:
            self._db.execute(
                "UPDATE destinations SET attempts = 0, not_before = 0, reason = '' "
                "WHERE name = ? AND attempts > 0",
                (destination,),
            )

    # Storage commitment

    def to_ask(self, destination: str) -> list[Entry]:
        """Those sent that the destination has not been asked to commit to."""
        with self._lock:
            now = self._clock.now()
            if self._left_alone(destination, now):
                return []
            return self._entries(
                "WHERE destination = ? AND status = 'sent' AND settled IS NULL "
                "AND query_at IS NULL AND not_before <= ? ORDER BY number LIMIT ?",
                (destination, now, BATCH),
            )

    def request(self, destination: str, entries: Sequence[Entry] = ()) -> UID:
        """A new Transaction UID, noted with what it will name before anybody is asked."""
        uid = UID(f"2.25.{uuid.uuid4().int}")
        with self._transaction():
            self._db.execute(
                "INSERT INTO requests (uid, destination, asked) VALUES (?, ?, ?)",
                (uid, destination, self._clock.now()),
            )
            for entry in entries:
                self._set(entry, "request = :uid", uid=uid)
        return uid

    def asked(self, uid: UID) -> None:
        """The destination took the request: its answer may come for ANSWER_S."""
        with self._transaction():
            self._db.execute(
                "UPDATE objects SET query_at = ?, attempts = 0, not_before = 0 "
                "WHERE request = ? AND status = 'sent'",
                (self._clock.now() + ANSWER_S, uid),
            )

    def not_asked(self, uid: UID) -> None:
        """The destination commits to nothing: it is queried at once."""
        with self._transaction():
            self._db.execute(
                "UPDATE objects SET query_at = ? WHERE request = ? AND status = 'sent'",
                (self._clock.now(), uid),
            )

    def answered(self, uid: UID) -> bool:
        """Whether the request was answered."""
        with self._lock:
            row = self._db.execute("SELECT answered FROM requests WHERE uid = ?", (uid,)).fetchone()
            return row is not None and row["answered"] is not None

    def report(self, uid: str, committed: Collection[str], failed: Collection[str]) -> bool:
        """The answer to a request; SOP Instance UIDs. False if there was no such request.

        Counts once, for what the request named; what it named and the answer does not is queried.
        """
        with self._transaction():
            known = self._db.execute(
                "UPDATE requests SET answered = ? WHERE uid = ?", (self._clock.now(), uid)
            )
            if known.rowcount == 0:
                return False
            lost, kept = set(map(hashed, failed)), set(map(hashed, committed))
            for row in self._rows("WHERE request = ? AND status = 'sent'", (uid,)):
                if row["object"] in lost:
                    self._not_committed(row, "the destination did not commit to keep it")
                elif row["object"] in kept:
                    self._committed(row)
            return True

    def to_query(self, destination: str) -> list[Entry]:
        """Those that the destination has not committed to, and is to be asked whether it has."""
        with self._lock:
            now = self._clock.now()
            if self._left_alone(destination, now):
                return []
            return self._entries(
                "WHERE destination = ? AND status = 'sent' AND settled IS NULL "
                "AND query_at <= ? AND not_before <= ? ORDER BY number LIMIT ?",
                (destination, now, now, BATCH),
            )

    def found(self, entry: Entry, *, there: bool) -> None:
        """What the query gave, which counts as the commitment."""
        with self._transaction():
            for row in self._rows("WHERE number = ? AND status = 'sent'", (entry.number,)):
                if there:
                    self._committed(row)
                else:
                    self._not_committed(row, "the destination does not have it any more")

    def unconfirmed(self, entry: Entry, reason: str) -> None:
        """It stays sent: the destination took it and can neither commit nor be queried."""
        with self._transaction():
            self._unconfirmed(entry.number, reason)

    # What people see and delete

    def entries(self, case: str | None = None) -> list[Entry]:
        """All, or those of a case, in the order of their being put."""
        with self._lock:
            return self._entries(
                'WHERE (:case IS NULL OR "case" = :case) ORDER BY number', {"case": case}
            )

    def standings(self) -> list[Standing]:
        """Of every destination that was ever to have something."""
        with self._lock:
            now = self._clock.now()
            rows = self._db.execute(
                "SELECT o.destination AS name, sum(o.settled IS NULL) AS waiting, "
                "sum(o.status = 'refused') AS refused, "
                "min(CASE WHEN o.settled IS NULL THEN o.since END) AS oldest, "
                "d.last_sent, d.last_committed, coalesce(d.reason, '') AS reason "
                "FROM objects o LEFT JOIN destinations d ON d.name = o.destination "
                "GROUP BY o.destination ORDER BY o.destination"
            ).fetchall()

            def age_s(time: float | None) -> float | None:
                return None if time is None else now - time

            return [
                Standing(
                    name=row["name"],
                    waiting=row["waiting"],
                    refused=row["refused"],
                    oldest_s=age_s(row["oldest"]),
                    sent_s=age_s(row["last_sent"]),
                    committed_s=age_s(row["last_committed"]),
                    reason=row["reason"],
                )
                for row in rows
            ]

    def forget(self, case: str) -> int:
        """Delete the case's rows and files, whatever their state. Returns how many rows."""
        with self._lock:
            deleted = self._delete('"case" = ?', case)
            # Of deleted rows nothing is left in the write-ahead log either.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return deleted

    def retire(self, older_s: float) -> int:
        """Delete what was settled for so long. Returns how many rows."""
        with self._lock:
            before = self._clock.now() - older_s
            self._db.execute(
                "DELETE FROM requests WHERE asked <= ? AND uid NOT IN "
                "(SELECT request FROM objects WHERE request IS NOT NULL)",
                (before,),
            )
            return self._delete("settled <= ?", before)

    def sweep(self) -> None:
        """Remove files that no row has: of rows whose deletion, or entry, was cut off. For the
        process that puts."""
        with self._lock:
            known = {row[0] for row in self._db.execute("SELECT DISTINCT object FROM objects")}
            for file in self._objects.iterdir():
                if file.stem not in known:
                    file.unlink(missing_ok=True)
            sync(self._objects)

    # Rows

    def _path(self, key: str) -> Path:
        return self._objects / f"{key}.dcm"

    def _enter(self, row: tuple[str, str, str, str, str], *, again: bool = False) -> int:
        """1 if the object waits now and did not before."""
        change = (
            "DO UPDATE SET status = 'waiting', since = excluded.since, attempts = 0, "
            "not_before = 0, uncommitted = 0, request = NULL, query_at = NULL, settled = NULL, "
            "reason = '' WHERE settled IS NOT NULL"
            if again
            else "DO NOTHING"
        )
        return self._db.execute(
            'INSERT INTO objects (destination, object, "case", sop_class, syntax, since) '
            f"VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (destination, object) {change}",
            (*row, self._clock.now()),
        ).rowcount

    def _delete(self, where: str, value: object) -> int:
        """Rows, then their files."""
        with self._transaction():
            rows = self._rows(f"WHERE {where}", (value,))
            self._db.execute(f"DELETE FROM objects WHERE {where}", (value,))
            kept = {row[0] for row in self._db.execute("SELECT DISTINCT object FROM objects")}
        if not rows:
            return 0
        for key in {row["object"] for row in rows} - kept:
            self._path(key).unlink(missing_ok=True)
        sync(self._objects)
        return len(rows)

    def _postpone(self, number: int, reason: str) -> None:
        now = self._clock.now()
        for row in self._rows("WHERE number = ? AND settled IS NULL", (number,)):
            if now - row["since"] >= DELIVERY_S:
                self._give_up(row, reason)
            else:
                attempts = row["attempts"] + 1
                self._db.execute(
                    "UPDATE objects SET attempts = ?, not_before = ?, reason = ? WHERE number = ?",
                    (attempts, now + pause_s(attempts), reason, number),
                )

    def _give_up(self, row: sqlite3.Row, reason: str) -> None:
        if row["status"] == State.WAITING.value:
            hours = f"{DELIVERY_S / 3600:.0f} hours"
            self._refuse(row["number"], f"not delivered in {hours}: {reason}")
        else:
            self._unconfirmed(row["number"], reason)

    def _refuse(self, number: int, reason: str) -> None:
        now = self._clock.now()
        self._db.execute(
            "UPDATE objects SET status = 'refused', since = ?, settled = ?, reason = ? "
            "WHERE number = ? AND settled IS NULL",
            (now, now, reason, number),
        )

    def _unconfirmed(self, number: int, reason: str) -> None:
        self._db.execute(
            "UPDATE objects SET settled = ?, reason = ? WHERE number = ? AND status = 'sent' "
            "AND settled IS NULL",
            (self._clock.now(), f"sent, never confirmed: {reason}", number),
        )

    def _committed(self, row: sqlite3.Row) -> None:
        now = self._clock.now()
        self._db.execute(
            "UPDATE objects SET status = 'committed', since = :now, settled = :now, reason = '' "
            "WHERE number = :number",
            {"now": now, "number": row["number"]},
        )
        self._about(row["destination"], "last_committed = :now", now=now)

    def _not_committed(self, row: sqlite3.Row, reason: str) -> None:
        if row["uncommitted"] >= MOST_FAILED_COMMITMENTS:
            self._refuse(row["number"], f"{reason}, {row['uncommitted'] + 1} times")
            return
        self._db.execute(
            "UPDATE objects SET status = 'waiting', since = :now, attempts = 0, not_before = 0, "
            "uncommitted = uncommitted + 1, request = NULL, query_at = NULL, reason = :reason "
            "WHERE number = :number",
            {"now": self._clock.now(), "reason": reason, "number": row["number"]},
        )

    def _set(self, entry: Entry, change: str, **values: object) -> None:
        """Not if it was settled meanwhile, as by a command."""
        self._db.execute(
            f"UPDATE objects SET {change} WHERE number = :number AND settled IS NULL",
            {"number": entry.number, **values},
        )

    def _left_alone(self, destination: str, now: float) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM destinations WHERE name = ? AND not_before > ?", (destination, now)
        ).fetchone()
        return row is not None

    def _about(self, name: str, change: str, **values: object) -> None:
        self._db.execute("INSERT OR IGNORE INTO destinations (name) VALUES (?)", (name,))
        self._db.execute(
            f"UPDATE destinations SET {change} WHERE name = :name", {"name": name, **values}
        )

    def _rows(self, where: str, values: object) -> list[sqlite3.Row]:
        return self._db.execute(f"SELECT * FROM objects {where}", values).fetchall()  # type: ignore[arg-type]

    def _entries(self, where: str, values: object) -> list[Entry]:
        now = self._clock.now()
        return [
            Entry(
                number=row["number"],
                destination=row["destination"],
                case=row["case"],
                object=row["object"],
                sop_class=UID(row["sop_class"]),
                syntax=UID(row["syntax"]),
                state=State(row["status"]),
                age_s=now - row["since"],
                settled=row["settled"] is not None,
                reason=row["reason"],
            )
            for row in self._rows(where, values)
        ]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _connect(file: Path) -> sqlite3.Connection:
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at every commit: NORMAL would lose a row whose object is promised.
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA secure_delete = ON")
        database.execute("BEGIN IMMEDIATE")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, 1):
            raise OutboxError("The outbox is of another version of this software; install that.")
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database
