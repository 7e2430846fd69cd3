"""Denoising network of mammograms: data, training, comparison with public methods."""
