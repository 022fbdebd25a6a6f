"""Tells from an error that memory ran out, on whatever device."""

from __future__ import annotations

import torch

_CPU_MESSAGE = "DefaultCPUAllocator: can't allocate memory"
"""Of a RuntimeError: on CPU PyTorch has no class for it. Source: c10/core/impl/alloc_cpu.cpp."""


_GPU_MESSAGES = ("out of memory", "ALLOC_FAILED", "cudaErrorMemoryAllocation")
"""Parts of what comes past PyTorch's allocator: from the driver, cuBLAS, cuDNN, Triton and NCCL, as a RuntimeError."""


def out_of_memory_reason(error: BaseException) -> str | None:
    """Whose memory is too small, in one line with the allocator's figures; None where it is another error."""
    first_line = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is too small: {first_line}"
    if isinstance(error, RuntimeError) and (line := _find_gpu_line(str(error))) is not None:
        return f"the GPU's memory is too small: {line}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _CPU_MESSAGE in first_line):
        return f"the machine's memory is too small: {first_line or type(error).__name__}"
    return None


def _find_gpu_line(text: str) -> str | None:
    """The line that says so: NCCL and the compiler begin with others."""
    for line in text.splitlines():
        if "CPU" not in line and any(part.lower() in line.lower() for part in _GPU_MESSAGES):
            return line.strip()
    return None
