"""The offline side: data, training, judging, export. May use torch; the device never does."""
