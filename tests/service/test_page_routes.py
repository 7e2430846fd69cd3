"""The page's files: which there are, how they are served, and that they need nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from service_bench import FakeReader, problem, running

from mammosono.appliance.errors import ApplianceError

PAGE = Path(str(files("mammosono.appliance"))) / "page"
TEXTS = {file.name: file.read_text("utf-8") for file in PAGE.iterdir()}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(FakeReader()) as client:
        yield client


def test_the_page_is_html_with_the_strict_policy(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_served_files_are_exactly_those_of_the_folder(client: httpx.Client) -> None:
    types = {
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
    }
    for name in set(TEXTS) - {"index.html"}:
        response = client.get(f"/static/{name}")
        assert response.headers["content-type"] == types[Path(name).suffix]
        assert response.text == TEXTS[name]


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/index.html",
        "/static/..%2fcli.py",
        "/static/%2e%2e/cli.py",
        "/static/..%2fpage%2fpage.js",
    ],
)
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/", "/static/page.js"])
def test_a_file_is_asked_for_at_each_use_and_sent_only_if_it_is_new(
    client: httpx.Client, path: str
) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    text = TEXTS[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"\b(https?:)?//[\w.-]+\.\w", text)
    assert "@import" not in text


def test_there_is_no_script_or_style_in_the_html() -> None:
    html = TEXTS["index.html"]
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)


def test_no_text_becomes_markup() -> None:
    for name, text in TEXTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text), (
            name
        )


def test_every_script_is_used_and_imports_only_its_own_kind() -> None:
    imported = {
        name
        for text in TEXTS.values()
        for name in re.findall(r'from "\./([a-z]+\.js)"', text)
    }  # fmt: skip
    assert imported | {"page.js"} == {name for name in TEXTS if name.endswith(".js")}


def _leaves(error: type[ApplianceError]) -> Iterator[type[ApplianceError]]:
    for leaf in error.__subclasses__():
        yield leaf
        yield from _leaves(leaf)


def test_the_page_says_what_to_do_about_every_code() -> None:
    table = (Path(__file__).parents[2] / "docs" / "http.md").read_text("utf-8")
    codes = set(re.findall(r"^\| \d{3} \| `(\w+)`", table, re.M))
    codes |= {leaf.code for leaf in _leaves(ApplianceError)}
    steps = TEXTS["words.js"].split("const STEPS = {")[1].split("\n};")[0]
    assert codes - set(re.findall(r"^  (\w+):", steps, re.M)) == set()
