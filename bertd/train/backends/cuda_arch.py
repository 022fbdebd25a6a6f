"""Check that the installed torch has machine code for the GPUs of a run.

A wheel of torch has code for some compute capabilities only; on any other GPU the first operation fails with "no kernel
image is available". Each entry of `torch.cuda.get_arch_list()` says what a part of the wheel runs on:

    sm_86        the same major, and a minor as high or higher: 8.6, 8.9
    sm_100f      the same
    sm_90a       exactly that one
    compute_90   PTX, which the driver compiles for anything as high or higher; with a or f as above

Source: CUDA C++ Programming Guide, "Binary Compatibility", "PTX Compatibility" and "Feature Set Compiler Targets".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

from bertd.errors import DeviceError

_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")
_TURING = (7, 5)
"""The lowest capability that CUDA 13 supports. Source: https://github.com/pytorch/pytorch/issues/172352."""
_BEFORE_TURING = "built for CUDA 12.6, at the latest torch 2.14, see https://pytorch.org/get-started/previous-versions"
"""Source of 2.14: https://github.com/pytorch/pytorch/issues/190385; 2.15 has no wheels for CUDA 12.6."""


def is_capability_supported(architectures: Iterable[str], capability: tuple[int, int]) -> bool:
    """Whether a torch built for these architectures runs on a GPU of this compute capability."""
    return any(_runs_on(architecture, capability) for architecture in architectures)


def _runs_on(architecture: str, capability: tuple[int, int]) -> bool:
    parts = _ARCHITECTURE.fullmatch(architecture)
    if parts is None:
        return False
    kind, major, minor, suffix = parts.groups()
    target = (int(major), int(minor))
    if suffix == "a":
        return capability == target
    if kind == "compute" and not suffix:
        return capability >= target
    return capability[0] == target[0] and capability[1] >= target[1]


def require_supported_arch(num_gpus: int) -> None:
    """Check that torch can run on the first `num_gpus` GPUs.

    Every rank checks all GPUs of its machine, so that all fail with the same error.

    Raises:
        DeviceError: torch has no code for one of them.
    """
    architectures = torch.cuda.get_arch_list()
    if torch.version.cuda is None or not architectures:
        # ROCm has other names for architectures, and some builds list none.
        return
    for index in range(min(num_gpus, torch.cuda.device_count())):
        capability = torch.cuda.get_device_capability(index)
        if not is_capability_supported(architectures, capability):
            raise DeviceError(_describe_unsupported_gpu(index, capability, architectures))


def _describe_unsupported_gpu(index: int, capability: tuple[int, int], architectures: list[str]) -> str:
    name, (major, minor) = torch.cuda.get_device_name(index), capability
    remedy = _BEFORE_TURING if capability < _TURING else "that is newer, see https://pytorch.org/get-started/locally"
    return (
        f"GPU {index}, {name}: has compute capability {major}.{minor}, and torch {torch.__version__} is built for "
        f"{', '.join(architectures)}; install one {remedy}"
    )
