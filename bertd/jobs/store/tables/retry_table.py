"""How often jobs that fail are begun again: a table beside the queue's, with a row for each job that has retries."""

from __future__ import annotations

from dataclasses import dataclass

from bertd.jobs.store.database import Database

FIRST_DELAY_S = 30.0
MAX_DELAY_S = 3600.0


@dataclass(frozen=True)
class Retries:
    """Of one job."""

    num_allowed: int = 0
    num_used: int = 0

    @property
    def has_more(self) -> bool:
        """Whether it is begun again if it fails."""
        return self.num_used < self.num_allowed

    @property
    def delay_s(self) -> float:
        """How long it waits before the next attempt: twice as long after each failure, up to MAX_DELAY_S."""
        return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.num_used, 20))


class RetryTable:
    """Reads and counts retries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, job_id: int, num_allowed: int) -> None:
        """Note a new job's retries, within the transaction that makes it; nothing where it has none."""
        if num_allowed:
            self._database.execute(
                "INSERT INTO retries (job_id, num_allowed, num_used) VALUES (?, ?, 0)", (job_id, num_allowed)
            )

    def of_job(self, job_id: int) -> Retries:
        """A job's retries."""
        row = self._database.execute("SELECT * FROM retries WHERE job_id = ?", (job_id,)).fetchone()
        return Retries() if row is None else Retries(row["num_allowed"], row["num_used"])

    def count(self, job_id: int) -> None:
        """One more is used, within the transaction that queues the job again."""
        self._database.execute("UPDATE retries SET num_used = num_used + 1 WHERE job_id = ?", (job_id,))

    def reset(self, job_id: int) -> None:
        """A person begins it again: it has all of them again; within the transaction that does it."""
        self._database.execute("UPDATE retries SET num_used = 0 WHERE job_id = ?", (job_id,))
