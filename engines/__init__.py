"""Engines that run a compiled network: tensors in, tensors out, whatever the network is for.

Python 3.6 clean, numpy and the runtime only: on the original Jetson Nano NVIDIA's
TensorRT module exists for Python 3.6 alone.
"""
