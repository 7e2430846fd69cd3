"""Proof under fire: a real box, real clients, and kill -9 at random moments. `make faults`."""
