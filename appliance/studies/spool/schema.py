"""SQLite schema of the spool, and its migrations."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.studies.spool.seal import seal, sha256

MIGRATIONS = (
    """
    CREATE TABLE studies (
        number    INTEGER PRIMARY KEY AUTOINCREMENT,
        study_id  TEXT NOT NULL UNIQUE,
        owner     TEXT NOT NULL,
        posted    REAL NOT NULL,           -- seconds since 1970, by the box's own clock
        status    TEXT NOT NULL CHECK (status IN ('queued', 'reading', 'done', 'failed')),
        attempts  INTEGER NOT NULL DEFAULT 0,
        settled   REAL,                    -- seconds of shelf time, see clock.py
        verdict   TEXT,
        result    BLOB,
        problem   TEXT,
        CHECK ((status = 'done') = (result IS NOT NULL AND verdict IS NOT NULL)),
        CHECK ((status = 'failed') = (problem IS NOT NULL))
    );
    CREATE INDEX studies_by_status ON studies (status, number);
    CREATE TABLE images (
        number    INTEGER NOT NULL REFERENCES studies (number) ON DELETE CASCADE,
        place     INTEGER NOT NULL,
        modality  TEXT NOT NULL,
        sha256    TEXT NOT NULL,
        size      INTEGER NOT NULL,
        PRIMARY KEY (number, place)
    );
    CREATE INDEX images_by_sha256 ON images (sha256);
    CREATE TABLE clock (
        one   INTEGER PRIMARY KEY CHECK (one = 1),
        shelf REAL NOT NULL,               -- seconds of shelf time at the last tick
        wall  REAL NOT NULL                -- the wall clock then
    );
    """,
    """
    ALTER TABLE studies ADD COLUMN result_sha256 TEXT;
    ALTER TABLE studies ADD COLUMN seal TEXT;     -- see seal.py
    UPDATE studies SET result_sha256 = sha256(result) WHERE result IS NOT NULL;
    UPDATE studies SET seal = seal(number, study_id, verdict, result_sha256) WHERE status = 'done';
    """,
    """
    ALTER TABLE images ADD COLUMN name TEXT;      -- of the posted file, to be shown
    ALTER TABLE images ADD COLUMN laterality TEXT;
    ALTER TABLE images ADD COLUMN view TEXT;
    CREATE TABLE leaving (                 -- files of deleted studies that may still be in uploads/
        sha256 TEXT PRIMARY KEY
    ) WITHOUT ROWID;
    """,
)
"""Migration k takes a spool of user_version k to k + 1. Never changed once released."""


def connect(file: Path) -> sqlite3.Connection:
    """The spool's database, of today's schema. Raises StorageFailed if it is of a later one."""
    # Nobody else's; the files that SQLite makes beside it are as it is.
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    try:
        return _prepared(connection)
    except BaseException:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.create_function("sha256", 1, sha256, deterministic=True)
    connection.create_function("seal", 4, seal, deterministic=True)
    connection.row_factory = sqlite3.Row
    connection.text_factory = _text
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL syncs the log at every commit: NORMAL would lose acknowledged studies in a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StorageFailed(
            f"The spool is of a later version ({version}) of this software; install that again."
        )
    if version < 0:
        raise StorageFailed(f"The spool is of no version ({version}) of this software.")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
    return connection


def _text(stored: bytes) -> str:
    """Of bytes that may have changed on the disk: one row of them must not be the end of all."""
    return stored.decode(errors="replace")
