"""What every change has: a check of the right to it, one transaction, an idempotency key, and a row in the audit."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bertd.api.models import AuditView
from bertd.daemon.api.accounts import Accounts
from bertd.errors import BertdError, ClientError, DaemonStoppingError, ReadOnlyError, RecipeError
from bertd.jobs.store.audit import Answer, Audit, AuditRow, Peer
from bertd.jobs.store.database import Database
from bertd.records import Record

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
    user: str | None = None
    """Name of the peer's user; None if the machine does not tell it."""

    @property
    def digest(self) -> str:
        """Hash of the request and its body; an idempotency key belongs to one of these."""
        return f"{self.request} {hashlib.sha256(self.body).hexdigest()[:16]}"

    @property
    def asked_by(self) -> str:
        """The peer's user name and uid."""
        return f"uid {self.peer.uid}" if self.user is None else f"{self.user} (uid {self.peer.uid})"


def audit_view(row: AuditRow, *, user: str | None) -> AuditView:
    """One row of the audit as the API sends it."""
    return AuditView(
        id=row.id,
        t=row.t,
        user=user or str(row.uid),
        uid=row.uid,
        pid=row.pid,
        request=row.request,
        key=row.key,
        status=row.status,
        outcome=row.message,
    )


class Change:
    """A mutation in progress, or one that was done before."""

    def __init__(self, known: Answer | None, *, status: int) -> None:
        self._answer = known
        self._status = status
        self.is_new = known is None
        """False if the mutation was done before; the answer is then the first one."""
        self.detail = ""
        """What was done, for the audit, where the request's path does not say it."""

    def finish(self, view: Record) -> None:
        """Set the answer."""
        self._answer = Answer(status=self._status, body=view.model_dump_json())

    @property
    def answer(self) -> Answer:
        assert self._answer is not None
        return self._answer


class AuditedChanges:
    """Lets a change happen: once, by who may, in one transaction with its row in the audit."""

    def __init__(self, database: Database, audit: Audit, *, read_only: str | None, wake: Callable[[], None]) -> None:
        """`read_only` is why nothing may be changed, or None; `wake` has the scheduler look after each change."""
        self._database = database
        self._audit = audit
        self._read_only = read_only
        self._wake = wake
        self.accounts = Accounts()
        self.is_stopping = False
        """Changes are refused."""

    @contextmanager
    def change(self, mutation: Mutation, *, status: int = 202, while_read_only: bool = False) -> Iterator[Change]:
        """Carry out a mutation once, in one transaction with its audit row and its stored answer.

        Raises:
            ReadOnlyError: the daemon serves what it could read of a damaged queue.
            BertdError: it was refused, which the audit records too.
        """
        peer, request, key = mutation.peer, mutation.request, mutation.key
        try:
            self._require_operator(peer)
            known = None if key is None else self._audit.recall(peer, key=key, request=mutation.digest)
            if known is None:
                # What was done before the daemon began to end is still answered: it may be what ends it.
                self.check_allowed(peer)
                if self._read_only is not None and not while_read_only:
                    raise ReadOnlyError(f"the daemon changes nothing: {self._read_only}")
            change = Change(known, status=status)
            if not change.is_new:
                yield change
                return
            with self._database.transaction():
                yield change
                self._audit.append(
                    peer, request=request, key=key, status=status, message=_done(change.detail), now=time.time()
                )
                if key is not None:
                    self._audit.remember(peer, change.answer, key=key, request=mutation.digest, now=time.time())
        except BertdError as error:
            self._audit_refusal(mutation, error)
            raise
        self._wake()

    def check_allowed(self, peer: Peer) -> None:
        """Refuse who may not change anything, and everybody while the daemon ends.

        Raises:
            ClientError: the peer may only read.
            DaemonStoppingError: the daemon is being stopped.
        """
        self._require_operator(peer)
        if self.is_stopping:
            raise DaemonStoppingError("the daemon is shutting down and accepts no changes; try again when it is back")

    def is_operator(self, peer: Peer) -> bool:
        """Whether the peer may change things."""
        return self.accounts.is_operator(peer)

    def _require_operator(self, peer: Peer) -> None:
        if not self.accounts.is_operator(peer):
            raise ClientError(
                f"uid {peer.uid}: may read but not change; root, the daemon's user and the group bertd-operators may"
            )

    def queue_copy(self, peer: Peer) -> bytes:
        """The content of a copy of the queue's file, which has what only operators may see.

        Raises:
            ReadOnlyError: it would have only what could be read of a damaged queue, and look like a whole one.
        """
        self.check_allowed(peer)
        if self._read_only is not None:
            raise ReadOnlyError(
                "no backup can be made of a queue of which only a part can be read; copy the state folder itself: "
                f"{self._read_only}"
            )
        return self._database.copy()

    async def audit(
        self, peer: Peer, *, before: int, limit: int, uid: int | None, since_t: float | None
    ) -> list[AuditView]:
        """Requests to change something, newest first; another user's only for operators.

        Raises:
            ClientError: a viewer asks for those of others.
        """
        if uid != peer.uid and not self.accounts.is_operator(peer):
            raise ClientError(f"uid {peer.uid}: may read its own requests only; ask for them with --user {peer.uid}")
        rows = self._audit.page(before=before, limit=limit, uid=uid, since_t=since_t)
        await self.accounts.look_up_names({row.uid for row in rows})
        return [audit_view(row, user=self.accounts.name(row.uid)) for row in rows]

    def drop(self, mutation: Mutation) -> ClientError:
        """Note in the audit that a request was not carried out, because its client did not wait for the answer."""
        error = ClientError(f"{mutation.request}: not done: the client had left when the daemon read it")
        logger.warning("uid %d: %s", mutation.peer.uid, error)
        self._audit_refusal(mutation, error)
        return error

    def note_unreadable(self, mutation: Mutation, message: str) -> None:
        """Note in the audit a request that was refused because it could not be read."""
        try:
            self._audit_refusal(mutation, RecipeError(message))
        except BertdError as error:
            logger.error("not in the audit: %s: %s", mutation.request, error)

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


def _done(detail: str) -> str:
    return f"done: {detail}" if detail else "done"


_HTTP_STATUS = {
    "UnknownJobError": 404,
    "UnknownDeviceError": 404,
    "UnknownHookError": 404,
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
