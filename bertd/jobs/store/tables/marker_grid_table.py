"""The grids of finetunings that runs ask for in their recipes: a row for each run and marker, since its submission."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from bertd.errors import DaemonError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.records import MarkerGridState


@dataclass(frozen=True)
class MarkerGrid:
    """One row."""

    run_job_id: int
    marker: float
    """Share of the budget; 1.0 is the run's end."""
    state: MarkerGridState
    reason: str
    """Why it waits or has no grid."""
    export: str | None
    """Name of the export that its grid is of."""
    grid_job_id: int | None


class MarkerGridTable:
    """Reads and changes the rows."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    def insert(self, run_job_id: int, markers: Iterable[float]) -> None:
        """Add the rows of a new run, within the caller's transaction."""
        for marker in markers:
            self._database.execute(
                "INSERT INTO marker_grids (run_job_id, marker, state) VALUES (?, ?, ?)",
                (run_job_id, marker, MarkerGridState.WAITING),
            )

    def waiting(self) -> list[MarkerGrid]:
        """Those without a grid, by run and marker."""
        rows = self._database.execute(
            "SELECT * FROM marker_grids WHERE state = ? ORDER BY run_job_id, marker", (MarkerGridState.WAITING,)
        )
        return [_row(row) for row in rows.fetchall()]

    def of_run(self, run_job_id: int) -> list[MarkerGrid]:
        """All of a run, by marker."""
        rows = self._database.execute("SELECT * FROM marker_grids WHERE run_job_id = ? ORDER BY marker", (run_job_id,))
        return [_row(row) for row in rows.fetchall()]

    def set_reason(self, row: MarkerGrid, reason: str) -> None:
        """Say why it waits."""
        if reason != row.reason:
            self._change(row, "reason = ?", reason)

    def skip(self, row: MarkerGrid, reason: str, *, run_id: str, now: float) -> None:
        """It gets no grid."""
        with self._database.transaction():
            self._change(row, "state = ?, reason = ?", MarkerGridState.SKIPPED, reason)
            self._append_event(row, f"no grid of marker {row.marker:g}: {reason}", run_id=run_id, now=now)

    def set_queued(self, row: MarkerGrid, *, export: str, grid_job_id: int, run_id: str, now: float) -> None:
        """Its grid is in the queue, in the caller's transaction."""
        with self._database.transaction():
            self._change(
                row,
                "state = ?, reason = '', export = ?, grid_job_id = ?",
                *(MarkerGridState.QUEUED, export, grid_job_id),
            )
            text = f"grid {grid_job_id} finetunes {export}, the export of marker {row.marker:g}"
            self._append_event(row, text, run_id=run_id, now=now)

    def _change(self, row: MarkerGrid, assignments: str, *values: object) -> None:
        with self._database.transaction():
            # The assignments are one of the fixed texts above.
            self._database.execute(
                f"UPDATE marker_grids SET {assignments} WHERE run_job_id = ? AND marker = ?",  # noqa: S608
                (*values, row.run_job_id, row.marker),
            )

    def _append_event(self, row: MarkerGrid, text: str, *, run_id: str, now: float) -> None:
        self._events.append("grid", text, now=now, job_id=row.run_job_id, run_id=run_id, data={"marker": row.marker})


def _row(row: sqlite3.Row) -> MarkerGrid:
    values = dict(row)
    try:
        values["state"] = MarkerGridState(values["state"])
    except ValueError as error:
        what = f"marker {values['marker']} of job {values['run_job_id']}"
        remedy = "restore a copy of queue.db, or move it away to start with an empty queue"
        raise DaemonError(f"queue.db: the row of {what} is damaged: {error}; {remedy}") from error
    return MarkerGrid(**values)
