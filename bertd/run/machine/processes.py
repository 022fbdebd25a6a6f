"""Processes of this machine: their identity, whether they are alive, their memory.

Pid, start time and boot id together identify a process; the kernel never gives the same three twice.
"""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import psutil
from pydantic import ValidationError

import bertd
from bertd.records import RunnerIdentity
from bertd.run.bounded_read import read_bounded
from bertd.run.ledger import boot_id

_START_TICKS_FIELD = 22
"""Index in /proc/PID/stat, counted from 1. Source: proc(5)."""


def start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since the boot; None if it does not exist or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may itself contain spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[_START_TICKS_FIELD - 4])


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal such as SIGSTOP."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def own_identity() -> RunnerIdentity:
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    return RunnerIdentity(pid=os.getpid(), start_ticks=ticks, boot_id=boot_id(), version=bertd.__version__)


def is_alive(identity: RunnerIdentity) -> bool:
    """Whether exactly this process still runs."""
    return identity.boot_id == boot_id() and start_ticks(identity.pid) == identity.start_ticks


def read_identity(path: Path) -> RunnerIdentity | None:
    """The runner that wrote runner.json; None if the file is absent, invalid or unreadable."""
    try:
        return RunnerIdentity.model_validate_json(read_bounded(path))
    except (OSError, ValidationError):
        return None


def peak_memory_bytes() -> int:
    """The most memory that this process has had at once.

    ru_maxrss begins with what the parent had when it started this process, so it is only for systems that lack VmHWM.
    Source: proc(5), and exec_mmap in Linux's fs/exec.c.
    """
    match = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * (int(match[1]) if match else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def oom_kills() -> int:
    """How often the kernel has killed a process since boot because memory ran out; 0 if it does not report it."""
    match = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
