"""Mutants of another site in the browser."""

from __future__ import annotations

from mutants.mutant import mutant

HTTP = "appliance/http"

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
