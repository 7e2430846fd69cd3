"""The mutants of `make mutants` apply, and none of SECURITY.md's rows is without one."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from mutants.catalogue import MUTANTS
from mutants.mutant import Mutant
from mutants.trial import ROOT, defined_tests, mutated

DEFINED = defined_tests()


def promise(mutant: Mutant) -> str:
    return mutant.promise


@pytest.mark.parametrize("mutant", MUTANTS, ids=promise)
def test_a_mutant_applies_exactly_once_and_is_still_a_program(mutant: Mutant) -> None:
    text = mutated(mutant)
    assert mutant.text != mutant.replacement
    if mutant.file.endswith(".py"):
        ast.parse(text)


@pytest.mark.parametrize("mutant", MUTANTS, ids=promise)
def test_a_mutant_names_the_tests_that_notice_it(mutant: Mutant) -> None:
    assert mutant.tests
    for name in mutant.tests:
        assert len(DEFINED.get(name, [])) == 1, name


def test_no_mutant_is_there_twice() -> None:
    assert max(Counter(map(promise, MUTANTS)).values()) == 1


def test_every_row_of_the_threats_has_a_mutant_that_one_of_its_tests_notices() -> None:
    document = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    threats = document[document.index("## Threats") : document.index("## What is left")]
    noticed = {name for mutant in MUTANTS for name in mutant.tests}
    rows = [row for row in threats.splitlines() if "`test_" in row]
    assert len(rows) > 30
    for row in rows:
        assert noticed & set(re.findall(r"`(test_\w+)`", row)), row
