"""Mutants of kills under load."""

from __future__ import annotations

from mutants.mutant import mutant

QUEUE = "appliance/studies/queue.py"
SPOOL = "appliance/studies/spool"

FIRE = (
    mutant(
        "every study is read with its own images",
        QUEUE,
        "            for i in study.images\n",
        "            for i in spool.list(limit=1000)[-1].images\n",
        "test_what_was_acknowledged_is_settled_once_whoever_is_killed",
    ),
    mutant(
        "what is done stays done after a restart",
        f"{SPOOL}/records.py",
        "        rows = self._db.execute(\n"
        "            f\"SELECT {_WITHOUT_RESULT} FROM studies WHERE status = 'reading'\"\n"
        "        ).fetchall()\n",
        "        self._db.execute(\n"
        "            \"UPDATE studies SET status = 'queued', result = NULL, verdict = NULL \"\n"
        "            \"WHERE status = 'done'\"\n"
        "        )\n"
        "        rows = self._db.execute(\n"
        "            f\"SELECT {_WITHOUT_RESULT} FROM studies WHERE status = 'reading'\"\n"
        "        ).fetchall()\n",
        "test_what_was_acknowledged_is_settled_once_whoever_is_killed",
    ),
    mutant(
        "the studies that wait outlive a restart",
        f"{SPOOL}/spool.py",
        "                self._land()\n",
        "                self._land()\n"
        "                self._database.execute(\"DELETE FROM studies WHERE status = 'queued'\")\n",
        "test_what_was_acknowledged_is_settled_once_whoever_is_killed",
    ),
)
