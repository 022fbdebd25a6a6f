"""The records a runner writes into its job's folder: its identity, and how the job ended."""

from __future__ import annotations

from bertd.records.record import Record
from bertd.records.states import JobState


class RunnerIdentity(Record):
    """The process that runs a job; written by the runner before it starts anything."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat; with pid and boot_id it identifies one process for ever."""
    boot_id: str
    version: str | None = None
    """Of bertd; None from a runner older than the field. Ranks start only under a runner of their own version."""


class Outcome(Record):
    """How the job ended; the last file that a runner writes."""

    state: JobState
    """done, paused, failed or cancelled."""
    reason: str
    """As text: what happened and what can be done."""
    exit_code: int
