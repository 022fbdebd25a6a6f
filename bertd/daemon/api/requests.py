"""Handle requests: check the rights, find the job, carry a change out once per idempotency key, and audit it.

A change is three calls deep: the route, a method here, and the part of the daemon that does it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bertd.api.models import (
    AuditView,
    GarbageDeletedView,
    GridEstimateView,
    SubmitCommand,
    SubmitFinetune,
    SubmitGrid,
    SubmitPretrain,
)
from bertd.api.sweep_models import SubmitSweep
from bertd.daemon.admission.command_job import require_right
from bertd.daemon.admission.quota import require_quota
from bertd.daemon.admission.start_times import read_start_times
from bertd.daemon.api.connections import Roles
from bertd.daemon.api.views import Views
from bertd.daemon.command_submissions import CommandSubmissions
from bertd.daemon.garbage.collect import GarbageCollector, Taken, garbage_view
from bertd.daemon.garbage.find_garbage import Garbage
from bertd.daemon.scheduling.budget_changes import BudgetChanges
from bertd.daemon.scheduling.dependencies import Dependencies
from bertd.daemon.scheduling.device_drains import DeviceDrains
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.submissions import Submissions
from bertd.daemon.sweeps.sweep_actions import SweepActions
from bertd.daemon.sweeps.sweep_views import SweepViews
from bertd.errors import BertdError, ClientError, DaemonStoppingError, ReadOnlyError
from bertd.jobs.store.audit import Answer, Audit, AuditRow, Peer
from bertd.jobs.store.database import Database
from bertd.jobs.store.job_names import find_job, find_run
from bertd.jobs.store.lifecycle import JobAction
from bertd.jobs.store.queue import Job, Queue
from bertd.jobs.store.start_times_table import StartTimesTable
from bertd.jobs.store.sweep_table import SweepTable
from bertd.records import BudgetRequest, Record

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mutation:
    """A request to change something, with what identifies it when it is repeated."""

    peer: Peer
    request: str
    """Method and path."""
    body: bytes
    key: str | None
    """The idempotency key."""

    @property
    def digest(self) -> str:
        """Hash of the request and its body; an idempotency key belongs to one of these."""
        return f"{self.request} {hashlib.sha256(self.body).hexdigest()[:16]}"

    @property
    def asked_by(self) -> str:
        """The peer's user name and uid."""
        name = user_name(self.peer.uid)
        return f"uid {self.peer.uid}" if name is None else f"{name} (uid {self.peer.uid})"


