"""Changes of a queued job, and clones of jobs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bertd.api.models.submissions import DependencyNames, GroupName, Priority
from bertd.records import (
    Record,
)


class ChangeRequest(Record):
    """Body of POST /v1/jobs/{id}/change: what a job waits for, when it may run, and its group; null leaves it as it
    is."""

    after: DependencyNames | None = None
    """As in a submission, of a job that never ran, in place of what it was given; an empty list for nothing."""
    after_any: DependencyNames | None = None
    """As `after`."""

    begin: str | None = Field(default=None, min_length=1, max_length=100)
    """As in a submission, of a job that waits; none for at once."""
    only: str | None = Field(default=None, min_length=1, max_length=100)
    """As in a submission, also of a job that runs; none for the whole day."""
    group: GroupName | None = None
    """Of a job that waits; none for no group."""


class CloneRequest(Record):
    """Body of POST /v1/jobs/{id}/clone: what is other than in the job that is cloned."""

    settings: Annotated[list[str], Field(max_length=1_000)] = []
    """KEY=VALUE: of a run section.key of its recipe, of other jobs a key of what was submitted, such as lr or argv."""
    priority: Priority | None = None
    """Null for that of the job."""
    group: GroupName | None = None
    """Null for that of the job."""
    after: DependencyNames = []
    """As in a submission; what the job waited for is not taken over, nor are its times."""
    after_any: DependencyNames = []
    begin: str | None = Field(default=None, min_length=1, max_length=100)
    only: str | None = Field(default=None, min_length=1, max_length=100)
    hold: bool = False
    """Of a run or a command."""


class RecipeView(Record):
    """The recipe of a run."""

    run_id: str
    toml: str
    """Resolved, with every value."""


class MoveRequest(Record):
    """Body of POST /v1/jobs/{id}/move: where a waiting job goes in the queue."""

    to: Literal["before", "after", "first", "last"]
    """It gets the priority of the job that it is placed next to, where its own does not fit there."""
    job: str | None = Field(default=None, min_length=1, max_length=200)
    """The job before or after which it is placed; null for first and last."""

    @model_validator(mode="after")
    def _require_a_job_where_one_is_needed(self) -> Self:
        if (self.job is not None) != (self.to in ("before", "after")):
            raise ValueError("give a job with before and after, and none with first and last")
        return self
