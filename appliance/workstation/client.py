"""HTTP client of the appliance, for workstations."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from mammosono.appliance.modality import MODALITIES
from mammosono.appliance.values import Modality

WAIT_S = 30
"""Longest wait of one request for a result; then it is repeated."""

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
        super().__init__(f"{problem.get('title')}: {problem.get('detail')} ({problem.get('code')})")
        self.problem = problem


def connect(url: str, token: str | None = None, ca: Path | None = None) -> httpx.Client:
    """An HTTP client of the appliance at `url`.

    ca: the appliance's certificate, or its signer's; None trusts those of the system.
    Raises ClientError if the certificate or the address cannot be used.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        trust = ssl.create_default_context(cafile=str(ca) if ca else None)
        return httpx.Client(
            base_url=url, headers=headers, verify=trust, timeout=httpx.Timeout(WAIT_S + 120)
        )
    except (OSError, httpx.InvalidURL) as error:
        raise ClientError(f"{url} or its certificate cannot be used: {error}") from error


class ApplianceClient:
    """`with ApplianceClient(url, token, ca) as appliance: appliance.read(files)`"""

    def __init__(self, url: str, token: str | None = None, ca: Path | None = None) -> None:
        """As `connect`."""
        self._http = connect(url, token, ca)

    def read(self, files: Files, study_id: str | None = None) -> dict[str, Any]:
        """Post the files as one study and wait for its result document, however long.

        The same files under the same id are read once, however often they are posted.
        Raises Unavailable or PostRefused; OSError if a file cannot be read.
        """
        named = [(MODALITIES[modality].part, path) for modality, path in files]
        parts = [(part, (path.name, path.read_bytes())) for part, path in named]
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
            reason = str(error) or type(error).__name__
            raise Unavailable(f"{self._http.base_url} does not answer: {reason}") from error
        try:
            document = response.json()
        except ValueError:
            raise Unavailable(
                f"{self._http.base_url} answered {response.status_code}; this is no mammosono"
            ) from None
        if response.is_success:
            return dict(document)
        after = response.headers.get("Retry-After", "")
        raise _refusal(document, float(after) if after.isdigit() else None)

    def __enter__(self) -> ApplianceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._http.close()


def _refusal(problem: dict[str, Any], retry_after_s: float | None = None) -> ClientError:
    refused = PostRefused(problem)
    # Too many, too slow, no room, no model: none of it is the study's own fault.
    if problem.get("status", 500) in (408, 429) or problem.get("status", 500) >= 500:
        return Unavailable(str(refused), retry_after_s)
    return refused
