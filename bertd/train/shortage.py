"""Tells from an error that memory ran out, on whatever device."""

from __future__ import annotations

import torch

_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"
"""Of a RuntimeError: on CPU PyTorch has no class for it. Source: c10/core/impl/alloc_cpu.cpp."""


_GPU_SAYS = ("out of memory", "ALLOC_FAILED", "cudaErrorMemoryAllocation")
"""Parts of what comes past PyTorch's allocator: from the driver, cuBLAS, cuDNN, Triton and NCCL, as a RuntimeError."""


def memory_shortage(error: BaseException) -> str | None:
    """Whose memory is too small, in one line with the allocator's figures; None where it is another error."""
    said = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is too small: {said}"
    if isinstance(error, RuntimeError) and (line := _of_a_gpu(str(error))) is not None:
        return f"the GPU's memory is too small: {line}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _CPU_ALLOCATOR in said):
        return f"the machine's memory is too small: {said or type(error).__name__}"
    return None


def _of_a_gpu(text: str) -> str | None:
    """The line that says so: NCCL and the compiler begin with others."""
    for line in text.splitlines():
        if "CPU" not in line and any(part.lower() in line.lower() for part in _GPU_SAYS):
            return line.strip()
    return None
