"""Lends and the jobs of each: which run is paused for whom, and what it has cost. Rows stay when a lend is over."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from bertd.errors import DaemonError
from bertd.jobs.store.database import Database
from bertd.records import BorrowerState, LendState

_TIMES = ("lent_t", "returned_t", "ended_t", "save_s", "start_s")


@dataclass(frozen=True)
class LendJob:
    """One job of a lend."""

    job_id: int
    state: BorrowerState
    expected_s: float | None
    """From its start to its end; None where it is not known."""


@dataclass(frozen=True)
class Lend:
    """One lend with its jobs."""

    id: int
    run_job_id: int
    state: LendState
    reason: str
    """Why it is in this state."""
    is_hot: bool
    asked_by: str
    devices: Mapping[str, int]
    """Device to slots, as the run had them when it was asked for."""
    created_t: float
    lent_t: float | None = None
    """When the run was paused."""
    returned_t: float | None = None
    """When it began to continue."""
    ended_t: float | None = None
    save_s: float | None = None
    """Charged for the save; None before it, or where there was none."""
    start_s: float | None = None
    """Charged until the first step after it."""
    jobs: tuple[LendJob, ...] = ()

    @property
    def borrowers(self) -> tuple[LendJob, ...]:
        """The jobs that have not left."""
        return tuple(job for job in self.jobs if job.state is BorrowerState.BORROWING)

    @property
    def holders(self) -> frozenset[int]:
        """The jobs whose leases may be of the lent devices."""
        return frozenset(job.job_id for job in self.jobs if job.state is not BorrowerState.LEFT)


class LendTable:
    """Reads and changes the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(
        self, *, run_job_id: int, reason: str, is_hot: bool, asked_by: str, devices: Mapping[str, int], now: float
    ) -> int:
        """Begin a lend, within the caller's transaction; returns its number."""
        cursor = self._database.execute(
            "INSERT INTO lends (run_job_id, state, reason, is_hot, asked_by, devices, created_t)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run_job_id, LendState.PAUSING, reason, int(is_hot), asked_by, json.dumps(dict(devices)), now),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_job(self, lend_id: int, job_id: int, *, expected_s: float | None) -> None:
        """Have a job borrow, within the transaction that makes it."""
        self._database.execute(
            "INSERT INTO lend_jobs (lend_id, job_id, state, expected_s) VALUES (?, ?, ?, ?)",
            (lend_id, job_id, BorrowerState.BORROWING, expected_s),
        )

    def open(self) -> list[Lend]:
        """Those that are not over, oldest first."""
        rows = self._database.execute("SELECT * FROM lends WHERE state != ? ORDER BY id", (LendState.OVER,)).fetchall()
        return [self._lend(row) for row in rows]

    def newest_of_run(self, run_job_id: int) -> Lend | None:
        """A run's newest lend, also one that is over."""
        row = self._database.execute(
            "SELECT * FROM lends WHERE run_job_id = ? ORDER BY id DESC LIMIT 1", (run_job_id,)
        ).fetchone()
        return None if row is None else self._lend(row)

    def set_state(self, lend_id: int, state: LendState, *, reason: str) -> None:
        """Move a lend, within the caller's transaction."""
        self._database.execute("UPDATE lends SET state = ?, reason = ? WHERE id = ?", (state, reason, lend_id))

    def set_times(self, lend_id: int, **values: float | None) -> None:
        """Note when something happened, or what it took, within the caller's transaction."""
        for column, value in values.items():
            assert column in _TIMES
            # The column is one of the fixed names above; a name cannot be a bound parameter.
            self._database.execute(f"UPDATE lends SET {column} = ? WHERE id = ?", (value, lend_id))  # noqa: S608

    def set_job_state(self, lend_id: int, job_id: int, state: BorrowerState) -> None:
        """Note that a job leaves, or has left, within the caller's transaction."""
        self._database.execute(
            "UPDATE lend_jobs SET state = ? WHERE lend_id = ? AND job_id = ?", (state, lend_id, job_id)
        )

    def _lend(self, row: sqlite3.Row) -> Lend:
        values = dict(row)
        jobs = self._database.execute(
            "SELECT job_id, state, expected_s FROM lend_jobs WHERE lend_id = ? ORDER BY job_id", (values["id"],)
        ).fetchall()
        try:
            values["state"] = LendState(values["state"])
            values["devices"] = {str(device): int(slots) for device, slots in json.loads(values["devices"]).items()}
            values["jobs"] = tuple(LendJob(job[0], BorrowerState(job[1]), job[2]) for job in jobs)
        except (ValueError, AttributeError, TypeError) as error:
            remedy = "restore a copy of queue.db, or move it away to start with an empty queue"
            raise DaemonError(f"queue.db: the row of lend {values['id']} is damaged: {error}; {remedy}") from error
        values["is_hot"] = bool(values["is_hot"])
        return Lend(**values)
