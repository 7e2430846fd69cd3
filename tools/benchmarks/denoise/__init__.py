"""Denoising bench: what the denoisers gain, keep and cost, beside public methods."""
