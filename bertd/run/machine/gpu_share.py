"""The part of a GPU's memory that the daemon leased to a job, as its processes read it from their environment."""

from __future__ import annotations

from collections.abc import Mapping

from bertd.errors import DeviceError

GPU_PARTS_VARIABLE = "BERTD_GPU_PARTS"
"""Equal parts of the GPU's memory, of which the job has one. Unset: the job has the GPU to itself."""
GPU_MEMORY_VARIABLE = "BERTD_GPU_MEMORY_BYTES"
"""Bytes of the GPU's memory that the job may use, in all its processes together. Unset: see the parts."""


def read_gpu_parts(environment: Mapping[str, str]) -> int:
    """The number of parts; 1 where the variable is not set.

    Raises:
        DeviceError: it is not a positive number.
    """
    text = environment.get(GPU_PARTS_VARIABLE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise DeviceError(f"{GPU_PARTS_VARIABLE}={text}: not a number of parts; the daemon sets it, so unset it")
    return int(text)


def read_gpu_memory(environment: Mapping[str, str]) -> int | None:
    """The bytes that the job may use; None where it has no such limit.

    Raises:
        DeviceError: the variable is not a positive number.
    """
    text = environment.get(GPU_MEMORY_VARIABLE)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise DeviceError(f"{GPU_MEMORY_VARIABLE}={text}: not a number of bytes; the daemon sets it, so unset it")
    return int(text)


def leased_bytes(environment: Mapping[str, str], *, total_bytes: int) -> int:
    """The memory that the job may use of a GPU that has `total_bytes`.

    Raises:
        DeviceError: a variable is not a positive number.
    """
    limit_bytes = read_gpu_memory(environment)
    share_bytes = total_bytes // read_gpu_parts(environment)
    return share_bytes if limit_bytes is None else min(limit_bytes, share_bytes)
