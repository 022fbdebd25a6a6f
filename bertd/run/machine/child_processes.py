"""Start child processes that die with their parent, and take over those whose parent died. Light to import."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO

FORK_LOCK = threading.Lock()
"""A thread beside the one that starts children works under it: a child, which is a copy of this process until its
program runs, then finds nothing half done and no lock taken by a thread that it does not have."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OOM_SCORE = b"500"
"""oom_score_adj: added to a process's share of the memory, in thousandths. Source: proc(5)."""
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    cwd: str | None = None,
    process_group: int | None = None,
    start_new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process that the kernel sends `death_signal` when this one dies; the other arguments are Popen's.

    A SIGINT or SIGTERM that reaches the child before its program runs ends it without a word: until then it is a copy
    of this process, whose handlers would run in it, or print a traceback. For a parent whose threads keep to FORK_LOCK.

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
        with FORK_LOCK:
            return subprocess.Popen(
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                bufsize=bufsize,
                env=env,
                cwd=cwd,
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
