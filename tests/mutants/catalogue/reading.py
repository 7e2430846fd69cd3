"""Mutants of the reader process and the queue."""

from __future__ import annotations

from mutants.mutant import mutant

QUEUE = "appliance/studies/queue.py"
READER = "appliance/studies/reader_process"

READING = (
    mutant(
        "a study whose reader is lost once is read again",
        QUEUE,
        "MAX_ATTEMPTS = 2",
        "MAX_ATTEMPTS = 1",
        "test_a_study_whose_reader_is_lost_once_is_read_again_and_twice_fails",
    ),
    mutant(
        "a result that cannot be kept ends its study alone",
        QUEUE,
        "            except Exception as error:\n"
        "                await self._fail(study, from_unexpected(error).document())\n",
        "            except StorageError:\n                raise\n",
        "test_a_result_that_cannot_be_kept_for_no_listed_reason_ends_its_study_and_the_next_is_read",
    ),
    mutant(
        "no NaN gets into a result",
        f"{READER}/process.py",
        "ensure_ascii=False, allow_nan=False,",
        "ensure_ascii=False,",
        "test_an_answer_that_is_none_never_becomes_a_result",
    ),
    mutant(
        "a busy reader ends with the service",
        f"{READER}/__main__.py",
        "    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)\n",
        "",
        "test_it_ends_with_the_service_even_by_kill",
    ),
    mutant(
        "a result is of the study that was asked for",
        f"{READER}/process.py",
        "    if known.id != job.study_id or ",
        "    if ",
        "test_an_answer_that_is_none_never_becomes_a_result",
    ),
)
