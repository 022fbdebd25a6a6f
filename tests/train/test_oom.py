"""Out-of-memory errors are recognised, whichever library raises them."""

from __future__ import annotations

import pytest
import torch

from bertd.train.oom import out_of_memory_reason

CPU = "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
    ],
)
def test_every_out_of_memory_error_of_a_gpu_is_recognised(error: RuntimeError) -> None:
    assert out_of_memory_reason(error) == f"the GPU's memory is too small: {str(error).splitlines()[0]}"


def test_the_line_about_memory_need_not_be_the_first() -> None:
    nccl = RuntimeError("NCCL error in: ProcessGroupNCCL.cpp\nLast error:\n Cuda failure 2 'out of memory'")
    assert out_of_memory_reason(nccl) == "the GPU's memory is too small: Cuda failure 2 'out of memory'"


@pytest.mark.parametrize("error", [RuntimeError(CPU), MemoryError()])
def test_out_of_memory_on_the_host_is_not_reported_as_the_gpus(error: Exception) -> None:
    reason = out_of_memory_reason(error)
    assert reason is not None and reason.startswith("the machine's memory is too small: ")


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: device-side assert triggered"), ValueError("out of memory")]
)
def test_other_errors_are_none(error: Exception) -> None:
    assert out_of_memory_reason(error) is None
