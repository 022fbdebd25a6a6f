"""What malloc does with freed memory: an update's large blocks cost page faults once, and then no more."""

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
"""Of a block that malloc keeps by itself."""


def faults_of_a_block(num_bytes: int = BLOCK_BYTES) -> int:
    """Minor faults while a block, as large as logits by default, is taken, filled and freed."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    # Not a tensor: what is cut off to align it can keep the next from the same place, a few times.
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
    # As of a process that has freed nothing large when it first asks for something.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10)
    keep_freed_pages()
    return_freed_pages()
    ctypes.CDLL(None).malloc_trim(0)
    assert min(faults_of_a_block(KEPT_BYTES) for _ in range(3)) < PAGES / 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's malloc")
@pytest.mark.parametrize(
    "claim", [a_freed_block_is_kept_for_the_next, a_script_that_asks_for_nothing_is_not_made_slower_than_it_is]
)
def test_in_a_process_of_its_own(claim: Callable[[], None]) -> None:
    """Else an earlier test decides: a thread that malloc has refused once gets its blocks elsewhere from then on."""
    code = f"from {__name__} import {claim.__name__}; {claim.__name__}()"
    ended = subprocess.run([sys.executable, "-c", code], env=with_tests_on_path(), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
