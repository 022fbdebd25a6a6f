"""`python -m bertd.jobs.runner.command_guard < LAUNCH`: run a program, and leave none of its processes.

The runner starts it, and the kernel sends it RUNNER_DIED when the runner is killed: it then kills all descendants of
the program, also those that have a session of their own. If the guard itself is killed, the kernel kills the program,
and the runner what is left of it. It ends as the program ended: with its exit status, or by its signal.

Standard input has the argv, cwd and environment of the program, as JSON: the guard's own are the runner's, so that
nothing in the program's environment or folder changes what the guard does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from types import FrameType

from bertd.jobs.runner.descendants import kill_orphans
from bertd.run.log import log_line
from bertd.run.machine.child_processes import adopt_orphans, start_child

RUNNER_DIED = signal.SIGUSR1
"""The guard's death signal. Before the guard handles it, it has started nothing, and the signal ends it."""
CANNOT_START = 126
"""Exit status where the program could not be started. Source: POSIX, Shell Command Language, 2.8.2."""


def guard_command() -> list[str]:
    """The command that runs the guard; -P, so that no file of the current folder hides a module."""
    return [sys.executable, "-P", "-m", "bertd.jobs.runner.command_guard"]


def write_launch(argv: list[str], *, cwd: str, environment: dict[str, str]) -> int:
    """The guard's standard input: a file in memory, which the caller closes."""
    fd = os.memfd_create("launch")
    content = json.dumps({"argv": argv, "cwd": cwd, "environment": environment}).encode()
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def guard() -> int:
    """Run the program to its end; its exit code, negative for a signal."""
    launch = json.load(sys.stdin.buffer)
    adopt_orphans()
    signal.signal(RUNNER_DIED, _kill_everything)
    for number in (signal.SIGTERM, signal.SIGINT):
        # They reach the whole group, and it is for the program to end. Not SIG_IGN, which the program would inherit.
        signal.signal(number, lambda *_: None)
    try:
        child = start_child(launch["argv"], cwd=launch["cwd"], env=launch["environment"])
    except OSError as error:
        log_line(f"runner: cannot start {launch['argv'][0]}: {error.strerror}")
        return CANNOT_START
    # Reaps what the program has left to it, too.
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child.pid:
            return os.waitstatus_to_exitcode(status)


def _kill_everything(number: int, frame: FrameType | None) -> None:
    kill_orphans()
    os._exit(1)


def _exit_like(exit_code: int) -> None:
    if exit_code < 0:
        # Without a core of this process, which has no fault.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -exit_code != signal.SIGKILL:
            signal.signal(-exit_code, signal.SIG_DFL)
        os.kill(os.getpid(), -exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    _exit_like(guard())
