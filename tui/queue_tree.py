"""The queue as a tree: what waits for a job, and what belongs to a run or a sweep, is below it. Pure.

A job is below the job that it waits for; else below its sweep; else, if it finetunes or evaluates a run, below the
job of that run. Each level is in order of urgency, and a job is as urgent as the most urgent one below it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertd.records import JobKind

if TYPE_CHECKING:
    from bertd.api.models import JobView
    from bertd.api.sweep_models import SweepView

Urgency = tuple[float, ...]


@dataclass(frozen=True)
class Node:
    """A row: a job, or a sweep."""

    id: int
    """The job's number; of a sweep its number, negated."""
    depth: int
    job: JobView | None = None
    sweep: SweepView | None = None


def build_tree(
    jobs: Sequence[JobView],
    sweeps: Sequence[SweepView],
    details: Mapping[int, JobView],
    *,
    urgency: Callable[[JobView], Urgency],
) -> list[Node]:
    """The rows from top to bottom.

    Args:
        sweeps: those without a job among `jobs` are left out.
        details: by number, the views of single jobs, which say what they wait for.
        urgency: the smaller, the further up.
    """
    by_id = {job.id: job for job in jobs}
    settings = [(setting.job_id, sweep) for sweep in sweeps for setting in sweep.settings]
    sweep_of = {job_id: sweep for job_id, sweep in settings if job_id is not None and job_id in by_id}
    shown_sweeps = {-sweep.id: sweep for sweep in sweep_of.values()}
    run_job = {job.run_id: job.id for job in jobs if job.kind is JobKind.PRETRAIN}
    parents = {job.id: _parent(job, by_id, sweep_of, run_job, details.get(job.id, job)) for job in jobs}
    depths = _break_cycles(parents)
    best = {job.id: urgency(job) for job in jobs}
    for id in sorted(depths, key=depths.__getitem__, reverse=True):
        above = parents.get(id)
        if above is not None:
            best[above] = min(best.get(above, best[id]), best[id])
    children: dict[int | None, list[int]] = defaultdict(list)
    for id in (*by_id, *shown_sweeps):
        children[parents.get(id)].append(id)
    rows: list[Node] = []
    todo = [(id, 0) for id in sorted(children[None], key=best.__getitem__, reverse=True)]
    while todo:
        id, depth = todo.pop()
        rows.append(Node(id, depth, job=by_id.get(id), sweep=shown_sweeps.get(id)))
        todo += [(child, depth + 1) for child in sorted(children[id], key=best.__getitem__, reverse=True)]
    return rows


def _break_cycles(parents: dict[int, int | None]) -> dict[int, int]:
    """The depth of each row; a row that would be above itself is put at the top."""
    depths: dict[int, int] = {}
    for id in [*parents]:
        path: dict[int, None] = {}
        at: int | None = id
        while at is not None and at not in depths and at not in path:
            path[at] = None
            at = parents.get(at)
        rows = [*path]
        if at in path:
            parents[rows[-1]] = None
        for row in reversed(rows):
            above = parents.get(row)
            depths[row] = 0 if above is None else depths[above] + 1
    return depths


def _parent(
    job: JobView,
    by_id: Mapping[int, JobView],
    sweep_of: Mapping[int, SweepView],
    run_job: Mapping[str, int],
    detail: JobView,
) -> int | None:
    # A job waits only for older ones, so that there is no cycle.
    unmet = [each.job_id for each in detail.after if not each.is_met and each.job_id in by_id and each.job_id < job.id]
    if unmet:
        return max(unmet)
    if job.id in sweep_of:
        return -sweep_of[job.id].id
    owner = run_job.get(job.run_id) if job.kind is not JobKind.PRETRAIN else None
    return owner if owner != job.id else None
