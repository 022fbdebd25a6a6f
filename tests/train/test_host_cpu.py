"""What malloc does with freed memory: an update's large blocks cost page faults once, and then no more."""

from __future__ import annotations

import platform
import resource
from collections.abc import Iterator

import pytest
import torch

from bertd.train.host_cpu import keep_freed_pages, return_freed_pages

BLOCK_BYTES = 48 << 20
PAGES = BLOCK_BYTES // resource.getpagesize()


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    yield
    return_freed_pages()


def faults_of_a_block() -> int:
    """Minor faults while a block as large as logits is taken, filled and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(BLOCK_BYTES, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library's malloc")
def test_a_freed_block_is_kept_for_the_next() -> None:
    return_freed_pages()
    assert min(faults_of_a_block() for _ in range(3)) > PAGES / 2
    keep_freed_pages()
    faults_of_a_block()
    assert min(faults_of_a_block() for _ in range(3)) < PAGES / 10
