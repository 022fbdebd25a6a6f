"""Choices measured on the device: kernels, attention backend and micro-batch."""
