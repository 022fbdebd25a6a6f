"""The audit log, and the answers of past requests, so that a repeated request is not done twice. Bounded."""

from __future__ import annotations

from dataclasses import dataclass, fields

from bertd.errors import QueueError
from bertd.jobs.store.database import Database

MAX_AUDIT_ROWS = 50_000
"""Requests that were carried out."""
MAX_REFUSED_ROWS = 10_000
"""Requests that were refused. Counted apart: anybody who may connect can ask for what is refused, and must not be able
to push out what was done."""
KEEP_ANSWERS_S = 7 * 86_400.0
"""How long an idempotency key is remembered."""
MAX_ANSWERS = 50_000
_TRIM_EVERY = 100


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a connection, as the kernel reports it."""

    uid: int
    gid: int
    pid: int
    """At connect; another process may have it since, so it is only logged."""


@dataclass(frozen=True)
class Answer:
    """The HTTP response to a mutation."""

    status: int
    body: str


@dataclass(frozen=True)
class AuditRow:
    """One request to change something."""

    id: int
    t: float
    uid: int
    pid: int
    request: str
    """Method and path."""
    key: str | None
    status: int
    message: str


class Audit:
    """Writes the audit table, and stores answers by idempotency key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, peer: Peer, *, request: str, key: str | None, status: int, message: str, now: float) -> None:
        """Add one row within the caller's transaction."""
        cursor = self._database.execute(
            "INSERT INTO audit (t, uid, gid, pid, request, key, status, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (now, peer.uid, peer.gid, peer.pid, request, key, status, message),
        )
        assert cursor.lastrowid is not None
        if cursor.lastrowid % _TRIM_EVERY == 0:
            for condition, kept in (("status < 400", MAX_AUDIT_ROWS), ("status >= 400", MAX_REFUSED_ROWS)):
                self._database.execute(
                    f"DELETE FROM audit WHERE {condition} AND id <= "  # noqa: S608  # Of the two above.
                    f"(SELECT id FROM audit WHERE {condition} ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (kept,),
                )
            self._database.execute("DELETE FROM answers WHERE t < ?", (now - KEEP_ANSWERS_S,))
            self._database.execute(
                "DELETE FROM answers WHERE t < (SELECT t FROM answers ORDER BY t DESC LIMIT 1 OFFSET ?)",
                (MAX_ANSWERS,),
            )

    def page(self, *, before: int, limit: int, uid: int | None = None, since_t: float | None = None) -> list[AuditRow]:
        """The `limit` newest rows with a number below `before`, newest first.

        Args:
            uid: only of this user.
            since_t: only at this time or later.
        """
        rows = self._database.execute(
            "SELECT * FROM audit WHERE id < ? AND (? IS NULL OR uid = ?) AND (? IS NULL OR t >= ?) "
            "ORDER BY id DESC LIMIT ?",
            (before, uid, uid, since_t, since_t, limit),
        )
        return [AuditRow(**{field.name: row[field.name] for field in fields(AuditRow)}) for row in rows.fetchall()]

    def remember(self, peer: Peer, answer: Answer, *, key: str, request: str, now: float) -> None:
        """Store an answer within the caller's transaction."""
        self._database.execute(
            "INSERT INTO answers (key, uid, t, request, status, body) VALUES (?, ?, ?, ?, ?, ?)",
            (key, peer.uid, now, request, answer.status, answer.body),
        )

    def recall(self, peer: Peer, *, key: str, request: str) -> Answer | None:
        """The stored answer to this peer's key; None if there is none.

        Raises:
            QueueError: the key was used for another request.
        """
        row = self._database.execute(
            "SELECT request, status, body FROM answers WHERE uid = ? AND key = ?", (peer.uid, key)
        ).fetchone()
        if row is None:
            return None
        if row["request"] != request:
            raise QueueError(f"Idempotency-Key {key}: used before for another request; send a new key")
        return Answer(status=row["status"], body=row["body"])
