"""Which jobs or events a list shows, as conditions of SQL with bound values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bertd.records import JobKind, JobState

_Conditions = tuple[str, tuple[object, ...]]
"""` AND` with each condition, and the values of its places."""


@dataclass(frozen=True)
class JobFilter:
    """What a job must have to be listed; what is None or empty excludes none."""

    states: tuple[JobState, ...] = ()
    kinds: tuple[JobKind, ...] = ()
    owner_uid: int | None = None
    since_t: float | None = None
    """Submitted at this time or later."""
    until_t: float | None = None
    """Submitted before this time."""

    @property
    def excludes_any(self) -> bool:
        return self != ANY_JOB

    def conditions(self) -> _Conditions:
        """For a WHERE that has one condition already."""
        return _all_of(
            _is_one_of("state", self.states),
            _is_one_of("kind", self.kinds),
            _compares("owner_uid =", self.owner_uid),
            _compares("created_t >=", self.since_t),
            _compares("created_t <", self.until_t),
        )


ANY_JOB = JobFilter()


@dataclass(frozen=True)
class EventFilter:
    """What an event must have to be listed; what is None or empty excludes none."""

    types: tuple[str, ...] = ()
    job_id: int | None = None
    run_id: str | None = None
    """Of the event's run, or of a finetuning or command that belongs to that run."""
    jobs: JobFilter = ANY_JOB
    """Of the event's job; an event of none is then excluded."""
    since_t: float | None = None
    """It happened at this time or later."""
    until_t: float | None = None
    """It happened before this time."""

    @property
    def excludes_any(self) -> bool:
        return self != ANY_EVENT

    def conditions(self) -> _Conditions:
        """For a WHERE that has one condition already."""
        of_jobs, values = self.jobs.conditions()
        its_job = (f" AND job_id IN (SELECT id FROM jobs WHERE 1{of_jobs})", values)  # noqa: S608  # All values are bound.
        return _all_of(
            _is_one_of("type", self.types),
            _compares("job_id =", self.job_id),
            _compares("run_id =", self.run_id),
            _compares("t >=", self.since_t),
            _compares("t <", self.until_t),
            its_job if self.jobs.excludes_any else ("", ()),
        )


ANY_EVENT = EventFilter()


def _is_one_of(column: str, values: Collection[object]) -> _Conditions:
    return (f" AND {column} IN ({', '.join('?' * len(values))})", tuple(values)) if values else ("", ())


def _compares(condition: str, value: object) -> _Conditions:
    return ("", ()) if value is None else (f" AND {condition} ?", (value,))


def _all_of(*conditions: _Conditions) -> _Conditions:
    return "".join(text for text, _ in conditions), tuple(value for _, values in conditions for value in values)
