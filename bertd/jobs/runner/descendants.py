"""Kill the processes that a child leaves: its group, and what the kernel has reparented to this process."""

from __future__ import annotations

import os
import signal
import time

import psutil

from bertd.run.log import log_line

STUCK_AFTER_S = 30.0
"""How long to wait for a killed process before leaving it behind."""


def kill_group(group: int) -> None:
    """Kill all processes of a group; there may be none."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill_orphans() -> None:
    """Kill and reap all descendants of this process, which as a subreaper has those that the child left.

    Those still stuck in the kernel after STUCK_AFTER_S are left behind, with a line in the log.
    """
    deadline = time.monotonic() + STUCK_AFTER_S
    while survivors := psutil.Process().children(recursive=True):
        if time.monotonic() > deadline:
            stuck = ", ".join(str(process.pid) for process in survivors)
            log_line(f"runner: processes {stuck} do not die; a reboot may be needed")
            return
        for process in survivors:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(survivors, timeout=1.0)
