"""Mutants of access: roles, tokens, sessions, TLS."""

from __future__ import annotations

from mutants.mutant import mutant

HTTP = "appliance/http"
READER = "appliance/studies/reader_process"
SECURITY = "appliance/security"
SPOOL = "appliance/studies/spool"

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
