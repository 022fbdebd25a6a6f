"""Whether a queued job may start as far as other jobs are concerned, or why not. Pure.

A dependency that can no longer be met holds the job: it never starts because of something that went wrong, unless a
person releases it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bertd.jobs.store.lifecycle import ENDED
from bertd.records import Dependency, DependencyCondition, JobState
from bertd.run.amounts.quantities import format_share


@dataclass(frozen=True)
class OtherJob:
    """What a dependency needs to know of the job it is about."""

    id: int
    name: str
    state: JobState
    progress: float | None
    """Share of its budget that a run has spent; 1 if it ended because that was spent; None for other jobs."""


@dataclass(frozen=True)
class DependencyVerdict:
    """What the dependencies of one job say."""

    waits_for: str = ""
    """Why it may not start yet; empty if it may."""
    broken: tuple[int, ...] = ()
    """Jobs whose dependency can no longer be met."""
    broken_reason: str = ""
    """Why it is held; empty if nothing is broken."""

    @property
    def may_start(self) -> bool:
        """Whether all of them are met."""
        return not self.waits_for and not self.broken


def check_dependencies(job_id: int, pairs: Sequence[tuple[Dependency, OtherJob]]) -> DependencyVerdict:
    """What a job's dependencies say, each with the job it is about."""
    broken = [(dependency, other) for dependency, other in pairs if _is_broken(dependency, other)]
    if broken:
        causes = " and ".join(_cause(dependency, other) for dependency, other in broken)
        remedy = f"`bertd release {job_id}` starts it all the same, `bertd stop {job_id}` cancels it"
        return DependencyVerdict(
            broken=tuple(other.id for _, other in broken), broken_reason=f"held, since {causes}: {remedy}"
        )
    waiting = [_wait(dependency, other) for dependency, other in pairs if not is_met(dependency, other)]
    return DependencyVerdict(waits_for=" and ".join(waiting))


def is_met(dependency: Dependency, other: OtherJob) -> bool:
    """Whether the other job has reached what the dependency asks."""
    if dependency.condition is DependencyCondition.DONE:
        return other.state is JobState.DONE
    if dependency.condition is DependencyCondition.ENDED:
        return other.state in ENDED
    assert dependency.marker is not None
    return other.progress is not None and other.progress >= dependency.marker


def _is_broken(dependency: Dependency, other: OtherJob) -> bool:
    return other.state in ENDED and not is_met(dependency, other)


def _cause(dependency: Dependency, other: OtherJob) -> str:
    if dependency.condition is DependencyCondition.MARKER:
        reached, asked = format_share(other.progress or 0.0), format_share(dependency.marker or 0.0)
        return f"job {other.id} ({other.name}) ended at {reached} of its budget, before {asked}"
    verb = "failed" if other.state is JobState.FAILED else f"was {other.state}"
    return f"job {other.id} ({other.name}) {verb}"


def _wait(dependency: Dependency, other: OtherJob) -> str:
    who = f"waits for job {other.id} ({other.name})"
    if dependency.condition is DependencyCondition.MARKER:
        so_far = f"{format_share(other.progress)} so far, " if other.progress is not None else ""
        return f"{who} to spend {format_share(dependency.marker or 0)} of its budget: {so_far}{other.state}"
    what = "be done" if dependency.condition is DependencyCondition.DONE else "end"
    return f"{who} to {what}: it is {other.state}"
