"""Processes of this machine: which one it is, whether it lives, and what the kernel does to it when another dies.

A process is named by pid, start time and boot together, which are never given twice.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
from pydantic import ValidationError

import bertd
from bertd.records import RunnerIdentity
from bertd.run.ledger import boot_id

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OOM_SCORE = b"500"
"""Added to what a process uses of the memory, in thousandths. Source: proc(5)."""
_START_TICKS_FIELD = 22
"""Of /proc/PID/stat, counted from 1. Source: proc(5)."""


def start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since the boot; None where there is none, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[_START_TICKS_FIELD - 4])


def is_stopped(pid: int) -> bool:
    """Whether a signal such as SIGSTOP halts a process."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def own_identity() -> RunnerIdentity:
    """This process."""
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    return RunnerIdentity(pid=os.getpid(), start_ticks=ticks, boot_id=boot_id(), version=bertd.__version__)


def is_alive(identity: RunnerIdentity) -> bool:
    """Whether that very process still runs."""
    return identity.boot_id == boot_id() and start_ticks(identity.pid) == identity.start_ticks


def read_identity(path: Path) -> RunnerIdentity | None:
    """The runner that wrote runner.json; None where none did, or the file is none or cannot be read."""
    try:
        return RunnerIdentity.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def oom_kills() -> int:
    """How often this boot's kernel killed a process because memory ran out; 0 where it does not tell."""
    match = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0


def make_parent_death_hook(death_signal: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Make a hook, for a child between fork and exec: the kernel sends it `death_signal` when this process dies.

    Made before the fork, because loading libc behind it is not safe. Only for a parent without threads.
    """
    return partial(_request_death_signal, ctypes.CDLL(None, use_errno=True), parent=os.getpid(), number=death_signal)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies; end here if that is no longer `parent`, its pid."""
    parent = os.getppid() if parent is None else parent
    _request_death_signal(ctypes.CDLL(None, use_errno=True), parent=parent, number=signal.SIGKILL)


def _request_death_signal(libc: ctypes.CDLL, *, parent: int, number: signal.Signals) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the request; nobody would send the signal.
        os._exit(1)


def make_oom_victim_hook(then: Callable[[], None]) -> Callable[[], None]:
    """What a child calls before `then` to be the first that the kernel kills when memory runs out.

    Else ranks would have the daemon's place, which its unit puts behind everybody else's.
    """

    def ask_kernel() -> None:
        try:
            fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, _OOM_SCORE)
            os.close(fd)
        except OSError:
            pass
        then()

    return ask_kernel


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies, so that it can find and end them."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
