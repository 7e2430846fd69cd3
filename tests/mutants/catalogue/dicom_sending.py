"""Mutants of what the DICOM node sends."""

from __future__ import annotations

from mutants.mutant import mutant

DICOM_NODE = "appliance/node"

SENDING = (
    mutant(
        "what is put is there after a power cut",
        f"{DICOM_NODE}/outbox.py",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = OFF"',
        "test_file_and_rows_are_synced_before_put_returns",
    ),
    mutant(
        "a destination that is away is left alone for a while",
        f"{DICOM_NODE}/outbox.py",
        'self._about(destination, "not_before = :until", until=now + pause_s(attempts))',
        "pass",
        "test_the_pauses_double_from_half_a_minute_to_an_hour",
        "test_a_pacs_that_is_away_for_two_minutes_gets_all_of_it_afterwards",
    ),
    mutant(
        "what cannot be delivered is given up and said so",
        f"{DICOM_NODE}/outbox.py",
        "                self._give_up(row, reason)\n\n    def reached",
        "                pass\n\n    def reached",
        "test_what_could_not_be_delivered_in_72_hours_is_refused_with_the_reason",
    ),
    mutant(
        "one object that a destination cannot stand goes behind the others",
        f"{DICOM_NODE}/outbox.py",
        "ORDER BY attempts, number LIMIT ?",
        "ORDER BY number LIMIT ?",
        "test_the_order_is_that_of_putting_and_what_failed_goes_last",
    ),
    mutant(
        "a commitment that fails is not tried for ever",
        f"{DICOM_NODE}/outbox.py",
        'if row["uncommitted"] >= MOST_FAILED_COMMITMENTS:',
        "if False:",
        "test_a_commitment_that_fails_sends_that_object_again_three_times_then_refuses_it",
    ),
    mutant(
        "an answer counts for what was asked alone",
        f"{DICOM_NODE}/outbox.py",
        "self._rows(\"WHERE request = ? AND status = 'sent'\", (uid,))",
        "self._rows(\"WHERE ? != '' AND status = 'sent'\", (uid,))",
        "test_an_answer_counts_once_and_only_for_what_was_asked",
    ),
    mutant(
        "what is both committed and not is not",
        f"{DICOM_NODE}/outbox.py",
        'if row["object"] in lost:',
        'if row["object"] in lost - kept:',
        "test_what_the_answer_says_both_of_is_not_committed",
    ),
    mutant(
        "of a forgotten case nothing is left",
        f"{DICOM_NODE}/outbox.py",
        '            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")\n',
        "",
        "test_what_is_forgotten_is_nowhere_in_the_folder",
    ),
    mutant(
        "the libraries log nothing of what is sent",
        f"{DICOM_NODE}/outbox.py",
        "        quiet_libraries()\n",
        "",
        "test_killed_at_any_moment_nothing_is_lost_nothing_is_twice_and_no_name_is_logged",
    ),
    mutant(
        "one process sends from an outbox",
        f"{DICOM_NODE}/sender.py",
        "        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        "test_one_process_sends_from_an_outbox",
    ),
    mutant(
        "an object without a context is refused alone",
        f"{DICOM_NODE}/sender.py",
        "    if not accepts(association, entry.sop_class, entry.syntax):\n",
        "    if False:\n",
        "test_what_a_destination_takes_no_context_for_is_refused_alone",
    ),
    mutant(
        "a lost connection is not taken for sent",
        f"{DICOM_NODE}/sender.py",
        '        raise commitment.lost("an object was sent")\n',
        "        return of_status(0)\n",
        "test_an_object_that_ends_every_association_holds_up_no_other",
    ),
    mutant(
        "what is refused for good is not sent again",
        f"{DICOM_NODE}/association.py",
        "    if (source, diagnostic) == _CALLED_UNKNOWN:\n        return Rejected(\n",
        "    if (source, diagnostic) == _CALLED_UNKNOWN:\n        return Unreachable(\n",
        "test_a_wrong_ae_title_is_refused_at_once_with_the_remedy_and_others_go_on",
    ),
    mutant(
        "a destination announces no more than was agreed",
        f"{DICOM_NODE}/association.py",
        "        if nr_bytes > LARGEST_PDU + _PDU_MARGIN:\n",
        "        if False:\n",
        "test_a_destination_may_not_announce_more_than_was_agreed",
    ),
    mutant(
        "a destination that takes nothing any more is let go",
        f"{DICOM_NODE}/association.py",
        "        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)\n",
        "        del wait\n",
        "test_a_destination_that_freezes_over_an_object_is_let_go",
    ),
    mutant(
        "a destination proves who it is",
        f"{DICOM_NODE}/probe.py",
        "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
        "    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE\n",
        "test_a_destination_is_not_sent_to_without_proof_of_who_it_is",
    ),
    mutant(
        "an answer of STOW-RS has an end",
        f"{DICOM_NODE}/stow.py",
        "                if len(answer) > MOST_ANSWER_BYTES:\n",
        "                if False:\n",
        "test_an_answer_of_stow_says_whether_it_is_tried_again",
    ),
    mutant(
        "what a destination says of a failure is not kept: it may name the patient",
        f"{DICOM_NODE}/sender.py",
        "    return of_status(int(status.Status))\n",
        "    return Outcome(\n"
        '        of_status(int(status.Status)).became, str(status.get("ErrorComment"))\n'
        "    )\n",
        "test_the_words_of_a_destination_are_kept_nowhere",
    ),
    mutant(
        "commitments are asked for and waited for",
        f"{DICOM_NODE}/sender.py",
        "            commitment.ask(association, outbox, name)\n",
        "",
        "test_an_answer_on_the_same_association_counts",
        "test_what_is_not_committed_is_sent_again_three_times_and_then_refused",
    ),
)
