"""What a job waits for before it may start: other jobs."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from bertd.records.record import Record


class DependencyCondition(StrEnum):
    """What the other job must have reached."""

    DONE = "done"
    """It is done."""
    ENDED = "ended"
    """It is over, in whatever state."""
    MARKER = "marker"
    """A run has spent a share of its budget."""


class DependencyState(StrEnum):
    """What became of a dependency."""

    WAITING = "waiting"
    BROKEN = "broken"
    """It cannot be met any more, so the job was held."""
    WAIVED = "waived"
    """A person released the job although it was broken."""


class Dependency(Record):
    """One job that must have reached something before another may start."""

    on_job_id: int
    condition: DependencyCondition
    marker: float | None = Field(default=None, gt=0, le=1)
    """Share of the run's budget; None for the other conditions."""
    state: DependencyState = DependencyState.WAITING
