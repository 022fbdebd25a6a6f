"""Processes of this machine: their identity, whether they are alive, death signals and OOM scores.

Pid, start time and boot id together identify a process; the kernel never gives the same three twice.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil
from pydantic import ValidationError

import bertd
from bertd.records import RunnerIdentity
from bertd.run.bounded_read import read_bounded
from bertd.run.ledger import boot_id

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OOM_SCORE = b"500"
"""oom_score_adj: added to a process's share of the memory, in thousandths. Source: proc(5)."""
_START_TICKS_FIELD = 22
"""Index in /proc/PID/stat, counted from 1. Source: proc(5)."""
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


def start_child(
    command: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    is_oom_victim: bool = False,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    bufsize: int = -1,
    env: Mapping[str, str] | None = None,
    process_group: int | None = None,
    start_new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process that the kernel sends `death_signal` when this one dies; the other arguments are Popen's.

    A SIGINT or SIGTERM that reaches the child before its program runs ends it without a word: until then it is a copy
    of this process, whose handlers would run in it, or print a traceback. Only for a parent without threads.

    Args:
        is_oom_victim: the child is the kernel's first choice when memory runs out. Otherwise it inherits the daemon's
            OOMScoreAdjust, which the unit sets so that the daemon is killed last.

    Raises:
        OSError: no such program, or no processes or memory left for it.
    """
    # Before the fork, because loading libc after it is not safe.
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)

    def prepare_child() -> None:
        _request_death_signal(libc, parent=parent, number=death_signal)
        if is_oom_victim:
            _set_oom_score()
        for number in _END_SIGNALS:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=bufsize,
            env=env,
            process_group=process_group,
            start_new_session=start_new_session,
            preexec_fn=prepare_child,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies; exit at once if the parent's pid is not `parent`."""
    parent = os.getppid() if parent is None else parent
    _request_death_signal(ctypes.CDLL(None, use_errno=True), parent=parent, number=signal.SIGKILL)


def _request_death_signal(libc: ctypes.CDLL, *, parent: int, number: signal.Signals) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the request, so the signal would never come.
        os._exit(1)


def _set_oom_score() -> None:
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, _OOM_SCORE)
        os.close(fd)
    except OSError:
        pass


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies, so that it can find and kill them."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
