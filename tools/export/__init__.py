"""Export of training runs as a bundle: graphs, parity, thresholds, manifest."""
