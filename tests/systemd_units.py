"""What the tests of systemd/ share: reading units as systemd does, and docker's options in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

SYSTEMD = Path(__file__).resolve().parent.parent / "systemd"

ALONE = {"--rm", "--read-only"}
"""Options of `docker run` that take no value, of those used."""


def directives(file: Path) -> list[tuple[str, str]]:
    """(name, value) of every line, continued lines joined."""
    text = re.sub(r"\\\n", " ", file.read_text())
    lines = [line for line in text.splitlines() if line and line[0] not in "#;["]
    return [(name.strip(), value.strip()) for name, _, value in (i.partition("=") for i in lines)]


def values(file: Path, name: str) -> list[str]:
    return [value for key, value in directives(file) if key == name]


def environment(file: Path) -> dict[str, str]:
    """The variables that the unit itself sets."""
    assignments = [word for line in values(file, "Environment") for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in assignments)


def command(file: Path, **settings: str) -> list[str]:
    """ExecStart as systemd runs it: ${NAME} is one word, $NAME as many as it holds."""
    known = {**environment(file), **settings}
    words: list[str] = []
    for word in values(file, "ExecStart")[0].split():
        if re.fullmatch(r"\$\w+", word):
            words += known[word[1:]].split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], word))
    return words


@dataclass(frozen=True)
class DockerRun:
    """options: each with its values in order; a lone option has the value ""."""

    options: dict[str, list[str]]
    image: str
    arguments: list[str]


def docker_run(words: list[str]) -> DockerRun:
    """The part of the command from `docker run` on."""
    rest = words[words.index("/usr/bin/docker") + 1 :]
    assert rest.pop(0) == "run"
    options: dict[str, list[str]] = {}
    while rest[0].startswith("-"):
        name = rest.pop(0)
        options.setdefault(name, []).append("" if name in ALONE else rest.pop(0))
    return DockerRun(options, rest[0], rest[1:])
