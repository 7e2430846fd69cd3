"""The pipeline: an image to findings and a verdict; `reader.py` is the whole of it on one page."""
