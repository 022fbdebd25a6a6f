"""Handle requests: find the job, and have the part of the daemon that does it carry the change out.

A change is three calls deep: the route, a method here, and that part. audited_changes.py has what all of them share.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from bertd.api.models import (
    AnySubmission,
    ChangeRequest,
    CloneRequest,
    GarbageDeletedView,
    GridEstimateView,
    LendEstimateView,
    MoveRequest,
    SubmitCommand,
    SubmitFinetune,
    SubmitGrid,
    SubmitPretrain,
)
from bertd.api.sweep_models import SubmitSweep
from bertd.daemon.admission.command_job import require_right
from bertd.daemon.admission.paths_of_requests import SubmittedPaths
from bertd.daemon.admission.quota import Quotas
from bertd.daemon.admission.start_times import NONE, change_start_times, read_start_times
from bertd.daemon.api.audited_changes import AuditedChanges, Mutation
from bertd.daemon.api.views import Views
from bertd.daemon.cloned_submissions import make_clone
from bertd.daemon.command_submissions import CommandSubmissions
from bertd.daemon.garbage.collect import GarbageCollector, Taken, garbage_view
from bertd.daemon.garbage.find_garbage import Garbage
from bertd.daemon.hooks.hooks import Hooks
from bertd.daemon.lending.lend_requests import LendRequests
from bertd.daemon.program_submissions import ProgramSubmissions
from bertd.daemon.scheduling.budget_changes import BudgetChanges
from bertd.daemon.scheduling.conditions.dependencies import Dependencies
from bertd.daemon.scheduling.devices.device_drains import DeviceDrains
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.submissions import Submissions
from bertd.daemon.sweeps.sweep_actions import SweepActions
from bertd.daemon.sweeps.sweep_views import SweepViews
from bertd.errors import BertdError
from bertd.jobs.store.audit import Answer, Peer
from bertd.jobs.store.database import Database
from bertd.jobs.store.job_names import find_job, find_run
from bertd.jobs.store.lifecycle import JobAction
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.tables.retry_table import RetryTable
from bertd.jobs.store.tables.start_times_table import StartTimesTable
from bertd.jobs.store.tables.sweep_table import SweepTable
from bertd.records import BudgetRequest
from bertd.run.machine.trusted_folders import is_root_or_own

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepRequests:
    """The parts of the daemon that requests about sweeps need."""

    table: SweepTable
    actions: SweepActions
    views: SweepViews


class RequestHandler:
    """Carries out mutations, and finds jobs by their names."""

    def __init__(
        self,
        *,
        changes: AuditedChanges,
        database: Database,
        queue: Queue,
        submissions: Submissions,
        command_submissions: CommandSubmissions,
        program_submissions: ProgramSubmissions,
        lend_requests: LendRequests,
        dependencies: Dependencies,
        job_actions: JobActions,
        budget_changes: BudgetChanges,
        device_drains: DeviceDrains,
        sweeps: SweepRequests,
        garbage: GarbageCollector,
        hooks: Hooks,
        views: Views,
        quotas: Quotas,
        commands_for_operators: Callable[[], bool],
        roots: Callable[[], tuple[str, ...]],
    ) -> None:
        """`commands_for_operators` is whether operators may run programs."""
        self.changes = changes
        self._queue = queue
        self._submissions = submissions
        self._command_submissions = command_submissions
        self._program_submissions = program_submissions
        self._lend_requests = lend_requests
        self._dependencies = dependencies
        self._submitted_paths = SubmittedPaths()
        self._start_times = StartTimesTable(database)
        self._retries = RetryTable(database)
        self._job_actions = job_actions
        self._budget_changes = budget_changes
        self._device_drains = device_drains
        self.sweeps = sweeps
        self.garbage = garbage
        self._hooks = hooks
        self._views = views
        self._quotas = quotas
        self._commands_for_operators = commands_for_operators
        self._roots = roots

    def job(self, name: str) -> Job:
        """The job that a person names; see `find_job`."""
        return find_job(self._queue, name)

    def run(self, name: str) -> Job:
        """The pretraining that a person names; see `find_run`."""
        return find_run(self._queue, name)

    def submit(
        self,
        submission: AnySubmission,
        mutation: Mutation,
        *,
        problem: BertdError | None = None,
    ) -> Answer:
        """Queue a new job.

        Args:
            problem: what `find_problem` has found.
        """
        with self.changes.change(mutation, status=201) as change:
            if change.is_new:
                uid, now = mutation.peer.uid, time.time()
                self._quotas.require(uid)
                if isinstance(submission, SubmitCommand):
                    require_right(uid, for_operators=self._commands_for_operators())
                if problem is not None:
                    raise problem
                # Before the job exists, so that @ is not the job itself.
                dependencies = self._dependencies.resolve(after=submission.after, after_any=submission.after_any)
                start_times = read_start_times(submission, now=now)
                if isinstance(submission, SubmitFinetune | SubmitGrid) and submission.now is not None:
                    job = self._lend_requests.submit(submission, uid=uid, asked_by=mutation.asked_by, now=now)
                elif isinstance(submission, SubmitPretrain):
                    awaited = self._program_submissions.planned_data(dependencies)
                    job = self._submissions.submit_pretraining(submission, uid=uid, now=now, awaited_data=awaited)
                elif isinstance(submission, SubmitGrid):
                    job = self._submissions.submit_grid(submission, uid=uid, now=now)
                elif isinstance(submission, SubmitCommand):
                    job = self._command_submissions.submit(submission, uid=uid, now=now)
                elif isinstance(submission, SubmitFinetune):
                    job = self._submissions.submit_finetuning(submission, uid=uid, now=now)
                else:
                    job = self._program_submissions.submit(submission, uid=uid, now=now, is_awaiting=bool(dependencies))
                self._dependencies.add(job, dependencies)
                self._start_times.insert(job.id, start_times)
                change.finish(self._views.job(job))
        return change.answer

    async def find_problem(self, request: AnySubmission | SubmitSweep, peer: Peer) -> BertdError | None:
        """Why what a request names on the disk does not do, found in a thread; None for who may submit nothing."""
        if not self.changes.is_operator(peer):
            return None
        roots = () if is_root_or_own(peer.uid) else self._roots()
        return await self._submitted_paths.find_problem(request, roots=roots)

    def estimate_grid(self, request: SubmitGrid, peer: Peer, *, problem: BertdError | None = None) -> GridEstimateView:
        """What a grid would take; raises what its submission does, also for who may not submit it."""
        self.changes.check_allowed(peer)
        if problem is not None:
            raise problem
        return self._submissions.estimate_grid(request)

    def estimate_lend(
        self, request: SubmitFinetune | SubmitGrid, peer: Peer, *, problem: BertdError | None = None
    ) -> LendEstimateView:
        """What a submission with `now` would pause, and what that costs; raises what the submission does."""
        self.changes.check_allowed(peer)
        if problem is not None:
            raise problem
        return self._lend_requests.estimate(request)

    def begin_sweep(self, request: SubmitSweep, mutation: Mutation, *, problem: BertdError | None = None) -> Answer:
        """Begin a sweep; `problem` is what `find_problem` has found."""
        with self.changes.change(mutation, status=201) as change:
            if change.is_new:
                # Its settings are counted one by one, as they are queued.
                self._quotas.require(mutation.peer.uid)
                if problem is not None:
                    raise problem
                sweep = self.sweeps.actions.begin(request, uid=mutation.peer.uid, now=time.time())
                change.finish(self.sweeps.views.sweep(sweep))
        return change.answer

    def cancel_sweep(self, name: str, mutation: Mutation) -> Answer:
        """Cancel a sweep and all its runs."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                sweep = self.sweeps.table.get(name)
                self.sweeps.actions.cancel(sweep, asked_by=mutation.asked_by, now=time.time())
                change.finish(self.sweeps.views.sweep(self.sweeps.table.get(str(sweep.id))))
        return change.answer

    def apply_action(self, action: JobAction, name: str, mutation: Mutation, *, hot: bool = False) -> Answer:
        """Apply an action to a job; `hot` is for a pause."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                job, asked_by = self.job(name), mutation.asked_by
                job = self._job_actions.apply(action, job, asked_by=asked_by, now=time.time(), hot=hot)
                change.finish(self._views.job(job))
        return change.answer

    def resume_on(self, num_devices: int, name: str, mutation: Mutation) -> Answer:
        """Resume a run on another number of devices."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                job, asked_by = self.job(name), mutation.asked_by
                job = self._job_actions.resume_on(num_devices, job, asked_by=asked_by, now=time.time())
                change.finish(self._views.job(job))
        return change.answer

    def set_budget(self, request: BudgetRequest, name: str, mutation: Mutation) -> Answer:
        """Change a run's budget."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                job = self.run(name)
                self._budget_changes.change(request, job, asked_by=mutation.asked_by, now=time.time())
                change.finish(self._views.run(job))
        return change.answer

    def prioritize(self, name: str, priority: int, mutation: Mutation) -> Answer:
        """Change a job's place in the queue."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                change.finish(self._views.job(self._job_actions.prioritize(self.job(name), priority=priority)))
        return change.answer

    def make_clone(self, name: str, request: CloneRequest, peer: Peer) -> AnySubmission:
        """The submission of a job like another one; raises for who may not submit."""
        self.changes.check_allowed(peer)
        job = self.job(name)
        return make_clone(job, request, num_retries=self._retries.of_job(job.id).num_allowed)

    def refuse(self, mutation: Mutation, problem: BertdError) -> Answer:
        """Refuse a submission that cannot even be made, with its row in the audit; or answer it as the first time."""
        with self.changes.change(mutation, status=201) as change:
            if change.is_new:
                raise problem
        return change.answer

    def change_conditions(self, name: str, request: ChangeRequest, mutation: Mutation) -> Answer:
        """Change what a job waits for, when it may start and run, or its group."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                job = self.job(name)
                if request.after is not None or request.after_any is not None:
                    self._dependencies.change(job, after=request.after, after_any=request.after_any)
                times = change_start_times(request, self._start_times.of_job(job.id), job=job, now=time.time())
                self._start_times.replace(job.id, times)
                if request.group is not None:
                    self._job_actions.set_group(job, "" if request.group == NONE else request.group)
                given = request.model_dump(exclude_none=True)
                change.detail = ", ".join(f"{key} {_as_text(value)}" for key, value in given.items())
                change.finish(self._views.job(self._queue.get(job.id)))
        return change.answer

    def move(self, name: str, request: MoveRequest, mutation: Mutation) -> Answer:
        """Move a waiting job in the queue."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                job, other = self.job(name), None if request.job is None else self.job(request.job)
                change.detail = request.to if other is None else f"{request.to} job {other.id}"
                change.finish(self._views.job(self._job_actions.move(job, request.to, other)))
        return change.answer

    def set_drained(self, name: str, mutation: Mutation, *, is_drained: bool) -> Answer:
        """Take a device out of service, or back."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                device = self._device_drains.set_drained(
                    name, is_drained=is_drained, asked_by=mutation.asked_by, now=time.time()
                )
                change.finish(self._views.device(device))
        return change.answer

    def test_hook(self, name: str, mutation: Mutation) -> Answer:
        """Send a test event to a hook."""
        with self.changes.change(mutation) as change:
            if change.is_new:
                change.finish(self._hooks.request_test(name, asked_by=mutation.asked_by, now=time.time()))
        return change.answer

    def delete_garbage(
        self, found: list[Garbage], mutation: Mutation, *, taken: list[Taken], problem: BertdError | None = None
    ) -> Answer:
        """Take away what was found of ended jobs; the caller removes what is then in `taken`, also after an error.

        Args:
            problem: why nothing could be looked for.
        """
        with self.changes.change(mutation) as change:
            if change.is_new:
                if problem is not None:
                    raise problem
                self.garbage.take_away(found, taken=taken, asked_by=mutation.asked_by, now=time.time())
                change.finish(GarbageDeletedView(deleted=[garbage_view(each.garbage) for each in taken]))
        return change.answer

    def accept_shutdown(self, mutation: Mutation, *, shut_down: Callable[[], None]) -> Answer:
        """Answer with the version and pid of the daemon that `shut_down` ends: once, and not the next daemon again."""
        with self.changes.change(mutation, while_read_only=True) as change:
            if change.is_new:
                change.finish(self._views.version)
        if change.is_new:
            shut_down()
        return change.answer


def _as_text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value) or NONE
