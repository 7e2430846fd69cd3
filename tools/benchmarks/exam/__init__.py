"""Bench of a whole exam at its real size, in the reader process that a service starts."""
