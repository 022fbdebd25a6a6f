"""Find and kill every process that the demo started, directly or indirectly.

This process is a child subreaper: the kernel makes it the parent of orphans, so a runner whose daemon has exited is
still a descendant.
"""

from __future__ import annotations

import os
import time

import psutil

from bertd.run.machine.child_processes import adopt_orphans

__all__ = ["adopt_orphans", "kill_descendants", "running"]

_GRACE_S = 3.0


def running() -> list[psutil.Process]:
    """All live descendants; reaps the dead ones."""
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
    """Kill and reap all descendants; returns how many were still running."""
    ended: set[int] = set()
    deadline = time.monotonic() + _GRACE_S
    # The children of a killed process become ours, so look again until none is left.
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
    """Reap adopted orphans; children with a Popen object are waited for by their owner."""
    for process in psutil.Process().children():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
