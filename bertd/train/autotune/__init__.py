"""Choices that are measured on the machine: kernels, attention backend, micro-batch."""
