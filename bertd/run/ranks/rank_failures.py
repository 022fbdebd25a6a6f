"""Why ranks failed, as they report it: a board in memory that the runner creates and the ranks write.

The rank that fails first has the cause. Often it is not rank 0, the journal's writer, which the launcher may end before
it has noticed anything. So each rank reports by itself, and the runner takes the first report. Like the board of
heartbeats it is a memfd, so that a full disk, which may be the cause, stops no report.

Each rank has `SLOT_BYTES`, written with a single system call.
"""

from __future__ import annotations

import os
import time

from pydantic import ValidationError

from bertd.records import Record
from bertd.run.log import log_line

FAILURES_VARIABLE = "BERTD_FAILURES"
"""Environment variable with the board's path; unset if no runner watches, as under torchrun."""
SLOT_BYTES = 8192
_MAX_MESSAGE = 1000
"""Characters; what a slot holds, however JSON escapes them."""


class RankFailure(Record):
    """The report of one rank."""

    rank: int
    exit_code: int
    """The exit status with which the rank ends."""
    code: str
    """Class of the error."""
    message: str
    monotonic_s: float
    """CLOCK_MONOTONIC of the report, which all ranks of a machine share."""


class FailureBoard:
    """The runner's side; one for each attempt."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("bertd-failures", os.MFD_CLOEXEC)

    @property
    def path(self) -> str:
        """Path by which the ranks, which run as the same user on the same machine, open it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def first(self, *, exit_code: int) -> RankFailure | None:
        """The first report of a rank that ended with this exit status: later ones may only be its consequence."""
        return next((failure for failure in _read(self._fd) if failure.exit_code == exit_code), None)

    def close(self) -> None:
        """Close the board; its memory is freed when the ranks have closed it too."""
        os.close(self._fd)


def report_failure(board: str | None, *, rank: int, exit_code: int, code: str, message: str) -> bool:
    """Report why this rank fails; return whether its message is new, so that not every rank prints the same.

    Args:
        board: the path in `FAILURES_VARIABLE`; without one nothing is reported and each message is new, since the
            launcher may end any other rank before it has spoken.
        message: is cut at a thousand characters.
    """
    if board is None:
        return True
    message = message[:_MAX_MESSAGE]
    failure = RankFailure(rank=rank, exit_code=exit_code, code=code, message=message, monotonic_s=time.monotonic())
    try:
        fd = os.open(board, os.O_RDWR | os.O_CLOEXEC)
        try:
            is_new = all(other.message != message for other in _read(fd))
            os.pwrite(fd, failure.model_dump_json().encode().ljust(SLOT_BYTES), rank * SLOT_BYTES)
        finally:
            os.close(fd)
    except OSError as error:
        log_line(f"bertd: rank {rank}: {FAILURES_VARIABLE}={board}: no board: {error.strerror}")
        return True
    return is_new


def _read(fd: int) -> list[RankFailure]:
    """All reports, the first one first."""
    slots = os.pread(fd, os.fstat(fd).st_size, 0)
    failures = []
    for start in range(0, len(slots), SLOT_BYTES):
        try:
            failures.append(RankFailure.model_validate_json(slots[start : start + SLOT_BYTES]))
        except ValidationError:
            # Not written.
            continue
    return sorted(failures, key=lambda failure: failure.monotonic_s)
