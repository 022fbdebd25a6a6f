"""Nothing of the demo outlives it: every process it started, directly or not, is found and ended.

The kernel is asked to hand orphans to this process, so a runner whose daemon is gone still counts as a descendant.
"""

from __future__ import annotations

import os
import time

import psutil

from bertd.run.processes import adopt_orphans

__all__ = ["adopt_orphans", "kill_descendants", "running"]

_GRACE_S = 3.0


def running() -> list[psutil.Process]:
    """Every live descendant; the dead ones are reaped."""
    alive: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    _reap_zombies()
    return alive


def kill_descendants() -> int:
    """Kill and reap every descendant; how many were still running."""
    ended: set[int] = set()
    deadline = time.monotonic() + _GRACE_S
    # Killing a parent hands its children over, so look again until none is left.
    while (alive := running()) and time.monotonic() < deadline:
        for process in alive:
            try:
                process.kill()
                ended.add(process.pid)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(alive, timeout=0.5)
    return len(ended)


def _reap_zombies() -> None:
    """Take the exit status of orphans that were handed over; those with a Popen are waited for by their owner."""
    for process in psutil.Process().children():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
