"""docs/http.md is the contract: nothing is missing from it, nothing in it is made up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from mammosono.appliance import errors
from mammosono.appliance.errors import ApplianceError
from mammosono.appliance.http import schemas
from mammosono.appliance.http.app import create_app
from mammosono.appliance.output.document import Result
from mammosono.appliance.settings import Settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
OF_THE_FRAMEWORK = {("404", "not_found"), ("405", "method_not_allowed"), ("422", "invalid_request")}


def leaves(error: type[ApplianceError]) -> Iterator[type[ApplianceError]]:
    for child in error.__subclasses__():
        yield from leaves(child)
    if not error.__subclasses__():
        yield error


def test_the_table_of_codes_is_the_tree_of_errors() -> None:
    listed = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    raised = {(str(error.status), error.code) for error in leaves(ApplianceError)}
    assert listed == raised | OF_THE_FRAMEWORK | {("500", "internal")}


def test_the_tree_drawn_in_the_module_of_errors_is_the_tree_of_its_classes() -> None:
    def drawn(error: type[ApplianceError], depth: int) -> Iterator[tuple[str, ...]]:
        children = error.__subclasses__()
        code = () if children else (str(error.status), error.code)
        yield ("  " * depth + error.__name__, *code)
        for child in children:
            yield from drawn(child, depth + 1)

    tree = str(errors.__doc__).split("\n\n")[1].strip().splitlines()
    rows = [re.match(r"( *\w+)(?: +(\d{3}) (\w+)$)?", row) for row in tree]
    assert {tuple(filter(None, row.groups())) for row in rows if row} == set(
        drawn(ApplianceError, 0)
    )
    assert len(rows) == len(set(drawn(ApplianceError, 0)))


def test_the_examples_are_documents_of_the_schema() -> None:
    result, problem = map(json.loads, re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))
    Result.model_validate(result)
    schemas.ProblemDocument.model_validate(problem)


def test_every_path_and_every_setting_named_exists() -> None:
    paths = set(create_app(Settings()).openapi()["paths"]) | {"/v1/openapi.json"}
    named = re.findall(r"`(?:GET|POST|DELETE) (/[^`]*)`", DOCUMENT)
    for path in named:
        general = re.sub(r"\{n\}/\w+\.png", "{index}/{kind}.png", path).replace(
            "{id}", "{study_id}"
        )
        assert general in paths, path
    settings = {name.lower() for name in re.findall(r"MAMMOSONO_([A-Z_]+)\b", DOCUMENT)}
    assert settings <= set(Settings.model_fields)
