"""Mutants of the hot folder and the client."""

from __future__ import annotations

from mutants.mutant import mutant

CLIENT = "appliance/workstation"

WORKSTATION = (
    mutant(
        "an answer is bounded",
        f"{CLIENT}/client.py",
        "            if len(body) > MOST_ANSWER_BYTES:",
        "            if False:",
        "test_what_is_no_appliance_is_said_so_in_one_line_and_held_in_little_memory",
    ),
    mutant(
        "an answer has a deadline",
        f"{CLIENT}/client.py",
        "            if time.monotonic() > deadline:",
        "            if False:",
        "test_what_is_no_appliance_is_said_so_in_one_line_and_held_in_little_memory",
    ),
    mutant(
        "an answer is not unfolded",
        f"{CLIENT}/client.py",
        '        if response.headers.get("Content-Encoding", "identity").lower() != "identity":',
        "        if False:",
        "test_what_is_no_appliance_is_said_so_in_one_line_and_held_in_little_memory",
    ),
    mutant(
        "a redirect is not followed",
        f"{CLIENT}/client.py",
        "            base_url=url, headers=headers,",
        "            follow_redirects=True, base_url=url, headers=headers,",
        "test_a_redirect_is_never_followed_with_the_token",
    ),
    mutant(
        "control characters of a server reach nobody",
        f"{CLIENT}/client.py",
        "        return printable(value)\n",
        "        return value\n",
        "test_control_characters_of_a_server_reach_nobody",
    ),
    mutant(
        "one ID of two issuers makes no pair",
        f"{CLIENT}/pairing.py",
        " and len({header.issuer for header in headers if header.issuer}) <= 1",
        "",
        "test_two_people_under_one_patient_id_and_date_are_no_pair",
    ),
    mutant(
        "two people under one patient ID make no pair",
        f"{CLIENT}/pairing.py",
        "    if not _one_person(headers):",
        "    if False:",
        "test_two_people_under_one_patient_id_are_left_and_the_folder_says_why",
    ),
    mutant(
        "a header is not unfolded",
        f"{CLIENT}/header.py",
        "        if self._bytes > _MOST_BYTES or self._reads > _MOST_READS:",
        "        if False:",
        "test_a_header_that_would_unfold_is_not_unfolded",
    ),
    mutant(
        "a file's name is one plain line in the log of a watched folder",
        "appliance/commands/workstation.py",
        " {printable(line)}",
        " {line}",
        "test_watch_writes_any_file_name_as_one_plain_line",
    ),
)
