"""The sweeps and their settings: rows of the database. A setting has at most one job, which is set with the job's row.

Each change of a sweep's state writes a `sweep` event in the same transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from bertd.errors import DaemonError, QueueError, UnknownJobError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.records import SettingState, SweepSpec, SweepState

_MAX_ID_DIGITS = 18
"""Most digits of a sweep's number, so that SQLite can hold it."""


@dataclass(frozen=True)
class Sweep:
    """One row of the sweeps."""

    id: int
    state: SweepState
    reason: str
    spec: SweepSpec
    recipe_toml: str
    """The base recipe's text."""
    recipe_name: str
    priority: int
    owner_uid: int
    created_t: float
    ended_t: float | None = None
    winner: int | None = None
    """Number of the best setting."""
    group_name: str = ""
    """The group of its runs; empty for none."""

    @property
    def folder_name(self) -> str:
        return f"{self.id}-{self.spec.name}"


@dataclass(frozen=True)
class SettingRow:
    """One setting of a sweep."""

    sweep_id: int
    number: int
    state: SettingState
    reason: str = ""
    job_id: int | None = None
    """None until it is submitted."""
    rung: int = 0
    """Index of the rung that it is on its way to, or at; the number of rungs stands for the end."""
    losses: tuple[float, ...] = ()
    """Validation loss in nats at each rung that it reached."""


class SweepTable:
    """Reads and changes sweeps."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    def get(self, name: str) -> Sweep:
        """The sweep of a number or a name, or @: the newest.

        Raises:
            UnknownJobError: there is none.
        """
        if name == "@":
            rows = self._select("ORDER BY id DESC LIMIT 1")
        elif name.isascii() and name.isdecimal() and len(name) <= _MAX_ID_DIGITS:
            rows = self._select("WHERE id = ?", int(name))
        else:
            # Its folder's name, too, as a run has its run id.
            rows = self._select("WHERE name = ? OR id || '-' || name = ?", name, name)
        if not rows:
            raise UnknownJobError(f"{name}: no such sweep; `bertd sweeps` lists them")
        return rows[0]

    def all(self) -> list[Sweep]:
        """Every sweep, newest first."""
        return self._select("ORDER BY id DESC")

    def running(self) -> list[Sweep]:
        """Those that are not over, in the order they are served: highest priority, then oldest."""
        return self._select("WHERE state = ? ORDER BY priority DESC, id", SweepState.RUNNING)

    def settings(self, sweep_id: int) -> list[SettingRow]:
        """The settings of a sweep, by number."""
        rows = self._database.execute("SELECT * FROM sweep_settings WHERE sweep_id = ? ORDER BY number", (sweep_id,))
        return [_setting(row) for row in rows.fetchall()]

    def has_job(self, job_id: int) -> bool:
        """Whether a job trains a setting of a sweep that is running."""
        row = self._database.execute(
            "SELECT 1 FROM sweep_settings JOIN sweeps ON sweeps.id = sweep_id WHERE job_id = ? AND sweeps.state = ?",
            (job_id, SweepState.RUNNING),
        ).fetchone()
        return row is not None

    def insert(self, sweep: Sweep, *, num_settings: int) -> Sweep:
        """Add a sweep with all its settings, and give it its number.

        Raises:
            QueueError: another one has its name.
        """
        name = sweep.spec.name
        with self._database.transaction():
            if found := self._select("WHERE name = ?", name):
                raise QueueError(
                    f"{name}: sweep {found[0].id} has this name and is {found[0].state}; give another name"
                )
            cursor = self._database.execute(
                "INSERT INTO sweeps (name, state, reason, spec, recipe_toml, recipe_name, priority, owner_uid,"
                " created_t, group_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(name, sweep.state, sweep.reason, sweep.spec.model_dump_json(), sweep.recipe_toml),
                    *(sweep.recipe_name, sweep.priority, sweep.owner_uid, sweep.created_t, sweep.group_name),
                ),
            )
            assert cursor.lastrowid is not None
            for number in range(1, num_settings + 1):
                self._database.execute(
                    "INSERT INTO sweep_settings (sweep_id, number, state) VALUES (?, ?, ?)",
                    (cursor.lastrowid, number, SettingState.WAITING),
                )
            self._append_event(cursor.lastrowid, f"sweep {cursor.lastrowid} {name} has begun", now=sweep.created_t)
        return self.get(str(cursor.lastrowid))

    def set_reason(self, sweep: Sweep, reason: str) -> None:
        """Say what it waits for; no event."""
        if reason != sweep.reason:
            with self._database.transaction():
                self._database.execute("UPDATE sweeps SET reason = ? WHERE id = ?", (reason, sweep.id))

    def end(self, sweep: Sweep, state: SweepState, *, reason: str, winner: int | None = None, now: float) -> None:
        """Move a sweep to its last state."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE sweeps SET state = ?, reason = ?, winner = ?, ended_t = ? WHERE id = ?",
                (state, reason, winner, now, sweep.id),
            )
            self._append_event(sweep.id, f"sweep {sweep.id} {sweep.spec.name} is {state}: {reason}", now=now)

    def update(self, rows: Iterable[SettingRow]) -> None:
        """Replace settings, all in one transaction."""
        with self._database.transaction():
            for row in rows:
                self._database.execute(
                    "UPDATE sweep_settings SET state = ?, reason = ?, job_id = ?, rung = ?, losses = ?"
                    " WHERE sweep_id = ? AND number = ?",
                    (
                        *(row.state, row.reason, row.job_id, row.rung, json.dumps(row.losses)),
                        *(row.sweep_id, row.number),
                    ),
                )

    def _append_event(self, sweep_id: int, text: str, *, now: float) -> None:
        self._events.append("sweep", text, now=now, job_id=None, run_id=None, data={"sweep_id": sweep_id})

    def _select(self, where: str, *parameters: object) -> list[Sweep]:
        # The clause is one of the fixed texts above.
        rows = self._database.execute(f"SELECT * FROM sweeps {where}", parameters)  # noqa: S608
        return [_sweep(row) for row in rows.fetchall()]


def _sweep(row: sqlite3.Row) -> Sweep:
    values = dict(row)
    del values["name"]
    try:
        values["state"] = SweepState(values["state"])
        values["spec"] = SweepSpec.model_validate_json(values["spec"])
    except ValueError as error:
        raise _damage(f"sweep {values['id']}", error) from error
    return Sweep(**values)


def _setting(row: sqlite3.Row) -> SettingRow:
    values = dict(row)
    try:
        values["state"] = SettingState(values["state"])
        values["losses"] = tuple(float(loss) for loss in json.loads(values["losses"]))
    except (TypeError, ValueError) as error:
        raise _damage(f"setting {values['number']} of sweep {values['sweep_id']}", error) from error
    return SettingRow(**values)


def _damage(what: str, error: Exception) -> DaemonError:
    remedy = "restore a copy of queue.db, or move it away to start with an empty queue"
    return DaemonError(f"queue.db: the row of {what} is damaged: {error}; {remedy}")
