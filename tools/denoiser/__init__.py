"""The denoising network of mammograms: data, training, comparison with public methods."""
