"""Change a run's budget: through its mailbox while it has a runner, otherwise at once in its journal."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.metrics.budget_position import ChargedTime
from bertd.daemon.metrics.run_metrics import RunMetrics
from bertd.daemon.scheduling.scheduler import Scheduler
from bertd.errors import TransitionError
from bertd.jobs.runner.run_job import job_lock
from bertd.jobs.runner.stale_commands import answer_stale_commands
from bertd.jobs.store.lifecycle import budget_refusal
from bertd.jobs.store.queue import Job
from bertd.metrics.budget_view import current_budget
from bertd.records import BudgetRequest, CommandKind
from bertd.run.budget import check_budget_request, restart_reserve_s
from bertd.run.ledger_repair import repair_ledger
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths


class BudgetChanges:
    """Applies requests to change a budget."""

    def __init__(self, *, run_metrics: RunMetrics, scheduler: Scheduler) -> None:
        self._run_metrics = run_metrics
        self._scheduler = scheduler
        self._charged_time = ChargedTime(run_metrics)

    def change(self, request: BudgetRequest, job: Job, *, asked_by: str, now: float) -> None:
        """Change a run's budget: at the next step if it trains, otherwise before this returns.

        Raises:
            TransitionError: the run is over, or about to be.
            RecipeError: the request has another unit than the run's budget, or the recipe is missing.
            BudgetError: that much is already spent.
            DaemonBusyError: a runner is about to take the job or to leave it.
            RunFolderError: the charged time cannot be determined.
            StorageError: the disk refused; nothing was changed.
        """
        if (what := budget_refusal(job.status)) is not None:
            raise TransitionError(
                f"{job.run_id}: it {what}, so its budget can no longer be changed; submit another run"
            )
        paths = RunPaths(Path(job.folder))
        summary = self._run_metrics.summary(job)
        granted = current_budget(self._run_metrics.recipe(paths.root), summary)
        spent = granted.spent(
            charged_s=self._charged_time.charged_s(job),
            steps=summary.progress.step,
            sequences=summary.progress.sequences,
        )
        reserve_s = summary.progress.reserve_s
        needed_s = (reserve_s or 0.0) if job.has_runner else restart_reserve_s(reserve_s)
        check_budget_request(request, granted, spent=spent, reserve=granted.convert_seconds(needed_s))
        if job.has_runner:
            post(paths.control, verb=CommandKind.BUDGET, asked_by=asked_by, now=now, budget=request)
            return
        with job_lock(paths):
            repair_ledger(paths)
            post(paths.control, verb=CommandKind.BUDGET, asked_by=asked_by, now=now, budget=request)
            answer_stale_commands(paths, still_valid=frozenset(), detail="void: the job had left its ranks", now=now)
        self._scheduler.catch_up(job)
