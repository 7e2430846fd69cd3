"""A box, as a workstation talks to it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from mammosono.appliance.values import Modality

PART = {Modality.MG: "mammogram", Modality.US: "ultrasound"}
WAIT_S = 30
"""How long one request waits for a result; then it is asked again."""

Files = Sequence[tuple[Modality, Path]]


class BoxError(Exception):
    """What the box, or the way to it, has against a request. `str()` is one line."""


class BoxAway(BoxError):
    """Nobody answers, or the box cannot take a study now: try again later.

    retry_after_s: what the box asked for, if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(BoxError):
    """The box answered, and trying again will not help. problem: its RFC 9457 document."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title')}: {problem.get('detail')} ({problem.get('code')})")
        self.problem = problem


def connect(url: str, token: str | None = None, ca: Path | None = None) -> httpx.Client:
    """A client of the box at `url`.

    ca: the box's certificate, or that of who signed it; None trusts the system's own.
    Raises BoxError if the certificate or the address cannot be used.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        trust = ssl.create_default_context(cafile=str(ca) if ca else None)
        return httpx.Client(
            base_url=url, headers=headers, verify=trust, timeout=httpx.Timeout(WAIT_S + 120)
        )
    except (OSError, httpx.InvalidURL) as error:
        raise BoxError(f"{url} or its certificate cannot be used: {error}") from error


class Box:
    """`with Box(url, token, ca) as box: box.read(files)`"""

    def __init__(self, url: str, token: str | None = None, ca: Path | None = None) -> None:
        """As `connect`."""
        self._http = connect(url, token, ca)

    def read(self, files: Files, study_id: str | None = None) -> dict[str, Any]:
        """Post the files as one study and wait for its result document, however long.

        The same files under the same id are read once, however often they are posted.
        Raises BoxAway or Refused; OSError if a file cannot be read.
        """
        parts = [(PART[modality], (PART[modality], path.read_bytes())) for modality, path in files]
        data = {"study_id": study_id} if study_id else {}
        answer = self._ask("POST", f"/v1/studies?wait={WAIT_S}", files=parts, data=data)
        while answer["status"] != "done":
            if answer["status"] == "failed":
                raise _refusal(answer["problem"])
            # No wait on GET: the same post again waits, and finds the study by its id.
            data = {"study_id": answer["id"]}
            answer = self._ask("POST", f"/v1/studies?wait={WAIT_S}", files=parts, data=data)
        return answer

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise BoxAway(f"{self._http.base_url} does not answer: {said}") from error
        try:
            document = response.json()
        except ValueError:
            raise BoxAway(
                f"{self._http.base_url} answered {response.status_code}, and not as a box does"
            ) from None
        if response.is_success:
            return dict(document)
        after = response.headers.get("Retry-After", "")
        raise _refusal(document, float(after) if after.isdigit() else None)

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._http.close()


def _refusal(problem: dict[str, Any], retry_after_s: float | None = None) -> BoxError:
    refused = Refused(problem)
    # Too many, too slow, no room, no model: none of it is the study's own fault.
    if problem.get("status", 500) in (408, 429) or problem.get("status", 500) >= 500:
        return BoxAway(str(refused), retry_after_s)
    return refused
