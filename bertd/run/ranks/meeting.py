"""When the machines of a run had met: a board in memory that the runner creates and the launcher writes.

The time that the first machine waits for the others is not charged, so the runner begins to charge at that moment,
which it learns from here. Like the other boards it is a memfd; CLOCK_MONOTONIC is the same in all processes of a
machine.
"""

from __future__ import annotations

import os
import time

MEETING_VARIABLE = "BERTD_MEETING"
"""Environment variable with the board's path; unset if no runner watches."""
NODE_WATCH_VARIABLE = "BERTD_NODE_WATCH"
"""Environment variable with the path of a pipe whose end closes when another machine is lost; unset on one machine."""
_BYTES = 64


class MeetingBoard:
    """The runner's side; one for each attempt."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("bertd-meeting", os.MFD_CLOEXEC)

    @property
    def path(self) -> str:
        """Path by which the launcher, which runs as the same user on the same machine, opens it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def read_met_s(self) -> float | None:
        """CLOCK_MONOTONIC at which all machines had met; None until then."""
        content = os.pread(self._fd, _BYTES, 0)
        return float(content) if content.endswith(b"\n") else None

    def close(self) -> None:
        """Close the board; its memory is freed when the launcher has closed it too."""
        os.close(self._fd)


def report_meeting() -> None:
    """Report that all machines have met, if a runner watches."""
    path = os.environ.get(MEETING_VARIABLE)
    if path is None:
        return
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, f"{time.monotonic():.6f}\n".encode(), 0)
    finally:
        os.close(fd)
