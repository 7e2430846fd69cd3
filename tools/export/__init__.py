"""From a training run to a bundle: graphs, parity, thresholds, manifest."""
