"""The part of a GPU that the daemon leased to a job, as its processes read it from their environment."""

from __future__ import annotations

from collections.abc import Mapping

from bertd.errors import DeviceError

GPU_PARTS_VARIABLE = "BERTD_GPU_PARTS"
"""Equal parts of the GPU's memory, of which the job has one. Unset: the job has the GPU to itself."""


def read_gpu_parts(environment: Mapping[str, str]) -> int:
    """The number of parts; 1 where the variable is not set.

    Raises:
        DeviceError: it is not a positive number.
    """
    text = environment.get(GPU_PARTS_VARIABLE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise DeviceError(f"{GPU_PARTS_VARIABLE}={text}: not a number of parts; the daemon sets it, so unset it")
    return int(text)
