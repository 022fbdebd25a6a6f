"""The device that a finetuning or an evaluation was leased, and the memory it may use there."""

from __future__ import annotations

import os

import torch

from bertd.errors import DeviceError
from bertd.run.machine.gpu_share import leased_bytes, read_gpu_memory, read_gpu_parts
from bertd.train.backends.cuda_arch import require_supported_arch

_CONTEXT_BYTES = 10**9
"""What the driver and its libraries take for a process, outside PyTorch's allocator. An estimate, not measured."""


def choose_device() -> torch.device:
    """The GPU if one is visible, with PyTorch's allocator held to the leased part of its memory; else the CPU.

    Raises:
        DeviceError: a GPU was leased through CUDA_VISIBLE_DEVICES and cannot be used, or torch does not support it.
    """
    if torch.cuda.is_available():
        require_supported_arch(1)
        # cuDNN attention would build a plan for each sentence length, and with masks it has returned NaN on Hopper
        # (PyTorch issue 196678). A pretraining can use it: there it is timed and checked first.
        torch.backends.cuda.enable_cudnn_sdp(False)
        if read_gpu_parts(os.environ) > 1 or read_gpu_memory(os.environ) is not None:
            total_bytes, may_use_bytes = torch.cuda.mem_get_info()[1], leased_memory_bytes()
            allocator_bytes = max(may_use_bytes - _CONTEXT_BYTES, may_use_bytes // 2)
            torch.cuda.set_per_process_memory_fraction(allocator_bytes / total_bytes)
        return torch.device("cuda")
    leased = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if leased not in ("", "-1"):
        raise DeviceError(f"CUDA_VISIBLE_DEVICES={leased}: torch finds no such GPU; check nvidia-smi and the driver")
    return torch.device("cpu")


def leased_memory_bytes() -> int:
    """The GPU's memory, or the leased part of it.

    Raises:
        DeviceError: a number in the environment is not one.
    """
    total_bytes: int = torch.cuda.mem_get_info()[1]
    return leased_bytes(os.environ, total_bytes=total_bytes)
