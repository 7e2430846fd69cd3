"""Mutants: the code with a safeguard taken out, and the tests that must notice. `make mutants`."""
