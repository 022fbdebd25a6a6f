"""Write an event when half and nine tenths of a run's budget are spent: each once in the run's life."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job
from bertd.metrics.budget_view import current_budget
from bertd.records import JobKind
from bertd.run.amounts.quantities import format_share

SHARES = (0.5, 0.9)
_MAX_KNOWN = 1_000
"""Runs whose reported shares are kept in memory."""


class BudgetMilestones:
    """Remembers in the queue's database which shares were reported."""

    def __init__(self, *, database: Database, events: EventLog, run_metrics: RunMetrics) -> None:
        self._database = database
        self._events = events
        self._run_metrics = run_metrics
        self._reported: OrderedDict[int, frozenset[float]] = OrderedDict()
        """By job."""

    def report(self, job: Job, *, now: float) -> None:
        """Write an event for each share that a run has reached for the first time.

        Raises:
            RecipeError: the run's recipe is missing or was changed by hand.
            StorageError: the queue cannot be written; the next call tries again.
        """
        if job.kind is not JobKind.PRETRAIN:
            return
        reported = self._reported_shares(job.id)
        if len(reported) == len(SHARES):
            return
        progress = self._run_metrics.summary(job).progress
        budget = current_budget(self._run_metrics.recipe(Path(job.folder)), self._run_metrics.summary(job))
        charged_s = progress.charged_s or 0.0
        spent = budget.progress(charged_s=charged_s, steps=progress.step, sequences=progress.sequences)
        reached = [share for share in SHARES if share <= spent and share not in reported]
        if not reached:
            return
        with self._database.transaction():
            for share in reached:
                self._database.execute("INSERT INTO budget_milestones (job_id, share) VALUES (?, ?)", (job.id, share))
                text = f"{job.run_id}: {format_share(share)} of the budget is spent, at step {progress.step}"
                data: dict[str, object] = {
                    **{"share": share, "progress": spent, "unit": budget.unit, "budget": budget.amount},
                    **{"step": progress.step, "charged_s": charged_s},
                }
                self._events.append("milestone", text, now=now, job_id=job.id, run_id=job.run_id, data=data)
        self._reported[job.id] = reported | frozenset(reached)

    def _reported_shares(self, job_id: int) -> frozenset[float]:
        if job_id not in self._reported:
            rows = self._database.execute("SELECT share FROM budget_milestones WHERE job_id = ?", (job_id,)).fetchall()
            self._reported[job_id] = frozenset(row["share"] for row in rows)
            while len(self._reported) > _MAX_KNOWN:
                self._reported.popitem(last=False)
        return self._reported[job_id]
