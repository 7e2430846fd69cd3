"""The mutants: what is taken out, what it was for, and the tests that must fail without it."""

from __future__ import annotations

from dataclasses import dataclass

HTTP = "appliance/http"
QUEUE = "appliance/studies/queue.py"
CLIENT = "appliance/workstation"
DICOM_NODE = "appliance/node"
READER = "appliance/studies/reader_process"
SECURITY = "appliance/security"
SPOOL = "appliance/studies/spool"
STUDY = "appliance/pipeline/study.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """promise: what holds no more. file: below the root. text: stands in it exactly once.

    tests: names of test functions, each of which must fail.
    """

    promise: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]


def mutant(promise: str, file: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(promise, file, text, replacement, tests)


ACCESS = (
    mutant(
        "a request without a token is refused",
        f"{SECURITY}/access.py",
        'raise Unauthorised("Send Authorization: Bearer TOKEN, or sign in on the page.")',
        "return self._anybody(request)",
        "test_no_route_but_the_public_ones_answers_without_a_token",
    ),
    mutant(
        "every route says who may use it",
        f"{HTTP}/session_routes.py",
        '@router.delete("", status_code=204, dependencies=[anyone()], ',
        '@router.delete("", status_code=204, ',
        "test_every_route_says_once_who_may_use_it",
    ),
    mutant(
        "no service on the network without tokens",
        f"{SECURITY}/exposure.py",
        "    if not tokens and not tokens_are_optional(settings):",
        "    if False:",
        "test_the_network_reaches_it_with_tokens_and_tls_alone",
    ),
    mutant(
        "no service on the network without TLS",
        f"{SECURITY}/exposure.py",
        '    if exposed and "tls" not in (settings.expose or ""):',
        "    if False:",
        "test_the_network_reaches_it_with_tokens_and_tls_alone",
    ),
    mutant(
        "a secret has 256 bits",
        f"{SECURITY}/tokens.py",
        "TOKEN_BYTES = 32",
        "TOKEN_BYTES = 16",
        "test_a_secret_has_256_bits_and_none_is_like_another",
    ),
    mutant(
        "wrong tokens are held back",
        f"{SECURITY}/access.py",
        "        if left:",
        "        if False:",
        "test_wrong_tokens_are_held_back_and_right_ones_are_not",
    ),
    mutant(
        "hashes are compared in constant time",
        f"{SECURITY}/tokens.py",
        "            if hmac.compare_digest(token.sha256, presented):",
        "            if token.sha256 == presented:",
        "test_every_token_is_compared_in_constant_time",
    ),
    mutant(
        "a revoked token is refused at the next request",
        f"{SECURITY}/tokens.py",
        "            if version != self._version:",
        "            if self._version is None:",
        "test_what_another_process_changes_holds_from_the_next_call_on",
    ),
    mutant(
        "the events of a revoked token end",
        f"{HTTP}/event_routes.py",
        "            if not access.is_current(who):",
        "            if False:",
        "test_events_tell_a_workstation_of_its_own_studies_and_end_with_its_token",
    ),
    mutant(
        "a stream ends with its very token, whoever has its name by then",
        f"{SECURITY}/access.py",
        "        token = self._token(who.token)\n",
        "        every = self._tokens.all()\n"
        "        token = next((one for one in every if one.name == who.name), None)\n",
        "test_the_stream_of_a_token_that_was_replaced_under_its_name_ends",
    ),
    mutant(
        "a session ends with its very token",
        f"{SECURITY}/access.py",
        "for token in self._tokens.all() if token.sha256 == sha256), None)",
        "for token in self._tokens.all()), None)",
        "test_a_session_ends_with_its_very_token",
    ),
    mutant(
        "who waits for a study gets nothing once the token is revoked",
        f"{HTTP}/study_routes.py",
        "    if not access.is_current(who):",
        "    if False:",
        "test_who_waits_for_a_study_gets_nothing_once_the_token_is_revoked",
    ),
    mutant(
        "a cookie's name is bound to the port",
        f"{SECURITY}/access.py",
        '    name = f"{COOKIE}-{server[1]}"',
        "    name = COOKIE",
        "test_the_cookie_is_not_the_token_and_its_name_is_bound_to_the_port",
    ),
    mutant(
        "a token opens nothing as a cookie",
        f"{SECURITY}/sessions.py",
        "        session_id = secrets.token_urlsafe(ID_BYTES)\n"
        "        session = Session(key_of(session_id), token, self._clock() + LONGEST_S)\n",
        "        session_id = secrets.token_urlsafe(ID_BYTES)\n"
        "        session = Session(key_of(session_id), token, self._clock() + LONGEST_S)\n"
        "        self._sessions[token] = session\n",
        "test_the_cookie_is_not_the_token_and_its_name_is_bound_to_the_port",
    ),
    mutant(
        "a session ends when it is signed out of",
        f"{SECURITY}/access.py",
        "            self._sessions.end(key_of(session_id))",
        "            pass",
        "test_after_sign_out_the_session_is_dead_and_the_token_is_not",
    ),
    mutant(
        "a session ends after a working day",
        f"{SECURITY}/sessions.py",
        "return session if session is not None and self._clock() < session.ends else None",
        "return session",
        "test_a_session_ends_after_a_working_day_however_it_is_used",
    ),
    mutant(
        "a token file that vanishes lets nobody in",
        f"{SECURITY}/tokens.py",
        "        return self._used or self._is_recorded()",
        "        return self._version is not None",
        "test_the_first_token_closes_the_appliance_and_the_last_one_revoked_does_not_open_it",
    ),
    mutant(
        "a token file that cannot be read lets nobody in",
        f"{SECURITY}/tokens.py",
        "        except (OSError, ValueError, KeyError, TypeError, RecursionError):\n"
        "            raise StorageFailed(_UNREADABLE) from None\n",
        "        except (OSError, ValueError, KeyError, TypeError, RecursionError):\n"
        "            self._tokens, self._version = (), None\n",
        "test_a_file_that_cannot_be_read_lets_nobody_in",
    ),
    mutant(
        "a token file that is lost lets nobody in at the next start",
        f"{SECURITY}/tokens.py",
        "        return self._used or self._is_recorded()",
        "        return self._used",
        "test_a_token_file_that_is_lost_lets_nobody_in_at_the_next_start",
    ),
    mutant(
        "the first token is recorded",
        f"{SECURITY}/tokens.py",
        "        self.remember()\n",
        "",
        "test_a_token_file_that_is_lost_lets_nobody_in_at_the_next_start",
    ),
    mutant(
        "only hashes of tokens are kept, for the owner's eyes",
        f"{SECURITY}/tokens.py",
        "json.dumps(document).encode(), 0o600)",
        "json.dumps(document).encode(), 0o644)",
        "test_the_file_holds_the_hash_and_is_nobody_else_s",
    ),
    mutant(
        "folders of the spool are nobody else's",
        f"{SPOOL}/files.py",
        "        folder.mkdir(mode=0o700, exist_ok=True)",
        "        folder.mkdir(exist_ok=True)",
        "test_all_that_the_service_writes_is_nobody_else_s",
    ),
    mutant(
        "the list of studies is nobody else's",
        f"{SPOOL}/schema.py",
        "    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))\n",
        "",
        "test_all_that_the_service_writes_is_nobody_else_s",
    ),
    mutant(
        "posted files are nobody else's",
        f"{HTTP}/form.py",
        "    return os.open(path, flags, 0o600)",
        "    return os.open(path, flags, 0o644)",
        "test_all_that_the_service_writes_is_nobody_else_s",
    ),
    mutant(
        "pictures are nobody else's",
        f"{SPOOL}/spool.py",
        "                picture.chmod(0o600)",
        "                picture.chmod(0o644)",
        "test_all_that_the_service_writes_is_nobody_else_s",
    ),
    mutant(
        "what a group may read is said",
        f"{SECURITY}/permissions.py",
        "OTHERS = 0o077",
        "OTHERS = 0o007",
        "test_what_others_may_read_or_change_is_said_at_the_start_and_by_doctor",
    ),
    mutant(
        "what others may read is said at the start",
        f"{HTTP}/app.py",
        "        if others := permissions.exposed(settings):",
        "        if others := []:",
        "test_what_others_may_read_or_change_is_said_at_the_start_and_by_doctor",
    ),
    mutant(
        "nothing older than TLS 1.2",
        f"{SECURITY}/tls.py",
        "ssl.TLSVersion.TLSv1_2",
        "ssl.TLSVersion.TLSv1",
        "test_nothing_older_than_tls_1_2_is_spoken",
    ),
    mutant(
        "TLS 1.2 with authenticated encryption alone",
        f"{SECURITY}/tls.py",
        "    context.set_ciphers(TLS_1_2_SUITES)\n",
        "",
        "test_tls_1_2_is_spoken_with_forward_secrecy_and_authenticated_encryption_alone",
    ),
    mutant(
        "a client shows a certificate where that is asked",
        f"{SECURITY}/tls.py",
        "context.verify_mode = ssl.CERT_REQUIRED",
        "context.verify_mode = ssl.CERT_OPTIONAL",
        "test_a_given_certificate_is_served_and_a_client_must_show_one_where_that_is_asked",
    ),
    mutant(
        "a workstation sees its own studies alone",
        f"{SECURITY}/roles.py",
        "return None if Role.READER in self.roles else self.name",
        "return None",
        "test_a_workstation_sees_its_own_studies_and_a_reader_all",
        "test_another_s_study_cannot_be_told_from_none",
    ),
    mutant(
        "who waits gets the very study, not the next one of its id",
        f"{SPOOL}/spool.py",
        "            study = self._records.find(study.number)",
        "            study = self._records.get(study.study_id)",
        "test_who_waits_never_gets_the_study_posted_later_under_the_same_id",
    ),
    mutant(
        "a token does what its role may",
        f"{SECURITY}/access.py",
        "        if not roles & who.roles:",
        "        if False:",
        "test_a_token_of_another_role_is_forbidden",
        "test_the_roles_are_those_of_the_table",
    ),
    mutant(
        "no token is named local",
        f"{SECURITY}/tokens.py",
        "if not NAME.fullmatch(name) or name == LOCAL:",
        "if not NAME.fullmatch(name):",
        "test_a_name_that_could_be_mistaken_is_refused",
    ),
    mutant(
        "a cookie changes nothing for another site",
        f"{SECURITY}/access.py",
        "        if request.method not in _SAFE and not same_origin(request):",
        "        if False:",
        "test_a_cookie_changes_nothing_for_another_site",
    ),
    mutant(
        "an open appliance answers to its own names alone",
        f"{SECURITY}/access.py",
        "        if self._own_name_only and not is_loopback(host):",
        "        if False:",
        "test_an_open_appliance_answers_no_name_that_the_internet_could_have_given_it",
    ),
)

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

BROWSER = (
    mutant(
        "no other site reads an answer or frames the page",
        f"{HTTP}/security_headers.py",
        '    "Cross-Origin-Resource-Policy": "same-origin",\n',
        "",
        "test_every_answer_tells_browsers_what_not_to_do",
    ),
    mutant(
        "no cache keeps a study",
        f"{HTTP}/security_headers.py",
        '    "Cache-Control": "no-store",\n',
        "",
        "test_every_answer_tells_browsers_what_not_to_do",
    ),
    mutant(
        "no script reads the cookie",
        f"{HTTP}/session_routes.py",
        "        httponly=True,\n",
        "",
        "test_the_page_signs_in_with_a_token_and_gets_a_cookie_no_script_can_read",
    ),
    mutant(
        "only the appliance's own scripts run",
        f"{HTTP}/security_headers.py",
        "\"script-src 'self'\"",
        "\"script-src 'self' https://cdn.example\"",
        "test_the_policy_lets_nothing_in_from_elsewhere",
    ),
    mutant(
        "no page of documentation loads anything from the internet",
        f"{HTTP}/app.py",
        "        docs_url=None,\n        redoc_url=None,\n        openapi_url=None,",
        "",
        "test_requests_that_mean_nothing_are_answered_with_a_problem",
    ),
)

INPUT = (
    mutant(
        "a picture's size is checked before its pixels",
        "appliance/intake/limits.py",
        "        if longer > self.max_side_px or width_px * height_px > self.max_pixels:",
        "        if False:",
        "test_a_file_that_cannot_be_read_is_refused",
    ),
    mutant(
        "a DICOM codestream of another size is not decoded",
        "appliance/intake/dicom_codestream.py",
        "    if size != (rows, columns):",
        "    if False:",
        "test_a_codestream_of_another_size_is_refused_before_it_is_decoded",
    ),
    mutant(
        "a form that was cut off is no study",
        f"{HTTP}/form.py",
        "        if not self._complete:",
        "        if False:",
        "test_a_request_that_is_not_a_study_is_refused",
    ),
    mutant(
        "a chunked body ends at the cap",
        f"{HTTP}/body_limit.py",
        "            if received > self.max_bytes:",
        "            if False:",
        "test_a_chunked_body_is_refused_when_it_passes_the_cap_though_it_never_ends",
    ),
    mutant(
        "the queue is bounded",
        f"{SPOOL}/spool.py",
        "        if self.counts()[Status.QUEUED] >= self.queue_length:",
        "        if False:",
        "test_a_full_queue_answers_429_and_keeps_what_it_took",
    ),
    mutant(
        "a head has a deadline",
        f"{HTTP}/connection.py",
        "        super().connection_made(transport)\n        self._expect_head()\n",
        "        super().connection_made(transport)\n",
        "test_a_client_that_does_not_finish_its_head_is_cut_off",
    ),
    mutant(
        "connections are bounded",
        f"{HTTP}/listener.py",
        "            if self._places.take(client):",
        "            if self._places.take(client) or True:",
        "test_one_connection_too_many_is_cut_and_the_others_live",
    ),
    mutant(
        "one address gets no more than its share",
        f"{HTTP}/places.py",
        "        return taken < self.total and held < self._share * left_by_others",
        "        return taken < self.total",
        "test_520_idle_connections_of_one_address_shut_out_no_other",
        "test_eight_trickling_uploads_of_one_address_hold_up_no_other",
    ),
    mutant(
        "connections are counted before their TLS handshake",
        f"{HTTP}/server.py",
        "                sock=ListeningSocket(each, self._places),",
        "                sock=each if self.config.ssl else ListeningSocket(each, self._places),",
        "test_700_connections_that_never_begin_their_tls_handshake_shut_out_no_other",
    ),
    mutant(
        "there are no more connections than files for them",
        f"{HTTP}/listener.py",
        "    most = min(MOST_CONNECTIONS, (soft - OTHER_FILES) // FILES_OF_CONNECTION)",
        "    most = MOST_CONNECTIONS",
        "test_there_are_no_more_connections_than_files_for_them",
    ),
    mutant(
        "a TLS handshake has a deadline",
        f"{HTTP}/server.py",
        "                ssl_handshake_timeout=HANDSHAKE_S if self.config.ssl else None,",
        "                ssl_handshake_timeout=None,",
        "test_a_tls_handshake_that_is_not_finished_is_cut_off",
    ),
    mutant(
        "one token gets no more than its share of the places for uploads",
        f"{HTTP}/upload_slots.py",
        "client_of(who.address) if who.name == LOCAL else who.name",
        '""',
        "test_eight_trickling_uploads_of_one_token_hold_up_no_other",
    ),
    mutant(
        "who gave back a place for an upload waits behind the others",
        f"{HTTP}/upload_slots.py",
        "                self._waiting.sort(key=lambda each: each.client == client)\n",
        "",
        "test_who_trickles_again_and_again_waits_behind_the_others",
    ),
    mutant(
        "a body has a least rate",
        f"{HTTP}/pace.py",
        "        left = PATIENCE_S + received / LEAST_RATE - waited",
        "        left = 3600.0",
        "test_a_trickle_is_cut_off_long_before_the_time_for_a_whole_body",
    ),
    mutant(
        "a body has a deadline",
        f"{HTTP}/upload_slots.py",
        "asyncio.wait_for(read_form(request, folder), self._upload_s)",
        "asyncio.wait_for(read_form(request, folder), 3600)",
        "test_a_body_that_trickles_is_cut_off_and_gives_its_place_back",
    ),
    mutant(
        "an upload is written in a thread",
        f"{HTTP}/form.py",
        "            await in_thread(parser.write, chunk)\n",
        "            parser.write(chunk)\n",
        "test_while_the_disk_takes_its_time_over_an_upload_the_others_are_answered",
    ),
    mutant(
        "health does not wait for the audit log",
        f"{SECURITY}/audit_writer.py",
        "asyncio.to_thread(self._log.fault, wait=False)",
        "asyncio.to_thread(self._log.fault, wait=True)",
        "test_health_is_told_while_the_audit_log_waits_for_the_disk",
    ),
    mutant(
        "health writes nothing",
        f"{SPOOL}/spool.py",
        "            if not os.access(self.incoming, os.W_OK):",
        '            (self.incoming / "probe").touch()\n'
        '            (self.incoming / "probe").unlink()\n'
        "            if not os.access(self.incoming, os.W_OK):",
        "test_health_writes_nothing",
    ),
    mutant(
        "a head is bounded",
        f"{HTTP}/request_head.py",
        "    if size > MAX_HEAD_BYTES:",
        "    if False:",
        "test_headers_that_are_too_large_are_refused_though_they_arrive_at_once",
    ),
    mutant(
        "a request of two lengths is refused",
        f"{HTTP}/request_head.py",
        '        if b"content-length" in names:',
        "        if False:",
        "test_what_could_be_understood_in_two_ways_is_refused_and_nothing_behind_it_is_answered",
    ),
    mutant(
        "a request of another version of HTTP is refused",
        f"{HTTP}/request_head.py",
        '    if scope["http_version"] not in ("1.0", "1.1"):',
        "    if False:",
        "test_what_could_be_understood_in_two_ways_is_refused_and_nothing_behind_it_is_answered",
    ),
    mutant(
        "nothing behind a refused head is answered",
        f"{HTTP}/request_head.py",
        '        response.headers["Connection"] = "close"\n',
        "",
        "test_what_could_be_understood_in_two_ways_is_refused_and_nothing_behind_it_is_answered",
    ),
    mutant(
        "of a file's name only what shows is kept",
        f"{HTTP}/form.py",
        'cleaned(sent.decode("utf-8", "replace"))',
        'sent.decode("utf-8", "replace")',
        "test_the_name_of_a_file_means_nothing",
    ),
    mutant(
        "two patients are refused",
        STUDY,
        "    if any(compare(a, b) is Agreement.DIFFERENT for a, b in combinations(identities, 2)):",
        "    if False:",
        "test_two_patients_are_refused_over_http",
    ),
    mutant(
        "who the two patients are is not said",
        STUDY,
        '            "The files name two patients; post the images of one patient as a study."',
        '            "".join(f"{identity.name}{identity.patient_id}" for identity in identities)',
        "test_two_patients_are_refused_over_http",
        "test_nothing_of_who_is_kept_or_logged",
    ),
    mutant(
        "an image that is there twice is refused",
        STUDY,
        "    _require_each_once(images)\n",
        "",
        "test_an_image_twice_is_refused",
    ),
    mutant(
        "an answer has to be taken",
        f"{HTTP}/connection.py",
        "        self._stall = self.loop.call_later(STALL_S, self.transport.abort)\n",
        "",
        "test_a_client_that_takes_no_answer_is_cut_off",
    ),
    mutant(
        "a request ends",
        f"{HTTP}/deadlines.py",
        "call_later(self.seconds, give_up)",
        "call_later(3600 + self.seconds, give_up)",
        "test_a_request_without_an_answer_is_given_up_with_503",
    ),
    mutant(
        "the service asks nobody on the network",
        f"{HTTP}/form.py",
        "import hashlib\n",
        "import hashlib\nimport urllib.request\n",
        "test_the_service_asks_nobody_on_the_network",
    ),
)

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
        "two people under one patient ID make no pair",
        f"{CLIENT}/pairing.py",
        "    if identities and not one_person(identities):",
        "    if False:",
        "test_two_people_under_one_patient_id_are_left_and_the_folder_says_why",
    ),
    mutant(
        "a header is not unfolded",
        f"{CLIENT}/identity.py",
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

DISK = (
    mutant(
        "an image that is read is the one that was posted",
        f"{READER}/work.py",
        "    if hashlib.sha256(data).hexdigest() != file.sha256:",
        "    if False:",
        "test_a_posted_file_that_changed_on_the_disk_is_never_read_and_can_be_posted_again",
    ),
    mutant(
        "a result is sealed with its study and verdict",
        f"{SPOOL}/records.py",
        '    return row["seal"] == sealed and (',
        "    return (",
        "test_a_row_and_its_result_are_answered_together_as_they_were_written_or_not_at_all",
    ),
    mutant(
        "what the disk refuses is stored later",
        QUEUE,
        "            except StorageError as error:\n"
        "                await self._stand_still(error)\n"
        "            else:",
        "            except StorageError:\n                raise\n            else:",
        "test_a_study_is_read_though_the_disk_refuses_it_for_a_while",
        "test_a_study_whose_reader_is_lost_ends_though_the_disk_refuses_it_for_a_while",
    ),
    mutant(
        "files that the database does not know are kept",
        f"{SPOOL}/spool.py",
        '                files.move(path, self._folder / "unclaimed" / path.name)',
        "                files.remove(path)",
        "test_a_lost_database_costs_no_posted_file",
        "test_an_older_database_costs_no_posted_file",
    ),
    mutant(
        "a row that cannot be read ends as failed",
        QUEUE,
        "        if study is not None and study.damaged:",
        "        if False:",
        "test_a_study_whose_row_cannot_be_read_ends_as_failed_and_the_next_one_is_read",
    ),
    mutant(
        "a row that cannot be read stops nothing else",
        f"{SPOOL}/records.py",
        "            return _remains(row)",
        "            raise",
        "test_a_row_that_cannot_be_read_stands_in_nobody_s_way",
    ),
    mutant(
        "a posted file is synced",
        f"{SPOOL}/spool.py",
        "                sync(upload.path)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "a posted file's folder is synced before its row is written",
        f"{SPOOL}/spool.py",
        "            sync(self.incoming)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
        "test_files_are_synced_before_the_row_is_written",
    ),
    mutant(
        "the folder of a moved file is synced",
        f"{SPOOL}/files.py",
        "    source.replace(target)\n    sync(target.parent)\n",
        "    source.replace(target)\n",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "the folder of a new folder is synced",
        f"{SPOOL}/files.py",
        "        sync(folder.parent)\n",
        "",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "the folder of a deleted file is synced",
        f"{SPOOL}/files.py",
        "        path.unlink()\n        sync(path.parent)\n",
        "        path.unlink()\n",
        "test_what_was_acknowledged_outlives_a_power_cut_at_any_moment",
    ),
    mutant(
        "what a killed process left unsynced in uploads is synced at the start",
        f"{SPOOL}/spool.py",
        "                sync(folder)  # whoever was killed here may not have come to it\n",
        "",
        "test_what_a_killed_process_left_unsynced_costs_the_next_one_no_study",
    ),
    mutant(
        "what a killed process left unsynced of the spool itself is synced at the start",
        f"{SPOOL}/spool.py",
        "            for folder in (self._folder, self._folder.parent):\n"
        "                sync(folder)\n",
        "",
        "test_what_a_killed_process_left_unsynced_costs_the_next_one_no_study",
    ),
    mutant(
        "every commit is synced",
        f"{SPOOL}/schema.py",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = NORMAL"',
        "test_the_database_syncs_every_commit",
    ),
    mutant(
        "a pinned bundle is opened and no other",
        "engines/bundle.py",
        "    if sha256 is not None and bundle.sha256 != sha256:",
        "    if False:",
        "test_a_pinned_bundle_is_opened_and_no_other",
    ),
    mutant(
        "the hash of a bundle covers its files",
        "engines/bundle.py",
        "    if hashlib.sha256(data).hexdigest() != file.sha256:",
        "    if False:",
        "test_the_hash_of_a_bundle_covers_its_manifest_and_every_file",
    ),
    mutant(
        "pictures are drawn by the model that read the study",
        QUEUE,
        "                raise StudyNotRead(_REPLACED)",
        "                pass",
        "test_pictures_are_drawn_later_by_the_model_that_read_them_and_by_no_other",
    ),
    mutant(
        "a file that resists its deletion is said",
        f"{SPOOL}/spool.py",
        "            except OSError as error:\n                resisting = error\n        if gone:",
        "            except OSError:\n                pass\n        if gone:",
        "test_a_file_that_resists_is_said_and_removed_as_soon_as_it_can_be",
    ),
    mutant(
        "nothing of a deleted study is left in the database's file",
        f"{SPOOL}/schema.py",
        '    connection.execute("PRAGMA secure_delete = ON")\n',
        '    connection.execute("PRAGMA secure_delete = OFF")\n',
        "test_a_deleted_study_leaves_no_bytes",
    ),
)

READING = (
    mutant(
        "a study whose reader is lost once is read again",
        QUEUE,
        "MAX_ATTEMPTS = 2",
        "MAX_ATTEMPTS = 1",
        "test_a_study_whose_reader_is_lost_once_is_read_again_and_twice_fails",
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
        "a server's words are one plain line",
        "appliance/commands/kit.py",
        "    typer.echo(printable(f",
        "    typer.echo((f",
        "test_a_server_s_words_cannot_write_to_the_terminal",
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

DICOM = (
    mutant(
        "a long PDU is cut before it is read",
        f"{DICOM_NODE}/bounds.py",
        "        if nr_bytes > (self.assoc.acceptor.maximum_length or 0) + PDU_SLACK_BYTES:",
        "        if False:",
        "test_a_pdu_that_announces_600_mb_is_cut_before_any_of_it_is_kept",
    ),
    mutant(
        "a command set has an end",
        f"{DICOM_NODE}/bounds.py",
        "            if message.encoded_command_set.tell() > MOST_COMMAND_BYTES:",
        "            if False:",
        "test_a_command_set_without_an_end_is_cut",
    ),
    mutant(
        "a received data set has an end",
        f"{DICOM_NODE}/bounds.py",
        "            if file is not None and file.file.tell() > MOST_OBJECT_BYTES:",
        "            if False:",
        "test_a_data_set_without_an_end_is_cut_and_leaves_no_file",
    ),
    mutant(
        "no more is read of a sender than is handled",
        f"{DICOM_NODE}/bounds.py",
        "self.assoc.dimse.msg_queue.qsize() < MOST_WAITING and super().ready",
        "super().ready",
        "test_a_sender_that_waits_for_no_answer_is_read_no_faster_than_it_is_handled",
    ),
    mutant(
        "an unknown address is closed at the accept",
        f"{DICOM_NODE}/bounds.py",
        "        if address not in self._addresses:",
        "        if False:",
        "test_an_unknown_address_is_closed_before_it_has_said_a_word",
    ),
    mutant(
        "an address has few DICOM connections",
        f"{DICOM_NODE}/bounds.py",
        "        if others.count(address) >= self._per_address or len(others)",
        "        if len(others)",
        "test_silent_connections_of_one_address_are_few_and_nobody_else_waits_for_them",
    ),
    mutant(
        "a silent TLS handshake holds up no DICOM peer",
        f"{DICOM_NODE}/bounds.py",
        "do_handshake_on_connect=False",
        "do_handshake_on_connect=True",
        "test_tls_lets_in_who_shows_a_certificate_of_the_ca_and_nobody_else",
    ),
    mutant(
        "what breaks off leaves no file",
        f"{DICOM_NODE}/bounds.py",
        "                remove_unfinished(association)\n",
        "",
        "test_a_transfer_that_breaks_off_leaves_no_file",
        "test_a_data_set_without_an_end_is_cut_and_leaves_no_file",
    ),
    mutant(
        "a title comes from its own address",
        f"{DICOM_NODE}/listener.py",
        "        sender = self._senders.get((title, address))",
        "        sender = {each: s for (each, _), s in self._senders.items()}.get(title)",
        "test_a_title_is_let_in_from_its_own_address_alone",
    ),
    mutant(
        "below the watermark no association is accepted",
        f"{DICOM_NODE}/listener.py",
        "        elif not self._receiver.has_room():",
        "        elif False:",
        "test_below_the_watermark_associations_are_refused_and_images_answered_a700",
    ),
    mutant(
        "below the watermark no image is taken",
        f"{DICOM_NODE}/listener.py",
        "        if not self._receiver.has_room():",
        "        if False:",
        "test_below_the_watermark_associations_are_refused_and_images_answered_a700",
    ),
    mutant(
        "a DICOM peer shows a certificate",
        f"{DICOM_NODE}/listener.py",
        "    context.verify_mode = ssl.CERT_REQUIRED",
        "    context.verify_mode = ssl.CERT_NONE",
        "test_tls_lets_in_who_shows_a_certificate_of_the_ca_and_nobody_else",
    ),
    mutant(
        "an image is what the command says",
        f"{DICOM_NODE}/admit.py",
        "    if (own_class, instance) != (command.sop_class, command.sop_instance):",
        "    if False:",
        "test_an_image_that_is_not_what_it_should_be_is_refused_with_its_status_and_not_kept",
        "test_what_the_command_says_must_be_what_is_sent",
    ),
    mutant(
        "an excluded image is left out",
        f"{DICOM_NODE}/admit.py",
        "        if code in EXCLUDED and not read_anyway.get(code):",
        "        if False:",
        "test_an_image_that_is_excluded_says_why_and_forbids_no_negative",
    ),
    mutant(
        "an image that cannot be read forbids a negative",
        f"{DICOM_NODE}/admit.py",
        "    return damage, bool(damage)",
        "    return damage, False",
        "test_an_image_that_should_be_read_and_cannot_forbids_a_negative",
        "test_a_negative_stands_only_if_every_image_that_was_to_be_read_was",
    ),
    mutant(
        "two exams that contradict each other never pair",
        f"{DICOM_NODE}/pairing.py",
        "(first, second) and one.agrees(other):",
        "(first, second):",
        "test_a_conflicting_birth_date_or_sex_never_pairs",
        "test_two_patients_never_meet_and_no_contradiction_is_read",
    ),
    mutant(
        "an exam that contradicts itself pairs with nothing",
        f"{DICOM_NODE}/pairing.py",
        "if exam.eligible and not exam.in_conflict]",
        "if exam.eligible]",
        "test_an_exam_that_contradicts_itself_is_read_with_nothing",
        "test_an_image_that_comes_again_with_another_birth_date_is_in_conflict",
    ),
    mutant(
        "a patient is of an issuer",
        f"{DICOM_NODE}/patient_key.py",
        "self.patient(patient_id, own_issuer or issuer_of(issuer))",
        'self.patient(patient_id, "")',
        "test_two_patients_of_one_id_under_two_issuers_never_meet",
    ),
    mutant(
        "the quiet time waits for who is connected",
        f"{DICOM_NODE}/pairing.py",
        "        and not any(visit.may_bring(exam, each.senders) for visit in open_)\n",
        "",
        "test_the_quiet_time_never_ends_while_a_sender_of_the_exam_is_connected",
    ),
    mutant(
        "one image too many forbids a negative",
        f"{DICOM_NODE}/pairing.py",
        "    codes |= {IMAGES_LEFT_OUT} if over else set()\n",
        "",
        "test_more_images_than_are_read_together_forbid_a_negative",
        "test_more_stills_than_are_read_together_never_give_a_negative",
    ),
    mutant(
        "a further exam forbids a negative",
        f"{DICOM_NODE}/pairing.py",
        "if exam.key not in keys and _is_near(exam, group, rules)",
        "if False",
        "test_the_nearest_exams_pair_and_what_is_left_forbids_a_negative",
        "test_an_eligible_image_that_was_not_read_within_the_window_always_forbids_a_negative",
    ),
    mutant(
        "the same set is read once",
        f"{DICOM_NODE}/pairing.py",
        "(not last.settled or last.content == case.content)",
        "not last.settled",
        "test_in_whatever_order_images_come_the_same_set_is_read_once_under_the_same_keys",
    ),
    mutant(
        "what was not read takes a negative away",
        f"{DICOM_NODE}/reading.py",
        '    if document["verdict"] == Verdict.NEGATIVE.value:',
        "    if False:",
        "test_a_negative_stands_only_if_every_image_that_was_to_be_read_was",
        "test_a_result_is_limited_by_what_was_not_read",
    ),
    mutant(
        "a received file is synced before it is acknowledged",
        f"{DICOM_NODE}/store.py",
        "                sync(file)\n",
        "",
        "test_file_folder_and_row_are_synced_before_the_call_returns",
    ),
    mutant(
        "an image's row is synced before it is acknowledged",
        f"{DICOM_NODE}/store.py",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = OFF"',
        "test_file_folder_and_row_are_synced_before_the_call_returns",
    ),
    mutant(
        "what a kill left of a transfer is removed",
        f"{DICOM_NODE}/store.py",
        "            files.empty(self.incoming)\n",
        "            files.make_folder(self.incoming)\n",
        "test_what_a_kill_left_over_is_removed_before_anything_is_received",
    ),
    mutant(
        "a forgotten patient is in no log of the database",
        f"{DICOM_NODE}/store.py",
        '            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()\n',
        "",
        "test_forgetting_takes_images_readings_and_every_byte_and_leaves_others",
    ),
    mutant(
        "a forgotten patient's files are removed",
        f"{DICOM_NODE}/store.py",
        "            files.unlink(self.path(key))\n",
        "",
        "test_nobody_is_named_outside_the_held_files_nor_anywhere_after_forget",
    ),
)

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

MUTANTS = (
    *ACCESS, *AUDIT, *BROWSER, *INPUT, *WORKSTATION, *DICOM, *DISK, *READING, *FIRE, *LEAKS,
    *SENDING,
)  # fmt: skip
