"""malloc keeps freed memory: the large blocks of an update cost page faults only once."""

from __future__ import annotations

import ctypes
import platform
import resource
import subprocess
import sys
from collections.abc import Callable

import pytest

from bertd.train.backends.cpu_tuning import keep_freed_pages, return_freed_pages
from tests.jobs.runner_box import with_tests_on_path

M_MMAP_THRESHOLD = -3
BLOCK_BYTES = 48 << 20
PAGES = BLOCK_BYTES // resource.getpagesize()
KEPT_BYTES = BLOCK_BYTES // 2
"""Size of a block that malloc keeps by default."""


def faults_of_a_block(num_bytes: int = BLOCK_BYTES) -> int:
    """Count minor faults while a block, by default as large as logits, is allocated, filled and freed."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    # Not a tensor: its alignment padding can keep the next block from the same place, a few times.
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(num_bytes)))
    ctypes.memset(block, 1, num_bytes)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def a_freed_block_is_kept_for_the_next() -> None:
    return_freed_pages()
    assert min(faults_of_a_block() for _ in range(3)) > PAGES / 2
    keep_freed_pages()
    faults_of_a_block()
    assert min(faults_of_a_block() for _ in range(3)) < PAGES / 10


def a_script_that_asks_for_nothing_is_not_made_slower_than_it_is() -> None:
    # As in a process that has not freed a large block before its first mallopt.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10)
    keep_freed_pages()
    return_freed_pages()
    ctypes.CDLL(None).malloc_trim(0)
    assert min(faults_of_a_block(KEPT_BYTES) for _ in range(3)) < PAGES / 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's malloc")
@pytest.mark.parametrize(
    "claim", [a_freed_block_is_kept_for_the_next, a_script_that_asks_for_nothing_is_not_made_slower_than_it_is]
)
def test_in_a_separate_process(claim: Callable[[], None]) -> None:
    """Otherwise earlier tests matter: after one failed allocation, malloc serves that thread from another arena."""
    code = f"from {__name__} import {claim.__name__}; {claim.__name__}()"
    ended = subprocess.run([sys.executable, "-c", code], env=with_tests_on_path(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
