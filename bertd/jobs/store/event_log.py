"""Events in the order of their commits: the rows that the event stream replays. Bounded."""

from __future__ import annotations

import json
import sqlite3

from bertd.api.models import EventView
from bertd.jobs.store.database import Database
from bertd.jobs.store.row_filters import ANY_EVENT, EventFilter
from bertd.terminal_text import terminal_line

MAX_EVENTS = 50_000
"""Rows kept; a stream that resumes from an older id gets the rows that are left."""
MAX_TEXT = 2_000
"""Characters of an event's line; longer ones are truncated."""
_TRIM_EVERY = 1_000


class EventLog:
    """Appends and reads rows of the events table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, type: str, text: str, *, now: float, job_id: int | None, run_id: str | None, data: dict[str, object]
    ) -> int:
        """Add one row within the caller's transaction and return its id."""
        line = terminal_line(text)[:MAX_TEXT]
        cursor = self._database.execute(
            "INSERT INTO events (t, type, job_id, run_id, text, data) VALUES (?, ?, ?, ?, ?, ?)",
            (now, type, job_id, run_id, line, json.dumps(data)),
        )
        assert cursor.lastrowid is not None
        if cursor.lastrowid % _TRIM_EVERY == 0:
            self._database.execute("DELETE FROM events WHERE id <= ?", (cursor.lastrowid - MAX_EVENTS,))
        return cursor.lastrowid

    def last_id(self) -> int:
        """Id of the newest event; 0 before the first."""
        row = self._database.execute("SELECT max(id) FROM events").fetchone()
        return int(row[0] or 0)

    def since(self, id: int, *, limit: int, where: EventFilter = ANY_EVENT) -> list[EventView]:
        """The `limit` oldest of these events after `id`, oldest first."""
        conditions, values = where.conditions()
        statement = f"SELECT * FROM events WHERE id > ?{conditions} ORDER BY id LIMIT ?"  # noqa: S608  # bound
        return [_view(row) for row in self._database.execute(statement, (id, *values, limit)).fetchall()]

    def page(self, *, before: int, limit: int, where: EventFilter = ANY_EVENT) -> list[EventView]:
        """The `limit` newest of these events with an id below `before`, newest first."""
        conditions, values = where.conditions()
        statement = f"SELECT * FROM events WHERE id < ?{conditions} ORDER BY id DESC LIMIT ?"  # noqa: S608  # bound
        return [_view(row) for row in self._database.execute(statement, (before, *values, limit)).fetchall()]

    def newest(self, count: int) -> list[EventView]:
        """The last `count` events, oldest first."""
        rows = self._database.execute("SELECT * FROM events ORDER BY id DESC LIMIT ?", (count,)).fetchall()
        return [_view(row) for row in reversed(rows)]


def _view(row: sqlite3.Row) -> EventView:
    try:
        data = json.loads(row["data"])
    except ValueError:
        # A flipped bit on the disk: the line of text can still be shown.
        data = {"damaged": row["data"]}
    return EventView(
        id=row["id"],
        t=row["t"],
        type=row["type"],
        job_id=row["job_id"],
        run_id=row["run_id"],
        text=row["text"],
        data=data,
    )
