"""What one request may do: finds the job it means, answers once per idempotency key, leaves a trace of each change."""

from __future__ import annotations

import hashlib
import pwd
import time
from collections.abc import Callable

from bertd.api.models import JobView, RunView, SubmitFinetune, SubmitPretrain
from bertd.daemon.api.connections import Roles
from bertd.daemon.api.views import Views
from bertd.daemon.scheduling.budget_changes import BudgetChanges
from bertd.daemon.scheduling.job_actions import JobActions
from bertd.daemon.submissions import Submissions
from bertd.errors import BertdError, ClientError, DaemonStoppingError, UnknownJobError
from bertd.jobs.store.audit import Answer, Audit, Peer
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import JobAction
from bertd.jobs.store.queue import Job, Queue
from bertd.records import BudgetRequest, JobKind


class RequestHandler:
    """Mutations and look-ups by the names people use."""

    def __init__(
        self,
        *,
        database: Database,
        queue: Queue,
        audit: Audit,
        submissions: Submissions,
        job_actions: JobActions,
        budget_changes: BudgetChanges,
        views: Views,
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._queue = queue
        self._audit = audit
        self._submissions = submissions
        self._job_actions = job_actions
        self._budget_changes = budget_changes
        self._views = views
        self._wake = wake
        self._roles = Roles()
        self.is_stopping = False
        """Changes are refused from here on."""

    # ---- Names -------------------------------------------------------------------------------------

    def job(self, name: str) -> Job:
        """The job of a number, or @ for the newest.

        Raises:
            UnknownJobError: there is none.
        """
        if name == "@":
            return self._queue.newest()
        if not name.isdecimal() or len(name) > 18:
            raise UnknownJobError(f"{name!r}: no job is called so; give its number or @")
        return self._queue.get(int(name))

    def run(self, name: str) -> Job:
        """The pretraining of a run id, a job's number, or @ for the newest.

        Raises:
            UnknownJobError: there is none.
        """
        if name == "@":
            return self._queue.newest(kind=JobKind.PRETRAIN)
        job = self.job(name) if name.isdecimal() else self._queue.get_by_run(name)
        return job if job.kind is JobKind.PRETRAIN else self._queue.get_by_run(job.run_id)

    # ---- Changes -----------------------------------------------------------------------------------

    def submit(self, order: SubmitPretrain | SubmitFinetune, peer: Peer) -> JobView:
        """Queue a new job."""
        now = time.time()
        if isinstance(order, SubmitPretrain):
            return self._views.job(self._submissions.submit_pretraining(order, uid=peer.uid, now=now))
        return self._views.job(self._submissions.submit_finetuning(order, uid=peer.uid, now=now))

    def apply_action(self, order: JobAction, name: str, peer: Peer, *, hot: bool = False) -> JobView:
        """Carry an order out; `hot` is of a pause."""
        job = self._job_actions.apply(order, self.job(name), asked_by=_peer_name(peer), now=time.time(), hot=hot)
        return self._views.job(job)

    def resume_on(self, num_devices: int, name: str, peer: Peer) -> JobView:
        """Let a run go on on another number of devices."""
        job = self._job_actions.resume_on(num_devices, self.job(name), asked_by=_peer_name(peer), now=time.time())
        return self._views.job(job)

    def set_budget(self, order: BudgetRequest, name: str, peer: Peer) -> RunView:
        """Change what a run may spend."""
        job = self.run(name)
        self._budget_changes.change(order, job, asked_by=_peer_name(peer), now=time.time())
        return self._views.run(job)

    def prioritize(self, name: str, priority: int) -> JobView:
        """Change a job's place in line."""
        return self._views.job(self._job_actions.prioritize(self.job(name), priority=priority))

    def change(
        self, peer: Peer, act: Callable[[], str], *, request: str, body: bytes, key: str | None, status: int
    ) -> Answer:
        """Do a mutation once, in one transaction with its audit row and its remembered answer.

        Args:
            act: does it and gives the answer's JSON.
            request: method and path.

        Raises:
            BertdError: it was refused; the audit has that too.
        """
        request_digest = f"{request} {hashlib.sha256(body).hexdigest()[:16]}"
        try:
            self._check_allowed(peer, key=key)
            if key is not None and (known := self._audit.recall(peer, key=key, request=request_digest)) is not None:
                return known
            with self._database.transaction():
                answer = Answer(status=status, body=act())
                self._audit.append(peer, request=request, key=key, status=status, message="done", now=time.time())
                if key is not None:
                    self._audit.remember(peer, answer, key=key, request=request_digest, now=time.time())
        except BertdError as error:
            self._audit_refusal(peer, request=request, key=key, error=error)
            raise
        self._wake()
        return answer

    def _check_allowed(self, peer: Peer, *, key: str | None) -> None:
        if not self._roles.is_operator(peer):
            raise ClientError(
                f"uid {peer.uid}: may look but not change; root, the daemon's user and the group bertd-operators may"
            )
        if self.is_stopping:
            raise DaemonStoppingError("the daemon is being stopped and takes no orders; try again when it is back")
        if key is not None and not 1 <= len(key) <= 200:
            raise ClientError("Idempotency-Key: give 1 to 200 characters")

    def _audit_refusal(self, peer: Peer, *, request: str, key: str | None, error: BertdError) -> None:
        with self._database.transaction():
            self._audit.append(
                peer, request=request, key=key, status=http_status(error), message=str(error)[:500], now=time.time()
            )


def _peer_name(peer: Peer) -> str:
    try:
        return f"{pwd.getpwuid(peer.uid).pw_name} (uid {peer.uid})"
    except KeyError:
        return f"uid {peer.uid}"


_HTTP_STATUS = {
    "UnknownJobError": 404,
    "TransitionError": 409,
    "QueueError": 409,
    "StorageError": 507,
    "DaemonError": 503,
    "DaemonStoppingError": 503,
    "DaemonBusyError": 503,
    "ClientError": 403,
    "RunFolderError": 500,
}


def http_status(error: BertdError) -> int:
    """The HTTP status of an error; what a recipe, a data set or an export got wrong is 422."""
    return _HTTP_STATUS.get(type(error).__name__, 422)
