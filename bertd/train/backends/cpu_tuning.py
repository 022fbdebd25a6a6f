"""What a process that computes on CPU asks of its processor and of the C library, once, before it trains."""

from __future__ import annotations

import ctypes

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
"""Source: mallopt(3), malloc.h of glibc."""
_NEVER_TRIM = -1
_GLIBC_MMAP_MAX = 65_536
_GLIBC_MMAP_BYTES = 32 << 20
"""The largest threshold that glibc's malloc finds by itself, which is where it ends once large blocks were freed."""
_GLIBC_TRIM_BYTES = 2 * _GLIBC_MMAP_BYTES


def tune_cpu() -> None:
    """Ask for what makes training on CPU fast and changes none of its numbers that matter."""
    # Early softmax gradients are full of denormals, which CPUs handle up to 20 times slower.
    torch.set_flush_denormal(True)
    keep_freed_pages()


def keep_freed_pages() -> None:
    """Let malloc keep what is freed for the next step, which needs just as much.

    By default glibc hands blocks of more than 32 MiB back to the kernel, logits and the embeddings' gradient among
    them, and the next step's first touch of each page is a fault: 98,000 an update of 32 sequences with 4 layers x 256,
    a sixth of its time (docs/benchmarks.md). The process keeps its peak instead. C libraries without mallopt are left
    alone.
    """
    _mallopt(_M_MMAP_MAX, 0)
    _mallopt(_M_TRIM_THRESHOLD, _NEVER_TRIM)


def return_freed_pages() -> None:
    """Let malloc do again what it does for a program that asks for nothing and has trained for a while."""
    # Any mallopt stops malloc from finding its threshold: without this one, blocks of 128 KiB would be returned too.
    _mallopt(_M_MMAP_THRESHOLD, _GLIBC_MMAP_BYTES)
    _mallopt(_M_MMAP_MAX, _GLIBC_MMAP_MAX)
    _mallopt(_M_TRIM_THRESHOLD, _GLIBC_TRIM_BYTES)


def _mallopt(parameter: int, value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(parameter, value)
