"""Mutant: what is taken out, what it was for, and the tests that must fail without it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """promise: what holds no more. file: below the root. text: stands in it exactly once.

    tests: names of test functions, each of which must fail.
    """

    promise: str
    file: str
    text: str
    replacement: str
    tests: tuple[str, ...]


def mutant(promise: str, file: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(promise, file, text, replacement, tests)
