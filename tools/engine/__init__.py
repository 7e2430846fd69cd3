"""TensorRT plans, built on the device with the worker's Python."""