def user_name(uid: int) -> str | None:
    """The name of a user; None if the machine has no such user."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def audit_view(row: AuditRow) -> AuditView:
    """One row of the audit as the API sends it."""
    return AuditView(
        id=row.id,
        t=row.t,
        user=user_name(row.uid) or str(row.uid),
        uid=row.uid,
        pid=row.pid,
        request=row.request,
        key=row.key,
        status=row.status,
        outcome=row.message,
    )


class _Change:
    """A mutation in progress, or one that was done before."""

    def __init__(self, known: Answer | None, *, status: int) -> None:
        self._answer = known
        self._status = status
        self.is_new = known is None
        """False if the mutation was done before; the answer is then the first one."""

    def finish(self, view: Record) -> None:
        """Set the answer."""
        self._answer = Answer(status=self._status, body=view.model_dump_json())

    @property
    def answer(self) -> Answer:
        assert self._answer is not None
        return self._answer


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
        database: Database,
        queue: Queue,
        audit: Audit,
        submissions: Submissions,
        command_submissions: CommandSubmissions,
        dependencies: Dependencies,
        job_actions: JobActions,
        budget_changes: BudgetChanges,
        device_drains: DeviceDrains,
        sweeps: SweepRequests,
        garbage: GarbageCollector,
        views: Views,
        queued_jobs_limit: Callable[[], int],
        commands_for_operators: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        """`queued_jobs_limit` is how many jobs of a user may be in the queue now, `commands_for_operators` whether
        operators may run programs; `wake` has the scheduler look.
        """
        self._database = database
        self._queue = queue
        self._audit = audit
        self._submissions = submissions
        self._command_submissions = command_submissions
        self._dependencies = dependencies
        self._start_times = StartTimesTable(database)
        self._job_actions = job_actions
        self._budget_changes = budget_changes
        self._device_drains = device_drains
        self.sweeps = sweeps
        self.garbage = garbage
        self._views = views
        self._queued_jobs_limit = queued_jobs_limit
        self._commands_for_operators = commands_for_operators
        self._wake = wake
        self._roles = Roles()
        self.is_stopping = False
        """Changes are refused."""

    def job(self, name: str) -> Job:
        """The job that a person names; see `find_job`."""
        return find_job(self._queue, name)

    def run(self, name: str) -> Job:
        """The pretraining that a person names; see `find_run`."""
        return find_run(self._queue, name)

    def submit(
        self, submission: SubmitPretrain | SubmitFinetune | SubmitGrid | SubmitCommand, mutation: Mutation
    ) -> Answer:
        """Queue a new job."""
        with self._change(mutation, status=201) as change:
            if change.is_new:
                uid, now = mutation.peer.uid, time.time()
                self._require_quota(uid)
                # Before the job exists, so that @ is not the job itself.
                dependencies = self._dependencies.resolve(after=submission.after, after_any=submission.after_any)
                start_times = read_start_times(submission, now=now)
                if isinstance(submission, SubmitPretrain):
                    job = self._submissions.submit_pretraining(submission, uid=uid, now=now)
                elif isinstance(submission, SubmitGrid):
                    job = self._submissions.submit_grid(submission, uid=uid, now=now)
                elif isinstance(submission, SubmitCommand):
                    require_right(uid, daemon_uid=os.geteuid(), for_operators=self._commands_for_operators())
                    job = self._command_submissions.submit(submission, uid=uid, now=now)
                else:
                    job = self._submissions.submit_finetuning(submission, uid=uid, now=now)
                self._dependencies.add(job, dependencies)
                self._start_times.insert(job.id, start_times)
                change.finish(self._views.job(job))
        return change.answer

    def _require_quota(self, uid: int) -> None:
        if uid not in (0, os.geteuid()):
            require_quota(self._queue.num_unended(owner_uid=uid), limit=self._queued_jobs_limit())

    def estimate_grid(self, request: SubmitGrid, peer: Peer) -> GridEstimateView:
        """What a grid would take; raises what its submission does, also for who may not submit it."""
        self._check_allowed(peer)
        return self._submissions.estimate_grid(request)

    def begin_sweep(self, request: SubmitSweep, mutation: Mutation) -> Answer:
        """Begin a sweep."""
        with self._change(mutation, status=201) as change:
            if change.is_new:
                self._require_quota(mutation.peer.uid)
                sweep = self.sweeps.actions.begin(request, uid=mutation.peer.uid, now=time.time())
                change.finish(self.sweeps.views.sweep(sweep))
        return change.answer

    def cancel_sweep(self, name: str, mutation: Mutation) -> Answer:
        """Cancel a sweep and all its runs."""
        with self._change(mutation) as change:
            if change.is_new:
                sweep = self.sweeps.table.get(name)
                self.sweeps.actions.cancel(sweep, asked_by=mutation.asked_by, now=time.time())
                change.finish(self.sweeps.views.sweep(self.sweeps.table.get(str(sweep.id))))
        return change.answer

    def apply_action(self, action: JobAction, name: str, mutation: Mutation, *, hot: bool = False) -> Answer:
        """Apply an action to a job; `hot` is for a pause."""
        with self._change(mutation) as change:
            if change.is_new:
                job, asked_by = self.job(name), mutation.asked_by
                job = self._job_actions.apply(action, job, asked_by=asked_by, now=time.time(), hot=hot)
                change.finish(self._views.job(job))
        return change.answer

    def resume_on(self, num_devices: int, name: str, mutation: Mutation) -> Answer:
        """Resume a run on another number of devices."""
        with self._change(mutation) as change:
            if change.is_new:
                job, asked_by = self.job(name), mutation.asked_by
                job = self._job_actions.resume_on(num_devices, job, asked_by=asked_by, now=time.time())
                change.finish(self._views.job(job))
        return change.answer

    def set_budget(self, request: BudgetRequest, name: str, mutation: Mutation) -> Answer:
        """Change a run's budget."""
        with self._change(mutation) as change:
            if change.is_new:
                job = self.run(name)
                self._budget_changes.change(request, job, asked_by=mutation.asked_by, now=time.time())
                change.finish(self._views.run(job))
        return change.answer

    def prioritize(self, name: str, priority: int, mutation: Mutation) -> Answer:
        """Change a job's place in the queue."""
        with self._change(mutation) as change:
            if change.is_new:
                change.finish(self._views.job(self._job_actions.prioritize(self.job(name), priority=priority)))
        return change.answer

    def set_drained(self, name: str, mutation: Mutation, *, is_drained: bool) -> Answer:
        """Take a device out of service, or back."""
        with self._change(mutation) as change:
            if change.is_new:
                device = self._device_drains.set_drained(
                    name, is_drained=is_drained, asked_by=mutation.asked_by, now=time.time()
                )
                change.finish(self._views.device(device))
        return change.answer

    def delete_garbage(self, found: list[Garbage], mutation: Mutation) -> tuple[Answer, list[Taken]]:
        """Take away what was found of ended jobs; the caller removes it."""
        taken: list[Taken] = []
        with self._change(mutation) as change:
            if change.is_new:
                taken = self.garbage.take_away(found, asked_by=mutation.asked_by, now=time.time())
                change.finish(GarbageDeletedView(deleted=[garbage_view(each.garbage) for each in taken]))
        return change.answer, taken

    def queue_copy(self, peer: Peer) -> bytes:
        """The content of a copy of the queue's file, which has what only operators may see."""
        self._check_allowed(peer)
        return self._database.copy()

    def audit(self, peer: Peer, *, before: int, limit: int, uid: int | None, since_t: float | None) -> list[AuditView]:
        """Requests to change something, newest first; another user's only for operators.

        Raises:
            ClientError: a viewer asks for those of others.
        """
        if uid != peer.uid and not self._roles.is_operator(peer):
            raise ClientError(f"uid {peer.uid}: may read its own requests only; ask for them with --user {peer.uid}")
        return [audit_view(row) for row in self._audit.page(before=before, limit=limit, uid=uid, since_t=since_t)]

    def accept_shutdown(self, mutation: Mutation) -> Answer:
        """Answer with the daemon's version and pid; the caller shuts it down."""
        with self._change(mutation, while_read_only=True) as change:
            if change.is_new:
                change.finish(self._views.version)
        return change.answer

    def drop(self, mutation: Mutation) -> ClientError:
        """Note in the audit that a request was not carried out, because its client did not wait for the answer."""
        error = ClientError(f"{mutation.request}: not done: the client had left when the daemon read it")
        logger.warning("uid %d: %s", mutation.peer.uid, error)
        self._audit_refusal(mutation, error)
        return error

    @contextmanager
    def _change(self, mutation: Mutation, *, status: int = 202, while_read_only: bool = False) -> Iterator[_Change]:
        """Carry out a mutation once, in one transaction with its audit row and its stored answer.

        Raises:
            ReadOnlyError: the daemon serves what it could read of a damaged queue.
            BertdError: it was refused, which the audit records too.
        """
        peer, request, key = mutation.peer, mutation.request, mutation.key
        try:
            self._check_allowed(peer)
            if self._views.version.read_only is not None and not while_read_only:
                raise ReadOnlyError(f"the daemon changes nothing: {self._views.version.read_only}")
            known = None if key is None else self._audit.recall(peer, key=key, request=mutation.digest)
            change = _Change(known, status=status)
            if not change.is_new:
                yield change
                return
            with self._database.transaction():
                yield change
                self._audit.append(peer, request=request, key=key, status=status, message="done", now=time.time())
                if key is not None:
                    self._audit.remember(peer, change.answer, key=key, request=mutation.digest, now=time.time())
        except BertdError as error:
            self._audit_refusal(mutation, error)
            raise
        self._wake()

    def _check_allowed(self, peer: Peer) -> None:
        if not self._roles.is_operator(peer):
            raise ClientError(
                f"uid {peer.uid}: may read but not change; root, the daemon's user and the group bertd-operators may"
            )
        if self.is_stopping:
            raise DaemonStoppingError("the daemon is shutting down and accepts no changes; try again when it is back")

    def _audit_refusal(self, mutation: Mutation, error: BertdError) -> None:
        with self._database.transaction():
            self._audit.append(
                mutation.peer,
                request=mutation.request,
                key=mutation.key,
                status=http_status(error),
                message=str(error)[:500],
                now=time.time(),
            )


_HTTP_STATUS = {
    "UnknownJobError": 404,
    "UnknownDeviceError": 404,
    "TransitionError": 409,
    "QuotaError": 409,
    "QueueError": 409,
    "StorageError": 507,
    "DaemonError": 503,
    "DaemonStoppingError": 503,
    "ReadOnlyError": 503,
    "StillReadingError": 503,
    "DaemonBusyError": 503,
    "ClientError": 403,
    "RunFolderError": 500,
}


def http_status(error: BertdError) -> int:
    """The HTTP status of an error; what a recipe, a data set or an export got wrong is 422."""
    return _HTTP_STATUS.get(type(error).__name__, 422)
