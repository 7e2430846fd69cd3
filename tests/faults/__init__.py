"""Fault rounds: a real appliance, real clients, kill -9 at random moments. `make faults`."""
