"""Callbacks of long work, by what they are called with."""

from __future__ import annotations

from collections.abc import Callable

OnCount = Callable[[int, int], None]
"""How many are done, and of how many."""
OnPhase = Callable[[str, int, int], None]
"""What is being done, how many of it are done, and of how many."""
