"""Where a job goes in the queue when a person moves it. Pure.

Jobs are served by priority, then by place. A moved job gets a place between its new neighbours, and the priority of the
job that it is placed next to: before or after that job it is served, whatever the two had before. At the head of the
queue it keeps its own priority if none is higher, at the end if none is lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Ordered(NamedTuple):
    """A job's place in the queue."""

    id: int
    priority: int
    place: float


class Target(NamedTuple):
    """Where a job is moved to."""

    side: Literal["before", "after", "first", "last"]
    other_id: int = 0
    """Of the job that it is placed before or after."""


def decide_move(jobs: Sequence[Ordered], job_id: int, target: Target, *, end: float) -> dict[int, Ordered]:
    """The jobs whose priority or place changes, by id.

    Args:
        jobs: in the order they are served; all that wait or may wait again.
        job_id: one of them.
        target: `other_id` is another one of them.
        end: above all places: jobs that come later have places from there on.
    """
    moved = next(job for job in jobs if job.id == job_id)
    others = [job for job in jobs if job.id != job_id]
    if not others:
        return {}
    if target.side == "first":
        index, priority = 0, max(moved.priority, others[0].priority)
    elif target.side == "last":
        index, priority = len(others), min(moved.priority, others[-1].priority)
    else:
        index = next(index for index, job in enumerate(others) if job.id == target.other_id)
        priority = others[index].priority
        index += target.side == "after"
    peers_before = [job for job in others[:index] if job.priority == priority]
    peers_after = [job for job in others[index:] if job.priority == priority]
    low = peers_before[-1].place if peers_before else (peers_after[0].place - 2 if peers_after else end - 2)
    high = peers_after[0].place if peers_after else end
    place = (low + high) / 2
    if low < place < high:
        return {job_id: Ordered(job_id, priority, place)}
    # No number is left between the two: all of this priority get new places, with room between them.
    order = [*peers_before, Ordered(job_id, priority, 0.0), *peers_after]
    return {job.id: Ordered(job.id, priority, end - len(order) + number - 0.5) for number, job in enumerate(order)}
