"""Heartbeats of the ranks: a board in memory that the runner creates, the ranks write and the watchdog reads.

A beat says "step N is done, and this phase begins"; on a GPU step N may still be in its queue. The training thread
writes it, not a separate thread: that would keep beating while a C call hangs, and stop while another thread holds the
GIL. The board is a memfd that ranks open by its name in /proc, so a full or read-only disk stops no beat, and a crash
leaves nothing behind.

Each rank has one line of `LINE_BYTES`, overwritten with a single system call.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum

from pydantic import ValidationError

from bertd.errors import RunFolderError
from bertd.records import Record

HEARTBEAT_VARIABLE = "BERTD_BEATS"
"""Environment variable with the board's path; unset if no runner watches, as under torchrun."""
DUMP_STACKS_SIGNAL = signal.SIGUSR1
"""On this signal a rank that has sent a beat writes the stacks of all its threads to its standard error."""
LINE_BYTES = 160


class Phase(StrEnum):
    """What a rank is doing; each phase has its own timeout."""

    START = "start"
    """Until the process group is up and the checkpoint is loaded."""
    STEP = "step"
    """An optimizer update, and the communication between two; the first one may compile."""
    VALIDATION = "validation"
    SAVE = "save"
    """Writes a checkpoint or an export."""
    SUSPEND = "hold"
    """Paused with its memory kept; it beats each time it reads the mailbox."""


class HeartbeatRecord(Record):
    """One line of the board."""

    rank: int
    pid: int
    section: Phase
    step: int
    """Steps done."""
    count: int
    """Beats of this rank so far."""
    is_first: bool
    """The first of its section in this attempt, which may compile."""


class Heartbeat:
    """Writes one rank's beats to the board."""

    def __init__(self, board: str | None, *, rank: int) -> None:
        """`board` is the path in `HEARTBEAT_VARIABLE`; without one, `beat` does nothing.

        Raises:
            RunFolderError: the board cannot be opened.
        """
        self._rank = rank
        self._count = 0
        self._seen_phases: set[Phase] = set()
        self._fd: int | None = None
        if board is not None:
            try:
                self._fd = os.open(board, os.O_WRONLY | os.O_CLOEXEC)
            except OSError as error:
                remedy = "start the run with `python -m bertd.jobs.runner FOLDER`"
                raise RunFolderError(f"{HEARTBEAT_VARIABLE}={board}: no board: {error.strerror}; {remedy}") from error

    def beat(self, section: Phase, *, step: int) -> None:
        """Report that step `step` is done and `section` begins or continues."""
        if self._fd is None:
            return
        self._count += 1
        is_first = "false" if section in self._seen_phases else "true"
        self._seen_phases.add(section)
        line = (
            f'{{"rank":{self._rank},"pid":{os.getpid()},"section":"{section}","step":{step},"count":{self._count},'
            f'"is_first":{is_first}}}'
        )
        os.pwrite(self._fd, line.ljust(LINE_BYTES - 1).encode() + b"\n", self._rank * LINE_BYTES)


NO_HEARTBEAT = Heartbeat(None, rank=0)
"""For ranks that no runner watches."""


class HeartbeatBoard:
    """The runner's side; one for each attempt."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("bertd-beats", os.MFD_CLOEXEC)

    @property
    def path(self) -> str:
        """Path by which the ranks, which run as the same user on the same machine, open it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def read(self) -> tuple[HeartbeatRecord, ...]:
        """The newest beat of each rank that has sent one, by rank."""
        lines = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        beats = []
        for start in range(0, len(lines), LINE_BYTES):
            try:
                beats.append(HeartbeatRecord.model_validate_json(lines[start : start + LINE_BYTES]))
            except ValidationError:
                # Not written yet, or read in the middle of a write: the next read gets it.
                continue
        return tuple(beats)

    def close(self) -> None:
        """Close the board; its memory is freed when the ranks have closed it too."""
        os.close(self._fd)
