"""What a job waits for before it may start: other jobs."""

from __future__ import annotations

from pydantic import Field

from bertd.records.record import Record
from bertd.records.states import DependencyCondition, DependencyState


class Dependency(Record):
    """One job that must have reached something before another may start."""

    on_job_id: int
    condition: DependencyCondition
    marker: float | None = Field(default=None, gt=0, le=1)
    """Share of the run's budget; None for the other conditions."""
    state: DependencyState = DependencyState.WAITING
