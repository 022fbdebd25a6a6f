"""Wait for another process or thread without a fixed sleep: polls with one generous end for the whole suite."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import psutil

PATIENCE_S = 300.0
"""Far above what anything takes, even on a machine that stalls; no test that passes waits for it."""


def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    """Poll until the condition holds; fail the test after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        threading.Event().wait(0.03)


def still_alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Processes that still run after PATIENCE_S; zombies do not count."""
    left, deadline = list(processes), time.monotonic() + PATIENCE_S
    while left := [process for process in left if _runs(process)]:
        if time.monotonic() > deadline:
            break
        threading.Event().wait(0.03)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
