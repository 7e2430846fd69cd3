"""HTTP client of the appliance, for workstations.

Images are sent once: while a study waits it is asked for by its id, and so is one whose answer was
lost. What answers may be anything, so no answer is taken for longer, or for more, than it can be.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import httpx

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.output.printable import printable
from mammosono.appliance.values import Modality, Verdict
from mammosono.appliance.workstation.listing import sha256_of

WAIT_S = 30
"""Longest wait of one request for a result; then it is repeated."""
PAUSE_S = 1.0
"""Least time from one question to the next, whatever the appliance answers."""
ANSWER_S = WAIT_S + 120
MOST_ANSWER_BYTES = 2**26
LONGEST_RETRY_AFTER_S = 600.0
_LONGEST_WORDS = 500

_STUDY_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}")
_VERDICTS = {verdict.value for verdict in Verdict}
_PENDING = ("queued", "reading")
_OWN_FAULT = (409, 413, 415, 422)
"""Statuses by which the appliance refuses the images themselves, whenever they are posted."""

Files = Sequence[tuple[Modality, Path]]


class ClientError(Exception):
    """The request failed, at the appliance or on the way to it. `str()` is one line."""


class Unavailable(ClientError):
    """No answer, or the appliance cannot take a study now: try again later.

    retry_after_s: seconds that the appliance asked for, if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PostRefused(ClientError):
    """The appliance refused; trying again will not help. problem: its RFC 9457 document."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(_words(problem))
        self.problem = problem


def connect(url: str, token: str | None = None, ca: Path | None = None) -> httpx.Client:
    """An HTTP client of the appliance at `url`.

    ca: the appliance's certificate, or its signer's; None trusts those of the system.
    Raises ClientError if the certificate, the token or the address cannot be used.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        raise ClientError(f"{url} is no address of an appliance; give https://ADDRESS:PORT.")
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ClientError("The token is empty or holds signs that no token has.")
    headers = {"Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        trust = ssl.create_default_context(cafile=str(ca) if ca else None)
        return httpx.Client(
            base_url=url, headers=headers, verify=trust, timeout=httpx.Timeout(ANSWER_S, connect=30)
        )
    except OSError as error:
        raise ClientError(f"The certificate for {url} cannot be used: {error}") from error


def new_study_id() -> str:
    return f"post-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class _Answer:
    """Status and JSON object of a response."""

    status: int
    document: dict[str, Any]
    retry_after_s: float | None


class ApplianceClient:
    """`with ApplianceClient(url, token, ca) as appliance: appliance.read(files)`"""

    def __init__(self, url: str, token: str | None = None, ca: Path | None = None) -> None:
        """As `connect`."""
        self._http = connect(url, token, ca)
        base = self._http.base_url
        self._name = f"{base.scheme}://{base.netloc.decode()}"
        self._queue_was_full = False

    def read(
        self,
        files: Files,
        study_id: str | None = None,
        laterality: Sequence[str] = (),
        view: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Post the files as one study and wait for its result document, however long.

        laterality, view: form fields, of all files or of each in their order.
        The same files under the same id are read once; and sent once, unless with sides and views
        or the appliance never took them: it is asked first whether it has the study.
        Raises Unavailable or PostRefused; OSError if a file cannot be read.
        """
        for _, path in files:  # what cannot be read is said before anybody is asked
            path.open("rb").close()
        said = {"laterality": list(laterality), "view": list(view)}
        # Whether a study has these sides and views is for the appliance to say.
        answer = self._known(study_id, files) if study_id and not any(said.values()) else None
        study_id = study_id or new_study_id()
        answer = answer or self._post(files, study_id, **said)
        while answer["status"] in _PENDING:
            answer = self._wait(study_id)
        return answer

    def delete(self, study_id: str) -> bool:
        """Whether the appliance has nothing of the study any more."""
        try:
            return self._http.delete(f"/v1/studies/{study_id}").status_code in (204, 404)
        except httpx.HTTPError:
            return False

    def _known(self, study_id: str, files: Files) -> dict[str, Any] | None:
        """The study, if it needs no post: if it waits, or is done with these very images."""
        if not _STUDY_ID.fullmatch(study_id):
            return None
        answer = self._ask("GET", f"/v1/studies/{study_id}")
        problem_code = answer.document.get("code")
        if answer.status == 404 or problem_code == "storage_damaged":
            return None
        if answer.document.get("status") == "failed":
            return None  # to post again is to try again
        known = self._standing(answer, study_id)
        while known["status"] in _PENDING:
            known = self._wait(study_id)
        return known if _is_of(known, files) else None

    def _post(self, files: Files, study_id: str, **said: list[str]) -> dict[str, Any]:
        fields = {"study_id": study_id, **said}
        if self._queue_was_full:
            self._require_place()
        named = [(MODALITIES[modality].part, path) for modality, path in files]
        with ExitStack() as opened:
            parts = [
                (part, (path.name, opened.enter_context(path.open("rb")))) for part, path in named
            ]
            answer = self._ask("POST", f"/v1/studies?wait={WAIT_S}", files=parts, data=fields)
        self._queue_was_full = answer.status == 429
        return self._standing(answer, study_id)

    def _require_place(self) -> None:
        """Raises Unavailable while the queue is full: the images would be sent for nothing."""
        answer = self._ask("GET", "/readyz")
        checks = answer.document.get("checks")
        if isinstance(checks, dict) and checks.get("queue", "ok") != "ok":
            raise Unavailable(
                _words(_problem(answer.document, answer.status)), answer.retry_after_s
            )

    def _wait(self, study_id: str) -> dict[str, Any]:
        started = time.monotonic()
        standing = self._standing(
            self._ask("GET", f"/v1/studies/{study_id}?wait={WAIT_S}"), study_id
        )
        if standing["status"] in _PENDING:
            time.sleep(max(0.0, started + PAUSE_S - time.monotonic()))
        return standing

    def _standing(self, answer: _Answer, study_id: str) -> dict[str, Any]:
        """The document of a study that waits or is done. Raises Unavailable or PostRefused."""
        document = answer.document
        if answer.status >= 300:
            raise self._refusal(document, answer.status, answer.retry_after_s)
        status = document.get("status")
        if document.get("id") != study_id:
            self._odd("with another study")
        if status == "failed":
            problem = document.get("problem")
            own = problem.get("status") if isinstance(problem, dict) else None
            raise self._refusal(problem, own if isinstance(own, int) else 500)
        if status not in _PENDING and (
            status != "done" or document.get("verdict") not in _VERDICTS
        ):
            self._odd("with no result")
        return document

    def _refusal(
        self, document: object, status: int, retry_after_s: float | None = None
    ) -> ClientError:
        if not isinstance(document, dict) or not isinstance(document.get("code"), str):
            self._odd(f"{status} without a reason")
        problem = _problem(document, status)
        refused = PostRefused(problem)
        if status in _OWN_FAULT or problem["code"] == "unknown_study":
            return refused
        # Too many, too slow, no room, no model, no token: none of it is the study's own fault.
        return Unavailable(str(refused), retry_after_s)

    def _ask(self, method: str, path: str, **more: Any) -> _Answer:
        """Raises Unavailable if what answers is no appliance."""
        try:
            with self._http.stream(method, path, **more) as response:
                body = self._body(response, time.monotonic() + ANSWER_S)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._name} does not answer: {self._reason(error)}") from error
        finally:
            self._http.cookies.clear()  # none is of use, and there may be ever more
        if 300 <= response.status_code < 400:
            self._odd(f"{response.status_code}: it sends to another address, which is not followed")
        try:
            document = _clean(json.loads(body, parse_constant=_refuse_constant))
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            self._odd(f"{response.status_code} and something else than a JSON object")
        after = response.headers.get("Retry-After", "")
        seconds = float(after) if re.fullmatch("[0-9]{1,9}", after) else None
        return _Answer(
            response.status_code, document, seconds and min(seconds, LONGEST_RETRY_AFTER_S)
        )

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        """As it comes: what is compressed may grow a thousandfold, and was not asked for."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            self._odd("in a compressed form")
        body = bytearray()
        for piece in response.iter_raw():
            body += piece
            if len(body) > MOST_ANSWER_BYTES:
                self._odd(f"with more than {MOST_ANSWER_BYTES >> 20} MiB")
            if time.monotonic() > deadline:
                self._odd(f"for longer than {ANSWER_S} seconds")
        return bytes(body)

    def _odd(self, what: str) -> NoReturn:
        raise Unavailable(f"{self._name} answers {what}; is that the appliance's address?")

    def _reason(self, error: httpx.HTTPError) -> str:
        said = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return "its certificate is not trusted here; give the appliance's own with --ca"
        cut = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
        if cut and self._http.base_url.scheme == "http":
            return f"{printable(said)}; if it speaks HTTPS, give https://"
        if "WRONG_VERSION_NUMBER" in said or "record layer failure" in said:
            return "it does not speak HTTPS; give http:// if that is meant"
        return printable(said)

    def __enter__(self) -> ApplianceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._http.close()


def _problem(document: dict[str, Any], status: int) -> dict[str, Any]:
    """An RFC 9457 document as it should be, whatever was sent."""
    names = ("type", "title", "detail", "code", "instance")
    words = {name: document[name] for name in names if isinstance(document.get(name), str)}
    return {"status": status} | {name: text[:_LONGEST_WORDS] for name, text in words.items()}


def _words(problem: dict[str, Any]) -> str:
    return f"{problem.get('title')}: {problem.get('detail')} ({problem.get('code')})"


def _is_of(document: dict[str, Any], files: Files) -> bool:
    """Whether the result is of these files: another study may have the id."""
    posted = []
    for modality, path in sorted(files, key=lambda each: list(MODALITIES).index(each[0])):
        posted.append((modality.value, sha256_of(path).hex()))
    images = document.get("images")
    if not isinstance(images, list):
        return False
    read = [(one.get("modality"), one.get("sha256")) for one in images if isinstance(one, dict)]
    return read == posted


def _clean(value: Any) -> Any:
    """The JSON value with no control character in any of its strings."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {printable(name): _clean(each) for name, each in value.items()}
    return value


def _refuse_constant(_: str) -> NoReturn:
    """NaN and Infinity are no JSON."""
    raise ValueError
