"""TensorRT through NVIDIA's module and PyCUDA, 8.2 to 11; and the plans built on this device."""
