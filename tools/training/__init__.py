"""Training: samples in, checkpoints and curves out."""
