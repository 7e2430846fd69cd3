"""The members of uvicorn that the service overrides or reads, none of them documented."""

from __future__ import annotations

import asyncio
import inspect
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from mammosono.appliance.http.connection import Connection
from mammosono.appliance.http.server import ServiceServer

PROJECT = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")


def test_the_version_is_the_one_that_the_project_names_exactly() -> None:
    assert f'"uvicorn=={version("uvicorn")}"' in PROJECT


def overridden(own: type, base: type) -> list[str]:
    return [
        name
        for name, member in vars(own).items()
        if inspect.isfunction(member)
        and not hasattr(asyncio.Protocol, name)
        and not name.startswith("__")
        and name in vars(base)
    ]


@pytest.mark.parametrize(
    ("own", "base", "names"),
    [
        (
            Connection,
            H11Protocol,
            {"on_response_complete", "send_400_response", "timeout_keep_alive_handler"},
        ),
        (ServiceServer, uvicorn.Server, {"startup", "shutdown", "on_tick"}),
    ],
)
def test_what_is_overridden_is_called_there_with_the_same_arguments(
    own: type, base: type, names: set[str]
) -> None:
    assert set(overridden(own, base)) == names
    module = inspect.getsource(inspect.getmodule(base))  # type: ignore[arg-type]
    for name in names:
        assert re.search(rf"self\.{name}\b|on_response=self\.{name}", module), name
        theirs = inspect.signature(getattr(base, name)).parameters
        assert list(inspect.signature(getattr(own, name)).parameters) == list(theirs)


@pytest.mark.parametrize(
    ("of", "names"),
    [
        (H11Protocol, {"conn", "cycle", "loop", "scheme", "transport"}),
        (RequestResponseCycle, {"more_body", "response_complete"}),
        (uvicorn.Server, {"config", "server_state", "should_exit", "started"}),
    ],
)
def test_what_is_read_is_there(of: type, names: set[str]) -> None:
    assert names <= set(re.findall(r"self\.(\w+)\b.* = ", inspect.getsource(of.__init__)))


def test_the_server_has_the_lifespan_and_the_protocol_takes_what_it_is_given() -> None:
    assert "self.lifespan = " in inspect.getsource(uvicorn.Server)
    first = list(inspect.signature(H11Protocol).parameters)[:3]
    assert first == ["config", "server_state", "app_state"]
