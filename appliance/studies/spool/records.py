"""SQLite records of studies."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from mammosono.appliance.errors import UnknownStudy
from mammosono.appliance.studies.spool.seal import seal, sha256
from mammosono.appliance.studies.spool.values import Status, StoredImage, Study, Upload
from mammosono.appliance.values import Laterality, Modality, Posted, Verdict

_WITHOUT_RESULT = (
    "number, study_id, owner, posted, status, attempts, verdict, NULL AS result, result_sha256, "
    "seal, problem"
)
_HASH = re.compile("[0-9a-f]{64}")
_GONE = "No study has this id; it may have been deleted to make room."


class Records:
    """The tables of schema.py. Every call that changes something is one transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def enter(self, study_id: str, owner: str, posted: float, uploads: Sequence[Upload]) -> Study:
        """A new study, queued."""
        with self._transaction():
            number = self._db.execute(
                "INSERT INTO studies (study_id, owner, posted, status) VALUES (?, ?, ?, 'queued')",
                (study_id, owner, posted),
            ).lastrowid
            self._db.executemany(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (number, place, u.modality.value, u.sha256, u.size, *_columns(u.posted))
                    for place, u in enumerate(uploads)
                ],
            )
            self._db.executemany(
                "DELETE FROM leaving WHERE sha256 = ?", [(upload.sha256,) for upload in uploads]
            )
            assert number is not None
        return self.find(number)

    def claim(self) -> Study | None:
        """The study that waits longest, now being read; it may be `damaged`."""
        with self._transaction():
            row = self._db.execute(
                "UPDATE studies SET status = 'reading', attempts = attempts + 1 WHERE number = "
                "(SELECT min(number) FROM studies WHERE status = 'queued') RETURNING number"
            ).fetchone()
            return self.find(row["number"]) if row else None

    def requeue(self, study: Study, *, begun: bool = True) -> bool:
        """False if it is not being read. begun: whether that was an attempt."""
        change = "status = 'queued', attempts = attempts - :spared"
        return self._change(study, Status.READING, change, {"spared": int(not begun)})

    def finish(self, study: Study, result: bytes, verdict: Verdict, settled: float) -> bool:
        """False if it is not being read."""
        return self._change(
            study,
            Status.READING,
            "status = 'done', settled = :settled, verdict = :verdict, result = :result, "
            "result_sha256 = sha256(:result), "
            "seal = seal(number, study_id, :verdict, sha256(:result))",
            {"settled": settled, "verdict": verdict.value, "result": result},
        )

    def fail(self, study: Study, problem: Mapping[str, Any], settled: float) -> bool:
        """False if it is not being read."""
        return self._change(
            study,
            Status.READING,
            "status = 'failed', settled = :settled, problem = :problem",
            {"settled": settled, "problem": json.dumps(problem)},
        )

    def exists(self, study: Study) -> bool:
        """The very study, not one posted later under its id."""
        row = self._db.execute("SELECT 1 FROM studies WHERE number = ?", (study.number,))
        return row.fetchone() is not None

    def delete(self, study: Study) -> None:
        """Its files are `leaving` from then on."""
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO leaving SELECT sha256 FROM images WHERE number = ? "
                "AND length(sha256) = 64 AND NOT sha256 GLOB '*[^0-9a-f]*'",
                (study.number,),
            )
            self._db.execute("DELETE FROM studies WHERE number = ?", (study.number,))

    def leaving(self) -> list[str]:
        """Hashes of files of deleted studies that are to be removed, since no other study has
        them."""
        query = "SELECT sha256 FROM leaving WHERE sha256 NOT IN (SELECT sha256 FROM images)"
        return [row[0] for row in self._db.execute(query)]

    def left(self, hashes: Iterable[str]) -> None:
        """They are removed, or it turned out that a study has them."""
        with self._transaction():
            self._db.executemany("DELETE FROM leaving WHERE sha256 = ?", [(h,) for h in hashes])

    def get(self, study_id: str, owner: str | None = None) -> Study:
        """Raises UnknownStudy, also if it is not of `owner`, where one is given."""
        row = self._db.execute(
            "SELECT * FROM studies WHERE study_id = :id AND (:owner IS NULL OR owner = :owner)",
            {"id": study_id, "owner": owner},
        ).fetchone()
        if row is None:
            raise UnknownStudy(_GONE)
        return self._study(row)

    def find(self, number: int) -> Study:
        """The very study, not one posted later under its id. Raises UnknownStudy."""
        row = self._db.execute("SELECT * FROM studies WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise UnknownStudy(_GONE)
        return self._study(row)

    def newest(
        self,
        owner: str | None,
        status: Status | None,
        search: str,
        before: int | None,
        limit: int,
    ) -> list[Study]:
        """Without their results. `search` is a part of the id, `before` a number."""
        rows = self._db.execute(
            f"SELECT {_WITHOUT_RESULT} FROM studies WHERE (:owner IS NULL OR owner = :owner) "
            "AND (:status IS NULL OR status = :status) AND instr(study_id, :search) > 0 "
            "AND (:before IS NULL OR number < :before) ORDER BY number DESC LIMIT :limit",
            {
                "owner": owner,
                "status": status.value if status else None,
                "search": search,
                "before": before,
                "limit": limit,
            },
        ).fetchall()
        return [self._study(row) for row in rows]

    def being_read(self) -> list[Study]:
        rows = self._db.execute(
            f"SELECT {_WITHOUT_RESULT} FROM studies WHERE status = 'reading'"
        ).fetchall()
        return [self._study(row) for row in rows]

    def settled(self, before: float | None = None) -> list[Study]:
        """Those read, then those failed, each the oldest first; without their results.

        before: only what was settled earlier, in shelf time.
        """
        rows = self._db.execute(
            f"SELECT {_WITHOUT_RESULT} FROM studies WHERE status IN ('done', 'failed') "
            "AND (:before IS NULL OR settled < :before) ORDER BY status, number",
            {"before": before},
        ).fetchall()
        return [self._study(row) for row in rows]

    def counts(self) -> dict[Status, int]:
        rows = self._db.execute("SELECT status, count(*) FROM studies GROUP BY status")
        known = {status.value: status for status in Status}
        return dict.fromkeys(Status, 0) | {known[name]: n for name, n in rows if name in known}

    def numbers(self) -> set[int]:
        return {row[0] for row in self._db.execute("SELECT number FROM studies")}

    def result_of(self, number: int) -> str | None:
        """SHA-256 of the study's result; None if it has none, or there is no such study."""
        row = self._db.execute(
            "SELECT result_sha256 FROM studies WHERE number = ? AND status = 'done'", (number,)
        ).fetchone()
        return str(row[0]) if row else None

    def hashes(self) -> set[str]:
        """Of all files of all studies."""
        return {row[0] for row in self._db.execute("SELECT DISTINCT sha256 FROM images")}

    def _change(
        self, study: Study, standing: Status, change: str, values: Mapping[str, object] = {}
    ) -> bool:
        done = self._db.execute(
            f"UPDATE studies SET {change} WHERE number = :number AND status = :standing",
            {"number": study.number, "standing": standing.value, **values},
        )
        return done.rowcount == 1

    def _study(self, row: sqlite3.Row) -> Study:
        """`damaged`, with what can still be said of it, if the row is none that was written
        here: one such row keeps no other study from being read, listed or deleted."""
        try:
            return self._parsed(row)
        except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
            return _remains(row)

    def _parsed(self, row: sqlite3.Row) -> Study:
        intact, status = _is_intact(row), Status(row["status"])
        images = self._images(row["number"])
        if not (status.settled or images):
            raise ValueError("a study of no images")
        return Study(
            number=row["number"],
            study_id=_whole(row["study_id"]),
            owner=_whole(row["owner"]),
            posted=datetime.fromtimestamp(row["posted"], timezone.utc),
            status=status,
            attempts=row["attempts"] + 0,
            images=images,
            verdict=Verdict(row["verdict"]) if row["verdict"] and intact else None,
            result=row["result"] or b"" if intact else b"",
            damaged=not intact,
            problem=_problem(row["problem"]) if status is Status.FAILED else None,
        )

    def _images(self, number: int) -> tuple[StoredImage, ...]:
        rows = self._db.execute("SELECT * FROM images WHERE number = ? ORDER BY place", (number,))
        return tuple(
            StoredImage(Modality(i["modality"]), _hash(i["sha256"]), i["size"] + 0, _posted(i))
            for i in rows
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself may have rolled back, as on a full disk
                self._db.execute("ROLLBACK")
            raise


def _columns(posted: Posted) -> tuple[str | None, ...]:
    return posted.name, posted.laterality and posted.laterality.value, posted.view


def _posted(row: sqlite3.Row) -> Posted:
    side = row["laterality"]
    return Posted(row["name"], Laterality(side) if side else None, row["view"])


def _is_intact(row: sqlite3.Row) -> bool:
    """Whether a row that is done is as it was written; its result, too, if the row holds it."""
    if row["status"] != Status.DONE.value:
        return True
    hashed = row["result_sha256"]
    sealed = seal(row["number"], row["study_id"], str(row["verdict"]), str(hashed))
    return row["seal"] == sealed and (row["result"] is None or sha256(row["result"]) == hashed)


def _remains(row: sqlite3.Row) -> Study:
    """What can be said of a row that is none that was written here."""
    status = row["status"]
    known = status in {each.value for each in Status}
    problem = None
    if status == Status.FAILED.value:
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            problem = _problem(row["problem"])
    return Study(
        number=row["number"],
        study_id=str(row["study_id"]),
        owner=str(row["owner"]),
        posted=datetime.fromtimestamp(0, timezone.utc),
        status=Status(status) if known else Status.FAILED,
        attempts=0,
        images=(),
        problem=problem,
        damaged=True,
    )


def _whole(text: str) -> str:
    """Raises ValueError or TypeError if it is no text that was written here."""
    if "\ufffd" in text:
        raise ValueError("bytes that are no text")
    return text


def _hash(text: str) -> str:
    """Raises ValueError or TypeError if it is none: it names a file."""
    if not _HASH.fullmatch(text):
        raise ValueError("no SHA-256")
    return text


def _problem(text: str) -> dict[str, Any]:
    """Raises ValueError, TypeError or KeyError if it is no problem document."""
    problem: dict[str, Any] = json.loads(text)
    if not all(isinstance(problem[name], str) for name in ("title", "detail", "code")):
        raise ValueError("no problem document")
    return problem | {"status": int(problem["status"])}
