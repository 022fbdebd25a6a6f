"""The dependencies of jobs: from names to rows, and what they say of the jobs that wait now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bertd.daemon.metrics.budget_position import ChargedTime
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.conditions.dependency_check import DependencyVerdict, OtherJob, check_dependencies, is_met
from bertd.errors import BertdError, SubmissionError, TransitionError
from bertd.jobs.store.database import Database
from bertd.jobs.store.job_names import find_job, find_run
from bertd.jobs.store.lifecycle import ENDED, MOVABLE
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.dependency_table import DependencyTable
from bertd.metrics.budget_view import current_budget
from bertd.records import Dependency, DependencyCondition, DependencyState, JobKind, JobState

_MARKER = re.compile(r"^(@|.*[^@])@(0?\.\d{1,18}|1\.0{0,18})$")
"""A run, then a share of its budget."""


class Dependencies:
    """Resolves and checks dependencies."""

    def __init__(self, database: Database, queue: Queue, *, run_metrics: RunMetrics) -> None:
        self._table = DependencyTable(database)
        self._queue = queue
        self._run_metrics = run_metrics
        self._charged_time = ChargedTime(run_metrics)

    def resolve(self, *, after: Sequence[str], after_any: Sequence[str]) -> list[Dependency]:
        """The dependencies that a person names.

        Raises:
            UnknownJobError: there is no such job or run, or several have the name.
            SubmissionError: one can no longer be met, a job is named twice, or a marker's share is not above 0.
        """
        found = [self._resolve(name) for name in after]
        found += [
            Dependency(on_job_id=find_job(self._queue, name).id, condition=DependencyCondition.ENDED)
            for name in after_any
        ]
        _require_distinct(found)
        for dependency in found:
            verdict = check_dependencies(0, [(dependency, self.other(dependency.on_job_id))])
            if verdict.broken:
                cause = verdict.broken_reason.removeprefix("held, since ").partition(": `bertd release")[0]
                raise SubmissionError(f"--after: {cause}; resume it first, or leave it out")
        return found

    def _resolve(self, name: str) -> Dependency:
        match = _MARKER.match(name)
        if match is None:
            return Dependency(on_job_id=find_job(self._queue, name).id, condition=DependencyCondition.DONE)
        marker = float(match[2])
        if not marker:
            raise SubmissionError(f"--after {name}: a share of 0 is reached by every run; give one above 0, up to 1")
        run = find_run(self._queue, match[1])
        return Dependency(on_job_id=run.id, condition=DependencyCondition.MARKER, marker=marker)

    def add(self, job: Job, dependencies: Sequence[Dependency]) -> None:
        """Make a new job wait, within the transaction that makes it."""
        self._table.insert(job.id, dependencies)

    def change(self, job: Job, *, after: Sequence[str] | None, after_any: Sequence[str] | None) -> None:
        """Change what a waiting job waits for, within the caller's transaction.

        Args:
            after: in place of the jobs, or shares of budgets, that must be done; None leaves them.
            after_any: in place of the jobs that must be over; None leaves them.

        Raises:
            UnknownJobError: there is no such job or run, or several have the name.
            SubmissionError: one can no longer be met, a job is named twice, or the job would wait for itself.
            TransitionError: the job has started.
        """
        if job.state not in MOVABLE or job.started_t is not None or job.stop_asked:
            state = f"is {job.state}" if job.state not in MOVABLE else "has started before"
            raise TransitionError(f"job {job.id}: {state}, so what it waits for cannot be changed")
        before = self._table.of_job(job.id)
        given = {True: after_any, False: after}
        kept = [each for each in before if given[each.condition is DependencyCondition.ENDED] is None]
        new = [*kept, *self.resolve(after=after or (), after_any=after_any or ())]
        _require_distinct(new)
        for dependency in new:
            self._require_no_circle(job.id, dependency.on_job_id)
        self._table.replace(job.id, new)
        was_broken = any(each.state is DependencyState.BROKEN for each in before)
        if job.state is JobState.HELD and was_broken and all(each.state is not DependencyState.BROKEN for each in new):
            remedy = f"that was changed, and `bertd release {job.id}` lets it wait"
            self._queue.update(job.id, reason=f"held, since what it waited for had failed; {remedy}")

    def _require_no_circle(self, job_id: int, on_job_id: int) -> None:
        """Refuse that a job waits for one that waits for it, by whatever others.

        Raises:
            SubmissionError: it would.
        """
        seen, ahead = set[int](), [on_job_id]
        while ahead:
            id = ahead.pop()
            if id == job_id:
                way = "" if on_job_id == job_id else f", since job {on_job_id} waits for it"
                raise SubmissionError(f"--after: job {job_id} would wait for itself{way}; leave job {on_job_id} out")
            if id not in seen:
                seen.add(id)
                ahead += [each.on_job_id for each in self._table.of_job(id)]

    def verdicts(self, waiting: Sequence[Job]) -> dict[int, DependencyVerdict]:
        """Of each queued job that has dependencies and never ran: what they say now."""
        found = self._table.of_queued()
        # Of one that has run, or waits only to export, they were met, or waived, when it started.
        fresh = [job for job in waiting if job.id in found and job.started_t is None and not job.stop_asked]
        others = {each.on_job_id for job in fresh for each in found[job.id]}
        by_id = {id: self.other(id) for id in others}
        return {
            job.id: check_dependencies(job.id, [(each, by_id[each.on_job_id]) for each in found[job.id]])
            for job in fresh
        }

    def are_unmet(self, job: Job) -> bool:
        """Whether a queued job may not start because of other jobs: not yet, or never."""
        verdict = self.verdicts([job]).get(job.id)
        return verdict is not None and not verdict.may_start

    def unmet(self, waiting: Sequence[Job]) -> dict[int, list[tuple[int, DependencyCondition]]]:
        """Of each queued job that waits for others: these, and what they must have reached."""
        found = self._table.of_queued()
        fresh = [job for job in waiting if job.id in found and job.started_t is None and not job.stop_asked]
        by_id = {id: self.other(id) for id in {each.on_job_id for job in fresh for each in found[job.id]}}
        return {
            job.id: [
                (each.on_job_id, each.condition) for each in found[job.id] if not is_met(each, by_id[each.on_job_id])
            ]
            for job in fresh
        }

    def hold(self, job_id: int, verdict: DependencyVerdict) -> None:
        """Note what is broken, within the transaction that holds the job."""
        self._table.mark_broken(job_id, on_job_ids=verdict.broken)

    def of_job(self, job_id: int) -> list[tuple[Dependency, OtherJob]]:
        """What a job waits for, or waited for."""
        return [(each, self.other(each.on_job_id)) for each in self._table.of_job(job_id)]

    def other(self, job_id: int) -> OtherJob:
        """What is known of a job that another waits for."""
        job = self._queue.get(job_id)
        return OtherJob(job.id, job.name, job.state, self._progress(job))

    def _progress(self, job: Job) -> float | None:
        if job.kind is not JobKind.PRETRAIN:
            return None
        summary = self._run_metrics.summary(job)
        if job.state is JobState.DONE and summary.end is not None and summary.end.reason == "budget":
            # It keeps a reserve for its end, and ends with a part of that unspent.
            return 1.0
        try:
            granted = current_budget(self._run_metrics.recipe(Path(job.folder)), summary)
            charged_s = self._charged_time.charged_s(job)
        except BertdError:
            # The run's folder is damaged or gone: what it has reached counts as nothing, which holds what waits for it.
            return 0.0 if job.state in ENDED else None
        return granted.progress(charged_s=charged_s, steps=summary.progress.step, sequences=summary.progress.sequences)


def _require_distinct(dependencies: Sequence[Dependency]) -> None:
    ids = [dependency.on_job_id for dependency in dependencies]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise SubmissionError(f"--after: job {twice[0]} is named twice; name each job once")
