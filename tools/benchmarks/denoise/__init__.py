"""Denoising bench: what the denoisers gain, keep and cost, beside what else there is."""
