"""The ranks of a test as real processes, forked from one that has already imported what trains."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

_IMPORTED_ONCE = ["pytest", "bertd.train.build_trainer", "tests.train.rank_processes"]
"""Importing torch takes seconds, for each process that does."""


def start_ranks(target: Callable[..., None], *, count: int = 2, **options: object) -> list[BaseProcess]:
    """Start `target(rank, **options)` for each rank; its environment is that of the first test that did."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    ranks: list[BaseProcess] = [
        context.Process(target=target, args=(rank,), kwargs=options, daemon=True) for rank in range(count)
    ]
    for process in ranks:
        process.start()
    return ranks
