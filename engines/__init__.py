"""Run a compiled network: tensors in, tensors out. Knows nothing of breasts.

Python 3.6 clean, numpy and the runtime only: on the original Jetson Nano NVIDIA's
TensorRT module exists for Python 3.6 alone.
"""
