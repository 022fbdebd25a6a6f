"""Process-wide settings for training on CPU: denormals, and the C library's malloc."""

from __future__ import annotations

import ctypes

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
"""Source: mallopt(3), malloc.h of glibc."""
_NEVER_TRIM = -1
_GLIBC_MMAP_MAX = 65_536
_GLIBC_MMAP_BYTES = 32 << 20
"""The largest threshold that glibc's malloc adapts to by itself; it gets there once large blocks were freed."""
_GLIBC_TRIM_BYTES = 2 * _GLIBC_MMAP_BYTES


def tune_cpu() -> None:
    """Apply the settings that make training on CPU faster and do not change its results noticeably."""
    # Early softmax gradients are full of denormals, which CPUs handle up to 20 times slower.
    torch.set_flush_denormal(True)
    keep_freed_pages()


def keep_freed_pages() -> None:
    """Make malloc keep freed memory for the next step, which needs the same amount.

    By default glibc returns blocks of more than 32 MiB to the kernel, such as the logits and the embeddings' gradient,
    and in the next step the first access to each page is a fault: 98,000 per update of 32 sequences with 4 layers x
    256, a sixth of its time (docs/benchmarks.md). With these settings the process keeps its peak memory. C libraries
    without mallopt are not changed.
    """
    _mallopt(_M_MMAP_MAX, 0)
    _mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)


def return_freed_pages() -> None:
    """Restore the behaviour that malloc has by default in a process that has trained for a while."""
    # Any mallopt call stops malloc from adapting its threshold: without this one, 128 KiB blocks would be returned too.
    _mallopt(_M_MMAP_THRESHOLD, _GLIBC_MMAP_BYTES)
    _mallopt(_M_MMAP_MAX, _GLIBC_MMAP_MAX)
    _mallopt(_M_TRIM_THRESHOLD, _GLIBC_TRIM_BYTES)


def _mallopt(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)
