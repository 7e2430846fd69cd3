"""Requests made up from the OpenAPI document: each is answered as the document says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext, load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
from service_bench import FakeReader, running

from mammosono.appliance.http.app import create_app
from mammosono.appliance.settings import Settings

ENDLESS = "/v1/events"  # has tests of its own
OWN_FAULTS = (503, 507)
"""Statuses with which an appliance may fail: it cannot read now, or has no room."""

load_all_checks()
with tempfile.TemporaryDirectory() as folder:
    DOCUMENT = create_app(Settings(state=Path(folder))).openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT).exclude(path=ENDLESS)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(FakeReader()) as client:
        yield client


def status_is_told(
    _: CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Each status stands in the document by its number: the `default` beside them is for clients
    that read no further.
    """
    responses = case.operation.definition.raw["responses"]
    told = {int(status) for status in responses if status.isdigit()}
    told |= {405} if case.method.lower() not in DOCUMENT["paths"][case.path] else set()
    assert response.status_code in told, (response.status_code, case.method, case.path)
    assert response.status_code < 500 or response.status_code in OWN_FAULTS


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_requests_from_the_schema_are_answered_as_the_schema_says(
    case: schemathesis.Case, client: httpx.Client
) -> None:
    response = case.call(base_url=str(client.base_url))
    checks = [
        status_is_told,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]
    case.validate_response(response, checks=checks)


def test_the_appliance_has_lived_through_it(client: httpx.Client) -> None:
    assert client.get("/readyz").status_code == 200
