"""The jobs and the devices leased to them: rows of the database; the lifecycle checks each change of state.

Each change of a state writes a `job` event in the same transaction, so that the stream and the table never differ.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bertd.errors import DaemonError, UnknownJobError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.leases import Lease, Leases
from bertd.jobs.store.lifecycle import ENDED, FINAL, LIVE, Actor, JobChange, JobStatus, check_transition
from bertd.jobs.store.row_filters import ANY_JOB, JobFilter
from bertd.jobs.store.tables.software_table import SoftwareTable
from bertd.jobs.store.waiting_cache import WaitingCache, service_order
from bertd.records import JobKind, JobState, Software

_UPDATABLE_COLUMNS = (
    "wants_resume",
    "stop_asked",
    "journal_seen",
    "vanished",
    "vanished_step",
    "priority",
    "num_devices",
    "reason",
    "place",
    "group_name",
)


_MAX_STALE = 500
"""More changed rows than these are not looked up one by one."""
_SELECT = """SELECT *, state = 'paused' AND EXISTS (SELECT 1 FROM leases WHERE job_id = jobs.id) AS is_hot,
(SELECT memory_bytes FROM memory_needs WHERE job_id = jobs.id) AS memory_bytes FROM jobs"""


@dataclass(frozen=True)
class Job:
    """One row of the queue."""

    id: int
    kind: JobKind
    name: str
    state: JobState
    reason: str
    priority: int
    run_id: str
    folder: str
    """Absolute."""
    device_kind: Literal["cpu", "gpu"]
    num_devices: int
    owner_uid: int
    created_t: float
    started_t: float | None = None
    ended_t: float | None = None
    wants_resume: bool = False
    """Goes back into the queue by itself once it is paused."""
    stop_asked: bool = False
    """A stop is in its mailbox."""
    journal_seen: int = 0
    """Journal records that were turned into events."""
    vanished: int = 0
    """Times in a row that its runner died without an outcome and without a higher step."""
    vanished_step: int = -1
    """The newest step when that happened last."""
    place: float | None = None
    """Among jobs of the same priority, where a person has moved it; None: its number is its place."""
    group_name: str = ""
    """Of the configuration, with limits; empty for none."""
    is_hot: bool = False
    """Paused with its lease: the ranks are suspended and keep their memory."""
    memory_bytes: int | None = None
    """Of a program, the most that it may use of its GPU, which it shares; of a run, the least that each card has."""

    @property
    def status(self) -> JobStatus:
        """The facts by which the lifecycle decides."""
        return JobStatus(self.state, is_hot=self.is_hot, wants_resume=self.wants_resume, stop_asked=self.stop_asked)

    @property
    def has_runner(self) -> bool:
        """Whether a runner has it, or should have."""
        return self.state in LIVE or self.is_hot


class Queue:
    """Reads and changes jobs."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        root: Path | None = None,
        software: Callable[[], Software | None] = lambda: None,
    ) -> None:
        """Begin.

        Args:
            root: the state folder; None if the database is in it, as it is unless it was salvaged.
            software: what is recorded for a new job as that with which it is queued.
        """
        self._software, self._software_table = software, SoftwareTable(database)
        self._database = database
        self._events = events
        self._waiting = WaitingCache()
        self.root = root or database.path.parent
        self._root_text = str(self.root)
        """The state folder. Rows have folders below it without it, so that it can be moved."""

    # ---- Reading -----------------------------------------------------------------------------------

    def get(self, job_id: int) -> Job:
        """One job.

        Raises:
            UnknownJobError: there is no such job.
        """
        row = self._database.execute(f"{_SELECT} WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise UnknownJobError(f"job {job_id}: no such job; `bertd jobs` lists them")
        return self._job(row)

    def newest(self, *, kind: JobKind | None = None) -> Job:
        """The job that was submitted last.

        Raises:
            UnknownJobError: there is none yet.
        """
        row = self._database.execute(
            f"{_SELECT} WHERE kind = coalesce(?, kind) ORDER BY id DESC LIMIT 1", (kind,)
        ).fetchone()
        if row is None:
            what = "run" if kind is JobKind.PRETRAIN else kind or "job"
            raise UnknownJobError(f"@: there is no {what} yet; `bertd submit RECIPE` makes one")
        return self._job(row)

    def get_by_run(self, run_id: str) -> Job:
        """The pretraining that makes a run.

        Raises:
            UnknownJobError: there is no such run.
        """
        row = self._database.execute(f"{_SELECT} WHERE run_id = ? AND kind = ?", (run_id, JobKind.PRETRAIN)).fetchone()
        if row is None:
            raise UnknownJobError(f"{run_id}: no such run; `bertd jobs` lists them")
        return self._job(row)

    def most_relevant(self, *, limit: int, kind: JobKind | None = None) -> list[Job]:
        """Every job with a runner, and of the others up to `limit` in all; highest id first, with ended ones last.

        The others are taken as a person looks for them: next in the queue, paused, newest on hold, newest over.
        """
        live = [job for job in self.live() if kind in (None, job.kind)]
        rows = self._database.execute(
            f"""{_SELECT} WHERE kind = coalesce(?, kind) AND NOT is_hot AND state NOT IN (?, ?, ?, ?)
            ORDER BY CASE state WHEN 'queued' THEN 0 WHEN 'paused' THEN 1 WHEN 'held' THEN 2 ELSE 3 END,
            CASE state WHEN 'queued' THEN -priority END,
            CASE state WHEN 'queued' THEN coalesce(place, id) ELSE -id END, id LIMIT ?""",
            (kind, *sorted(LIVE), max(0, limit - len(live))),
        )
        others = [self._job(row) for row in rows.fetchall()]
        return sorted([*live, *others], key=lambda job: (job.state in ENDED, -job.id))

    def newest_ended(self, *, kind: JobKind) -> Job | None:
        """The newest job that is over."""
        row = self._database.execute(
            f"{_SELECT} WHERE kind = ? AND state IN (?, ?, ?, ?) ORDER BY id DESC LIMIT 1", (kind, *sorted(ENDED))
        ).fetchone()
        return None if row is None else self._job(row)

    def page(self, *, before: int, limit: int, where: JobFilter = ANY_JOB) -> list[Job]:
        """The `limit` newest of these jobs with a number below `before`, newest first."""
        conditions, values = where.conditions()
        rows = self._database.execute(
            f"{_SELECT} WHERE id < ?{conditions} ORDER BY id DESC LIMIT ?", (before, *values, limit)
        )
        return [self._job(row) for row in rows.fetchall()]

    def at_work(self, *, kind: JobKind | None = None) -> Job | None:
        """The newest job that runs; if none does, the newest that is paused hot, which has its devices too."""
        live = [job for job in self.live() if kind in (None, job.kind)]
        return max(live, key=lambda job: (not job.is_hot, job.id), default=None)

    def named(self, name: str) -> list[Job]:
        """All jobs of a name, newest first; it need not be unique."""
        rows = self._database.execute(f"{_SELECT} WHERE name = ? ORDER BY id DESC", (name,))
        return [self._job(row) for row in rows.fetchall()]

    def run_ids(self, *, limit: int) -> list[str]:
        """Ids of the newest runs."""
        rows = self._database.execute(
            "SELECT run_id FROM jobs WHERE kind = ? ORDER BY id DESC LIMIT ?", (JobKind.PRETRAIN, limit)
        )
        return [row["run_id"] for row in rows.fetchall()]

    def live(self) -> list[Job]:
        """Jobs that a runner has, or should have."""
        rows = self._database.execute(
            # So that the index of the states is used.
            f"{_SELECT} WHERE state IN (?, ?, ?, ?, ?) AND (state != 'paused' OR is_hot) ORDER BY id",
            (*sorted(LIVE), JobState.PAUSED),
        )
        return [self._job(row) for row in rows.fetchall()]

    def ended(self) -> list[Job]:
        """All jobs that have ended, oldest first."""
        rows = self._database.execute(f"{_SELECT} WHERE state IN (?, ?, ?, ?) ORDER BY id", tuple(sorted(ENDED)))
        return [self._job(row) for row in rows.fetchall()]

    def unfinished_run_ids(self) -> set[str]:
        """Ids of the runs that may train again: also of those that failed or were lost, which a person may resume."""
        rows = self._database.execute("SELECT run_id FROM jobs WHERE state NOT IN (?, ?)", tuple(sorted(FINAL)))
        return {row["run_id"] for row in rows.fetchall()}

    def num_unended(self, *, owner_uid: int) -> int:
        """How many jobs of a user have not ended."""
        row = self._database.execute(
            "SELECT count(*) FROM jobs WHERE owner_uid = ? AND state NOT IN (?, ?, ?, ?)", (owner_uid, *sorted(ENDED))
        ).fetchone()
        return int(row[0])

    def waiting(self) -> list[Job]:
        """Queued jobs in the order they are served; see `service_order`."""
        cache = self._waiting
        if self._database.num_rollbacks != cache.num_rollbacks or len(cache.stale) > _MAX_STALE:
            rows = self._database.execute(f"{_SELECT} WHERE state = ?", (JobState.QUEUED,))
            cache.replace([self._job(row) for row in rows.fetchall()], num_rollbacks=self._database.num_rollbacks)
        elif cache.stale:
            stale = tuple(cache.stale)
            places = ", ".join("?" * len(stale))
            # The statement has places alone, no values.
            rows = self._database.execute(f"{_SELECT} WHERE id IN ({places})", stale)
            cache.refresh([self._job(row) for row in rows.fetchall()])
        return list(cache.jobs)

    def position(self, job: Job) -> int | None:
        """How many queued jobs are served up to and with this one; None if it is not queued."""
        if job.state is not JobState.QUEUED:
            return None
        place = job.id if job.place is None else job.place
        row = self._database.execute(
            "SELECT count(*) FROM jobs WHERE state = ? AND (-priority, coalesce(place, id), id) <= (?, ?, ?)",
            (JobState.QUEUED, -job.priority, place, job.id),
        ).fetchone()
        return int(row[0])

    def movable(self) -> list[Job]:
        """All jobs that wait, or may wait again, in the order in which they would be served."""
        rows = self._database.execute(f"{_SELECT} WHERE state NOT IN (?, ?, ?, ?)", tuple(sorted(ENDED)))
        return sorted((self._job(row) for row in rows.fetchall()), key=service_order)

    def next_id(self) -> int:
        """The number of the next job; every place is below it, so that who comes later is served later."""
        row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
        return 1 if row is None else int(row["seq"]) + 1

    def paused(self) -> list[Job]:
        """Paused jobs, oldest first."""
        rows = self._database.execute(f"{_SELECT} WHERE state = ? ORDER BY id", (JobState.PAUSED,))
        return [self._job(row) for row in rows.fetchall()]

    def counts(self, *, kind: JobKind | None = None) -> dict[JobState, int]:
        """Number of jobs in each state, of all kinds or of one."""
        rows = self._database.execute(
            "SELECT state, count(*) AS number FROM jobs WHERE kind = coalesce(?, kind) GROUP BY state", (kind,)
        )
        return {_state(row["state"]): int(row["number"]) for row in rows.fetchall()}

    # ---- Changing ----------------------------------------------------------------------------------

    def reserve_ids_up_to(self, job_id: int) -> None:
        """Make the next job's number higher than `job_id`, so that folders of an earlier queue are not reused."""
        with self._database.transaction():
            row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
            if row is None:
                self._database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (job_id,))
            elif row["seq"] < job_id:
                self._database.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'jobs'", (job_id,))

    def reserve(self, job: Job) -> Job:
        """Insert a job within the caller's transaction and give it its number.

        Folder and run follow with `set_folder`.
        """
        cursor = self._database.execute(
            "INSERT INTO jobs (kind, name, state, reason, priority, run_id, folder, device_kind, num_devices,"
            " owner_uid, created_t, group_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(job.kind, job.name, job.state, job.reason, job.priority, job.run_id, job.folder),
                *(job.device_kind, job.num_devices, job.owner_uid, job.created_t, job.group_name),
            ),
        )
        assert cursor.lastrowid is not None
        if job.memory_bytes is not None:
            self._database.execute(
                "INSERT INTO memory_needs (job_id, memory_bytes) VALUES (?, ?)", (cursor.lastrowid, job.memory_bytes)
            )
        if (software := self._software()) is not None:
            self._software_table.put(cursor.lastrowid, software)
        self._waiting.stale.add(cursor.lastrowid)
        return replace(job, id=cursor.lastrowid)

    def delete_reserved(self, job: Job) -> None:
        """Undo a reservation within the transaction that made it; its number is not used again."""
        self._waiting.stale.add(job.id)
        self._database.execute("DELETE FROM memory_needs WHERE job_id = ?", (job.id,))
        self._database.execute("DELETE FROM job_software WHERE job_id = ?", (job.id,))
        self._database.execute("DELETE FROM jobs WHERE id = ?", (job.id,))

    def set_folder(self, job: Job, *, folder: str, run_id: str) -> Job:
        """Set the folder of a reserved job and write its first event."""
        self._waiting.stale.add(job.id)
        path = Path(folder)
        stored = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        self._database.execute("UPDATE jobs SET folder = ?, run_id = ? WHERE id = ?", (str(stored), run_id, job.id))
        placed = replace(job, folder=folder, run_id=run_id)
        self._append_event(placed, now=job.created_t)
        return placed

    def move(self, job_id: int, after: JobState, *, reason: str, actor: Actor, now: float) -> Job:
        """Change a state, in one transaction with its event.

        Raises:
            TransitionError: the lifecycle does not allow it.
        """
        job = self.get(job_id)
        check_transition(job_id, before=job.state, after=after, actor=actor)
        started_t = now if after is JobState.STARTING and job.started_t is None else job.started_t
        ended_t = now if after in ENDED else None
        self._waiting.stale.add(job_id)
        with self._database.transaction():
            self._database.execute(
                "UPDATE jobs SET state = ?, reason = ?, started_t = ?, ended_t = ? WHERE id = ?",
                (after, reason, started_t, ended_t, job_id),
            )
            moved = self.get(job_id)
            self._append_event(moved, now=now, actor=actor)
        return moved

    def apply(self, job_id: int, change: JobChange, *, actor: Actor, now: float) -> Job:
        """Make a change of the lifecycle in one transaction; the caller posts its command.

        Raises:
            TransitionError: the lifecycle does not allow the move.
        """
        wishes = {"wants_resume": change.wants_resume, "stop_asked": change.stop_asked}
        columns: dict[str, int | str] = {column: int(wish) for column, wish in wishes.items() if wish is not None}
        if change.forgets_losses:
            columns["vanished"] = 0
        with self._database.transaction():
            if change.state is not None:
                assert change.reason is not None
                self.move(job_id, change.state, reason=change.reason, actor=actor, now=now)
            elif change.reason is not None:
                columns["reason"] = change.reason
            self.update(job_id, **columns)
            return self.get(job_id)

    def update(self, job_id: int, **values: int | float | str | None) -> None:
        """Set other columns than the state, without an event."""
        if values:
            self._waiting.stale.add(job_id)
        with self._database.transaction():
            for column, value in values.items():
                assert column in _UPDATABLE_COLUMNS
                # The column is one of the fixed names above; a name cannot be a bound parameter.
                statement = f"UPDATE jobs SET {column} = ? WHERE id = ?"  # noqa: S608
                self._database.execute(statement, (value, job_id))

    def set_reasons(self, reasons: Iterable[tuple[int, str]]) -> None:
        """Note why jobs wait, all in one transaction, without an event."""
        with self._database.transaction():
            for job_id, reason in reasons:
                self.update(job_id, reason=reason)

    def _job(self, row: sqlite3.Row) -> Job:
        return _read_job(row, root=self._root_text)

    def _append_event(self, job: Job, *, now: float, actor: Actor = Actor.PERSON) -> None:
        text = f"job {job.id} {job.name} is {job.state}: {job.reason}"
        data: dict[str, object] = {
            **{"kind": job.kind, "name": job.name, "state": job.state, "reason": job.reason},
            "actor": actor,
        }
        self._events.append("job", text, now=now, job_id=job.id, run_id=job.run_id, data=data)

    # ---- Leases ------------------------------------------------------------------------------------

    def leases(self) -> Leases:
        """The current leases."""
        rows = self._database.execute(
            "SELECT job_id, device, slots, parts, memory_bytes, of_bytes FROM leases ORDER BY job_id, device"
        )
        return Leases(tuple(Lease(**row) for row in rows))

    def lease(
        self,
        job_id: int,
        devices: dict[str, int],
        *,
        parts: int = 1,
        memory_bytes: int | None = None,
        of_bytes: int | None = None,
    ) -> None:
        """Give devices to a job: of each, slots, and of a GPU one of so many parts, or so much of its memory."""
        with self._database.transaction():
            for device, slots in devices.items():
                self._database.execute(
                    "INSERT INTO leases (job_id, device, slots, parts, memory_bytes, of_bytes)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (job_id, device, slots, parts, memory_bytes, of_bytes),
                )

    def release(self, job_id: int) -> None:
        """Take a job's devices back."""
        with self._database.transaction():
            self._database.execute("DELETE FROM leases WHERE job_id = ?", (job_id,))


def _read_job(row: sqlite3.Row, *, root: str) -> Job:
    values = dict(row)
    # Not by pathlib, which takes as long as all the rest, and a list has thousands of rows.
    values["folder"] = os.path.join(root, values["folder"])  # noqa: PTH118
    try:
        values["kind"] = JobKind(values["kind"])
        values["state"] = _state(values["state"])
    except ValueError as error:
        remedy = "restore a copy of queue.db, or move it away to start with an empty queue"
        raise DaemonError(f"queue.db: the row of job {values['id']} is damaged: {error}; {remedy}") from error
    values["wants_resume"] = bool(values["wants_resume"])
    values["stop_asked"] = bool(values["stop_asked"])
    values["is_hot"] = bool(values["is_hot"])
    return Job(**values)


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError as error:
        remedy = "restore a copy of queue.db, or move it away to start with an empty queue"
        raise DaemonError(f"queue.db: the state of a job is damaged: {error}; {remedy}") from error
