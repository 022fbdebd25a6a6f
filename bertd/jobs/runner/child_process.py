"""Run a runner's child process: in its own process group, killed if its parent dies, waited for in ticks.

Signals only set a flag and wake the wait through a pipe. When the child ends, its process group and all orphans that
the kernel has reparented to the runner are killed and reaped.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from types import FrameType

from bertd.jobs.runner.descendants import kill_group, kill_orphans
from bertd.run.machine.child_processes import adopt_orphans, start_child


class StopSignal:
    """Whether this process got SIGTERM or SIGINT, with a wait that the signal wakes."""

    def __init__(self) -> None:
        """Install handlers for SIGTERM and SIGINT; only in the main thread."""
        self.is_set = False
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True

    def wait(self, timeout_s: float, *, wake_fd: int | None = None) -> bool:
        """Sleep until the timeout, a signal, or until `wake_fd` is readable; return whether `wake_fd` is readable."""
        watched = [self._reader] if wake_fd is None else [self._reader, wake_fd]
        ready, _, _ = select.select(watched, [], [], max(0.0, timeout_s))
        if self._reader in ready:
            os.read(self._reader, 4096)
        return wake_fd is not None and wake_fd in ready


def run_child_process(
    command: list[str],
    *,
    stop_signal: StopSignal,
    tick_s: float,
    on_tick: Callable[[subprocess.Popen[bytes]], None],
    variables: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    death_signal: signal.Signals = signal.SIGKILL,
    signals_group: bool = False,
) -> int:
    """Run a command to its end and return its exit code, negative for a signal.

    SIGTERM is forwarded once. `on_tick` is called about every `tick_s` and may kill the child.

    Args:
        variables: added to the environment.
        stdin: descriptor that is the child's standard input.
        death_signal: sent to the child when this process dies.
        signals_group: SIGTERM is forwarded to the child's whole group.

    Raises:
        OSError: the command cannot be started.
    """
    adopt_orphans()
    child = start_child(
        command,
        is_oom_victim=True,
        process_group=0,
        env=os.environ | dict(variables or {}),
        stdin=stdin,
        death_signal=death_signal,
    )
    pidfd = os.pidfd_open(child.pid)
    is_forwarded = False
    next_tick = time.monotonic() + tick_s
    try:
        while True:
            if stop_signal.is_set and not is_forwarded:
                is_forwarded = True
                if signals_group:
                    os.killpg(child.pid, signal.SIGTERM)
                else:
                    child.terminate()
            if stop_signal.wait(next_tick - time.monotonic(), wake_fd=pidfd):
                break
            if time.monotonic() >= next_tick:
                next_tick = max(next_tick + tick_s, time.monotonic())
                on_tick(child)
    finally:
        os.close(pidfd)
        # Before the child is reaped: until then no other process can get its group's id.
        kill_group(child.pid)
        exit_code = child.wait()
        kill_orphans()
    return exit_code
