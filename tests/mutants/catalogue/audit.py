"""Mutants of the audit log."""

from __future__ import annotations

from mutants.mutant import mutant

HTTP = "appliance/http"
SECURITY = "appliance/security"

AUDIT = (
    mutant(
        "an audit line is on the disk when its call returns",
        f"{SECURITY}/audit.py",
        "    os.fsync(handle)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "a new audit log is in its folder after a power cut",
        f"{SECURITY}/audit.py",
        "            if head.events == 0:\n                sync(self._file.parent)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "a post is in the audit log before its answer",
        f"{HTTP}/study_routes.py",
        "        await recording\n",
        "        pass\n",
        "test_a_study_is_acknowledged_when_the_log_says_who_posted_it",
    ),
    mutant(
        "a changed line of the audit log shows",
        f"{SECURITY}/audit.py",
        "            if previous != head:",
        "            if False:",
        "test_what_was_done_to_a_line_shows",
    ),
    mutant(
        "an audit log written anew does not hold a hash noted before",
        f"{SECURITY}/audit.py",
        "is_known = is_known or head == known",
        "is_known = True",
        "test_a_log_that_was_cut_or_written_anew_does_not_hold_the_hash_noted_before",
    ),
    mutant(
        "deletions are in the audit log",
        f"{HTTP}/study_routes.py",
        "    await audit.deleted(who, study_id, done=True)\n",
        "",
        "test_the_audit_log_tells_all_that_was_done_and_is_unbroken",
    ),
    mutant(
        "a deletion that failed is in the audit log",
        f"{HTTP}/study_routes.py",
        "        await audit.deleted(who, study_id, done=False)\n",
        "",
        "test_a_study_that_is_not_deleted_whole_is_no_204_and_the_audit_log_says_so",
    ),
    mutant(
        "the end of the audit log is held against its record",
        f"{SECURITY}/audit.py",
        "            return head, head.fault or difference(head, tail)",
        "            return head, head.fault",
        "test_a_log_that_is_not_as_it_was_left_is_found",
    ),
    mutant(
        "a lost record of the audit log's end shows",
        f"{SECURITY}/audit.py",
        "        if number_of(tail.last) is not None:",
        "        if False:",
        "test_a_log_that_is_not_as_it_was_left_is_found",
    ),
    mutant(
        "what was found wrong with the audit log stays known",
        f"{SECURITY}/audit.py",
        "            return head, head.fault or difference(head, tail)",
        "            return head, difference(head, tail)",
        "test_what_was_found_stays_known_though_the_log_goes_on",
    ),
    mutant(
        "a crash between a line of the audit log and its record is no alarm",
        f"{SECURITY}/audit_head.py",
        "    if tail.begin == head.size and previous_of(tail.last) == head.sha256:",
        "    if False:",
        "test_a_crash_between_the_line_and_its_record_is_no_alarm",
    ),
)
