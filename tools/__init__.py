"""Offline side: data, training, evaluation, export. May use torch; the device never does."""
