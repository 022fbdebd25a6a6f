"""What a runner leaves in its job's folder: who it is, and how the job ended."""

from __future__ import annotations

from bertd.records.record import Record
from bertd.records.states import JobState


class RunnerIdentity(Record):
    """Who runs a job, written by the runner before it starts anything."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: with the pid and boot_id it names one process for ever."""
    boot_id: str
    version: str | None = None
    """Of bertd; None from a runner older than the field. Ranks start only with a runner of their own version."""


class Outcome(Record):
    """How a runner ended, written whole as its last act."""

    state: JobState
    """done, paused, failed or cancelled."""
    reason: str
    """For a person: what happened and what can be done."""
    exit_code: int
