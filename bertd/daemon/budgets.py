"""Changes what a run may spend: by its mailbox where ranks have it, else in its journal at once."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.scheduler import Scheduler
from bertd.daemon.telemetry import Telemetry
from bertd.daemon.views import Views
from bertd.errors import TransitionError
from bertd.jobs.queue import Job
from bertd.jobs.runner import sole_runner
from bertd.jobs.unheard import settle_mailbox
from bertd.records import BudgetOrder, JobState, Verb
from bertd.run.budget import Budget, check_order
from bertd.run.ledger_repair import mend_ledger
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths

_TOO_LATE = frozenset({JobState.STOPPING, JobState.DONE, JobState.CANCELLED})


class Budgets:
    """Takes budget orders."""

    def __init__(self, *, telemetry: Telemetry, scheduler: Scheduler, views: Views) -> None:
        self._telemetry = telemetry
        self._scheduler = scheduler
        self._views = views

    def change(self, order: BudgetOrder, job: Job, *, asked_by: str, now: float) -> None:
        """Have a run's budget changed: at the next step where it trains, else before this returns.

        Raises:
            TransitionError: the run is over, or about to be.
            RecipeError: the order is in another unit than the run's budget.
            QueueError: so much is spent already.
            DaemonBusyError: a runner is just about to leave the job, or to take it.
            RunFolderError: what was charged is not to be found out.
            StorageError: the disk refused; nothing was changed.
        """
        if job.state in _TOO_LATE or job.stop_asked:
            what = "is asked to stop" if job.stop_asked and job.state not in _TOO_LATE else f"is {job.state}"
            raise TransitionError(f"{job.run_id}: it {what}, so its budget means nothing any more; submit another")
        paths = RunPaths(Path(job.folder))
        view = self._views.run(job).budget
        granted = Budget(unit=view.unit, amount=view.amount, num_devices=job.num_devices)
        check_order(order, granted, spent=view.spent)
        if job.has_runner:
            post(paths.control, verb=Verb.BUDGET, asked_by=asked_by, now=now, budget=order)
            return
        with sole_runner(paths):
            mend_ledger(paths)
            post(paths.control, verb=Verb.BUDGET, asked_by=asked_by, now=now, budget=order)
            settle_mailbox(paths, kept=frozenset(), detail="void: the job had left its ranks", now=now)
        self._scheduler.catch_up(job)
