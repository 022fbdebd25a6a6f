"""Recognise out-of-memory errors of the GPU and of the host."""

from __future__ import annotations

import torch

_CPU_MESSAGE = "DefaultCPUAllocator: can't allocate memory"
"""In the text of a RuntimeError: PyTorch has no exception class for it on CPU. Source: c10/core/impl/alloc_cpu.cpp."""


_GPU_MESSAGES = ("out of memory", "ALLOC_FAILED", "cudaErrorMemoryAllocation")
"""In the text of a RuntimeError from outside PyTorch's allocator: the driver, cuBLAS, cuDNN, Triton and NCCL."""


def out_of_memory_reason(error: BaseException) -> str | None:
    """Say in one line which memory is too small, with the allocator's figures; None for any other error."""
    first_line = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is too small: {first_line}"
    if isinstance(error, RuntimeError) and (line := _find_gpu_line(str(error))) is not None:
        return f"the GPU's memory is too small: {line}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _CPU_MESSAGE in first_line):
        return f"the machine's memory is too small: {first_line or type(error).__name__}"
    return None


def _find_gpu_line(text: str) -> str | None:
    """Find the line about memory: messages of NCCL and of the compiler begin with other lines."""
    for line in text.splitlines():
        if "CPU" not in line and any(part.lower() in line.lower() for part in _GPU_MESSAGES):
            return line.strip()
    return None
