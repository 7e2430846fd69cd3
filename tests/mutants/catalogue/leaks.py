"""Mutants of what gets out."""

from __future__ import annotations

from mutants.mutant import mutant

HTTP = "appliance/http"
QUEUE = "appliance/studies/queue.py"
SECURITY = "appliance/security"

LEAKS = (
    mutant(
        "no log line tells whose it is",
        QUEUE,
        '        logger.info("a study was refused: %s", problem["code"])',
        '        logger.info("a study was refused: %s", study.study_id)',
        "test_no_log_line_tells_whose_it_is",
    ),
    mutant(
        "a console prints no control character",
        "appliance/commands/kit.py",
        "                yield Segment(printable_lines(segment.text), segment.style)",
        "                yield segment",
        "test_whatever_a_console_prints_moves_no_cursor",
    ),
    mutant(
        "a refusal of a command is one plain line",
        "appliance/commands/kit.py",
        "    typer.echo(printable(f",
        "    typer.echo((f",
        "test_a_file_s_name_cannot_write_to_the_terminal",
    ),
    mutant(
        "the audit log tells no study's id",
        f"{SECURITY}/audit_events.py",
        '"ParticipantObjectID": hashlib.sha256(study_id.encode()).hexdigest()[:16],',
        '"ParticipantObjectID": study_id,',
        "test_no_file_but_the_posted_ones_and_the_list_of_ids_tells_it",
    ),
    mutant(
        "a request's id is the appliance's own",
        f"{HTTP}/request_id.py",
        "        made = secrets.token_hex(8)",
        '        made = dict(scope["headers"]).get(b"x-request-id", b"1").decode("latin-1")',
        "test_every_answer_has_an_id_of_its_own_and_none_from_the_client",
    ),
    mutant(
        "the container's root is read-only",
        "systemd/mammosono.service",
        "    --read-only \\\n",
        "",
        "test_the_container_can_do_little_and_write_little",
    ),
    mutant(
        "only the build writes plans",
        "systemd/mammosono.service",
        "target=/var/lib/mammosono/plans,readonly",
        "target=/var/lib/mammosono/plans",
        "test_only_the_build_can_write_plans",
    ),
)
