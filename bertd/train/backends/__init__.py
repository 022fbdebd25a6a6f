"""Precision and kernels of the device: precision modes, fp8, apex, CUDA architectures, CPU settings."""
