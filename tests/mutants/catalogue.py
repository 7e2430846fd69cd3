"""The mutants: what is taken out, what it was for, and the tests that must fail without it."""

from __future__ import annotations

from dataclasses import dataclass

HTTP = "appliance/http"
QUEUE = "appliance/studies/queue.py"
CLIENT = "appliance/workstation"
NODE_OBJECTS = "appliance/node/objects"
READER = "appliance/studies/reader_process"
SECURITY = "appliance/security"
SPOOL = "appliance/studies/spool"
INTAKE = "appliance/intake"
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
        "asyncio.wait_for(form, self._upload_s)",
        "asyncio.wait_for(form, 3600)",
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
        "two IDs of one name and birth date are told",
        STUDY,
        "        IDS_DIFFER: any(under_two_ids(a, b) for a, b in combinations(identities, 2)),\n",
        "",
        "test_one_name_and_birth_date_under_two_ids_is_read_told_and_keeps_its_verdict",
    ),
    mutant(
        "twins are two patients",
        "appliance/identity.py",
        "    return min(len(a), len(b)) > 1 and (set(a) <= set(b) or set(b) <= set(a))",
        "    return True",
        "test_two_ids_of_no_issuer_are_one_womans_by_name_and_birth_date",
    ),
    mutant(
        "one picture is no mammogram with its ultrasound, however it is saved",
        STUDY,
        "(alike and a.modality is not b.modality)",
        "False",
        "test_a_picture_that_is_saved_again_with_loss_is_told_and_in_both_places_refused",
    ),
    mutant(
        "a picture in another depth is the same one",
        STUDY,
        "same(seen, again) or (alike",
        "(alike",
        "test_an_image_twice_is_refused_in_one_place_and_in_both_by_its_bytes_or_its_pixels",
    ),
    mutant(
        "a picture saved again is told",
        STUDY,
        "        similar |= alike",
        "        pass",
        "test_a_picture_that_is_saved_again_with_loss_is_told_and_in_both_places_refused",
    ),
    mutant(
        "a modifier of a view counts by its meaning",
        f"{INTAKE}/dicom_view.py",
        "        if written or coded.intersection(term.codes):",
        "        if coded.intersection(term.codes):",
        "test_what_a_header_says_is_told_and_nothing_else",
    ),
    mutant(
        "a modifier of a view counts in View Position",
        f"{INTAKE}/dicom_view.py",
        '    return coded.union(*(_position(text)[1] for text in header.texts("ViewPosition")))',
        "    return coded",
        "test_what_a_header_says_is_told_and_nothing_else",
    ),
    mutant(
        "an orientation may contradict a side",
        f"{INTAKE}/dicom_view.py",
        "    return said | _side_by_orientation(header) if said else said",
        "    return said",
        "test_an_oblique_view_may_contradict_its_side",
    ),
    mutant(
        "a cranio-caudal view that lies unusually is told",
        f"{INTAKE}/dicom.py",
        "            *((LIES_UNUSUALLY,) if film and lies_unusually(description) else ()),\n",
        "",
        "test_a_cranio_caudal_view_with_its_outer_half_below_is_told",
    ),
    mutant(
        "a decimal comma is told",
        f"{INTAKE}/dicom.py",
        "        DECIMAL_COMMA: has_comma(said, _OF_THE_FRAME),\n",
        "",
        "test_a_decimal_comma_is_a_decimal_point_and_told",
    ),
    mutant(
        "a magnified view without a factor has no millimetres",
        f"{INTAKE}/dicom.py",
        '"magnified" in view_modifiers(description)',
        "False",
        "test_a_mammogram_is_measured_in_the_patient",
    ),
    mutant(
        "plain tiles are packed for the decoder",
        f"{INTAKE}/tiff.py",
        "    data = _with_packed_tiles(data)\n",
        "",
        "test_tiles_may_have_any_sides_of_sixteen",
    ),
    mutant(
        "an image that is there twice is refused",
        STUDY,
        "        if one:",
        "        if False:",
        "test_an_image_twice_is_refused",
    ),
    mutant(
        "a modality with an unread image is at best indeterminate",
        "appliance/pipeline/fusion.py",
        "*((Verdict.INDETERMINATE,) if modality in unread else ())",
        "*()",
        "test_a_modality_with_an_unread_image_is_at_best_indeterminate",
    ),
    mutant(
        "a study says that an image of it was not read",
        STUDY,
        "    return (*([not_read(unread)] if unread else []), *told)",
        "    return tuple(told)",
        "test_one_bad_file_of_five_is_shown_as_not_read_and_the_others_are_read",
    ),
    mutant(
        "a breast with an unread view is not cleared",
        "appliance/pipeline/verdict.py",
        "            cautions[k] = (*cautions[k], VIEW_NOT_READ)",
        "            pass",
        "test_a_breast_of_which_a_view_is_unread_is_at_best_indeterminate_and_the_other_as_it_is",
    ),
    mutant(
        "an unread file still tells of a second patient",
        "appliance/intake/unread.py",
        "            known = _by_header(_uncoded(data) if coded else data, known)",
        "            pass",
        "test_a_file_that_cannot_be_read_still_tells_of_a_second_patient_and_of_a_repetition",
    ),
    mutant(
        "one image at a time is in memory",
        "appliance/studies/exam.py",
        "        for file, name in zip(self._files, self._names, strict=True):",
        "        kept = []\n"
        "        for file, name in zip(self._files, self._names, strict=True):\n"
        "            kept.append(self._decoded(file, name, []))",
        "test_memory_does_not_grow_with_the_images",
    ),
    mutant(
        "the pixels of an image go before the next is decoded",
        "appliance/pipeline/reader.py",
        "                del image, coming, begun  # or",
        "                pass  # or",
        "test_no_image_is_decoded_before_the_pixels_of_the_last_are_gone",
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

DISK = (
    mutant(
        "an image that is read is the one that was posted",
        "appliance/studies/exam.py",
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
        "pictures are those of the very result",
        f"{SPOOL}/spool.py",
        'f"{number}-{result[:16]}"',
        'f"{number}-"',
        "test_pictures_are_never_those_of_another_study_that_had_its_number",
    ),
    mutant(
        "a list of studies that is put back has its files again",
        f"{SPOOL}/spool.py",
        "            if path.name in hashes:  # the right list of studies was put back",
        "            if False:",
        "test_a_list_of_studies_that_is_put_back_has_its_files_again",
    ),
    mutant(
        "no study is taken into a list that was taken away",
        f"{SPOOL}/spool.py",
        '            if _identity(self._folder / "studies.db") != self._list_file:',
        "            if False:",
        "test_no_study_is_taken_into_a_list_that_was_taken_away_from_the_service",
    ),
    mutant(
        "a disk without inodes is full",
        f"{SPOOL}/files.py",
        "    if state.f_files and state.f_favail < LEAST_FILES:",
        "    if False:",
        "test_without_inodes_the_disk_is_full_and_room_is_made",
    ),
    mutant(
        "nothing is removed behind a link in the spool",
        f"{SPOOL}/spool.py",
        "                if (self._folder / name).is_symlink():",
        "                if False:",
        "test_a_folder_of_the_spool_that_is_a_link_is_refused_and_nothing_behind_it_removed",
    ),
    mutant(
        "a list of studies without its tables is left alone",
        f"{SPOOL}/files.py",
        '    *("no such table", "no such column", "duplicate column", "already exists"),\n',
        "",
        "test_a_database_that_says_a_version_whose_tables_it_has_not_is_damaged_and_left_alone",
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

OBJECTS = (
    mutant(
        "outlines are drawn on the file that was read, and on no other",
        f"{NODE_OBJECTS}/exam.py",
        "    if hashlib.sha256(data).hexdigest() != image.sha256:",
        "    if False:",
        "test_outlines_are_never_drawn_on_another_file",
    ),
    mutant(
        "no coordinate is moved in a presentation state",
        f"{NODE_OBJECTS}/presentation.py",
        "[coordinate for point in points for coordinate in point]",
        "[coordinate + 0.5 for point in points for coordinate in point]",
        "test_in_the_presentation_state",
        "test_in_ultrasound_as_in_mammograms",
    ),
    mutant(
        "no coordinate is moved in a report",
        f"{NODE_OBJECTS}/content.py",
        "[coordinate for point in points for coordinate in point]",
        "[coordinate + 0.5 for point in points for coordinate in point]",
        "test_in_the_report",
        "test_in_the_cad_report",
        "test_in_the_report_as_another_reader_reads_it",
    ),
    mutant(
        "a name is copied as it was sent",
        "appliance/node/headers.py",
        "                if vr in _TEXT:",
        "                if False:",
        "test_words_that_do_not_fit_their_character_set_are_not_made_others",
    ),
    mutant(
        "images that were not read are named",
        f"{NODE_OBJECTS}/sr.py",
        "        for words, count in missing.items()",
        "        for words, count in list(missing.items())[:0]",
        "test_images_not_read_are_named_with_the_reason_in_every_report",
        "test_images_of_which_no_file_was_kept_are_counted",
    ),
    mutant(
        "a CAD report tells of a mammogram that failed",
        f"{NODE_OBJECTS}/cad_sr.py",
        "    whole = not missed",
        "    whole = True",
        "test_cad_says_whether_every_mammogram_was_read_and_whether_there_is_a_finding",
    ),
    mutant(
        "a CAD report that cannot name what failed is not written",
        f"{NODE_OBJECTS}/__init__.py",
        "any(each.header is None for each in failed_films(exam))",
        "False",
        "test_cad_says_nothing_where_it_cannot_name_the_mammogram_that_was_not_read",
    ),
    mutant(
        "another model's objects are others",
        "appliance/node/uids.py",
        'f"model {model_sha256}"',
        '"model"',
        "test_another_image_model_verdict_or_format_makes_other_uids",
    ),
    mutant(
        "no two verdicts under one UID",
        f"{NODE_OBJECTS}/exam.py",
        "                (reading.verdict.value, *reading.reasons),",
        "                (),",
        "test_another_image_model_verdict_or_format_makes_other_uids",
    ),
    mutant(
        "a report begins with its own study's findings",
        f"{NODE_OBJECTS}/exam.py",
        "key=lambda each: each.study != study",
        "key=lambda each: False",
        "test_a_report_holds_all_findings_its_own_study_first",
    ),
    mutant(
        "a picture says what it is not for",
        f"{NODE_OBJECTS}/capture.py",
        "    yield wording.INTENDED_USE.upper(), _NOTICE\n",
        "",
        "test_the_words_stand_below_the_image",
    ),
    mutant(
        "a picture is never larger than a display",
        f"{NODE_OBJECTS}/capture.py",
        "        if rows + below.shape[0] <= LONGEST_SIDE_PX:",
        "        if True:",
        "test_no_side_is_longer_than_a_display_s_and_none_is_lost",
    ),
    mutant(
        "no finding is lost where a picture is reduced",
        f"{NODE_OBJECTS}/capture.py",
        "share >= min(128, max(1, int(share.max())))",
        "share >= 128",
        "test_a_finding_of_one_pixel_is_not_lost_when_its_image_is_reduced",
    ),
    mutant(
        "what was lossy stays lossy",
        f"{NODE_OBJECTS}/capture.py",
        '"BurnedInAnnotation", *COMPRESSION)',
        '"BurnedInAnnotation")',
        "test_what_was_lossy_stays_lossy",
    ),
    mutant(
        "an inverted image is shown inverted",
        f"{NODE_OBJECTS}/presentation.py",
        '"INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"',
        '"IDENTITY"',
        "test_an_inverted_image_is_shown_inverted",
    ),
    mutant(
        "another reader finds the pixels that a segment belongs to",
        f"{NODE_OBJECTS}/seg.py",
        '    source.SpatialLocationsPreserved = "YES"\n',
        "",
        "test_in_the_segmentation_as_another_reader_reads_it",
    ),
)

MUTANTS = (
    *ACCESS,
    *AUDIT,
    *BROWSER,
    *INPUT,
    *WORKSTATION,
    *DISK,
    *READING,
    *FIRE,
    *LEAKS,
    *OBJECTS,
)
