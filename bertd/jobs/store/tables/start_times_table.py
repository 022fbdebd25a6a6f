"""When jobs may start and run: a table beside the queue's, with a row for each job that has such a time."""

from __future__ import annotations

import sqlite3

from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import ENDED
from bertd.records import StartTimes


class StartTimesTable:
    """Reads and writes the times."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, job_id: int, times: StartTimes) -> None:
        """Note a job's times, within the transaction that makes it; nothing where it has none."""
        if times == StartTimes():
            return
        self._database.execute(
            "INSERT INTO start_times (job_id, begin_t, from_minute, until_minute) VALUES (?, ?, ?, ?)",
            (
                *(job_id, times.begin_t),
                *((None, None) if times.only is None else (times.only.from_minute, times.only.until_minute)),
            ),
        )

    def set_begin(self, job_id: int, begin_t: float) -> None:
        """Have a job wait until then, within the transaction that queues it again; its hours stay."""
        self._database.execute(
            "INSERT INTO start_times (job_id, begin_t) VALUES (?, ?)"
            " ON CONFLICT (job_id) DO UPDATE SET begin_t = excluded.begin_t",
            (job_id, begin_t),
        )

    def replace(self, job_id: int, times: StartTimes) -> None:
        """A person changes them, within the transaction that does it."""
        self._database.execute("DELETE FROM start_times WHERE job_id = ?", (job_id,))
        self.insert(job_id, times)

    def of_job(self, job_id: int) -> StartTimes:
        """A job's times."""
        row = self._database.execute("SELECT * FROM start_times WHERE job_id = ?", (job_id,)).fetchone()
        return StartTimes() if row is None else _times(row)

    def of_unended(self) -> dict[int, StartTimes]:
        """Of each job that is not over and has any."""
        rows = self._database.execute(
            "SELECT start_times.* FROM start_times CROSS JOIN jobs ON jobs.id = job_id"
            " WHERE jobs.state NOT IN (?, ?, ?, ?)",
            tuple(sorted(ENDED)),
        )
        return {row["job_id"]: _times(row) for row in rows.fetchall()}


def _times(row: sqlite3.Row) -> StartTimes:
    only = {key: row[key] for key in ("from_minute", "until_minute")}
    return StartTimes.model_validate({"begin_t": row["begin_t"], "only": None if only["from_minute"] is None else only})
