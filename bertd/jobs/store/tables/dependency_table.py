"""Which job waits for which: a table beside the queue's. That no job waits for itself is up to the caller."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable

from bertd.jobs.store.database import Database
from bertd.records import Dependency, DependencyState, JobState


class DependencyTable:
    """Reads and changes dependencies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, job_id: int, dependencies: Iterable[Dependency]) -> None:
        """Make a job wait, within the caller's transaction."""
        for dependency in dependencies:
            self._database.execute(
                "INSERT INTO dependencies (job_id, on_job_id, condition, marker, state) VALUES (?, ?, ?, ?, ?)",
                (job_id, dependency.on_job_id, dependency.condition, dependency.marker, dependency.state),
            )

    def replace(self, job_id: int, dependencies: Iterable[Dependency]) -> None:
        """Replace all that a job waits for, within the caller's transaction."""
        self._database.execute("DELETE FROM dependencies WHERE job_id = ?", (job_id,))
        self.insert(job_id, dependencies)

    def of_job(self, job_id: int) -> list[Dependency]:
        """What a job waits for, or waited for."""
        rows = self._database.execute("SELECT * FROM dependencies WHERE job_id = ? ORDER BY on_job_id", (job_id,))
        return [_dependency(row) for row in rows.fetchall()]

    def of_queued(self) -> dict[int, list[Dependency]]:
        """Of each queued job that has any: what it waits for, without what a person has waived."""
        # CROSS keeps the order: few rows here, while thousands of jobs may be queued.
        rows = self._database.execute(
            "SELECT dependencies.* FROM dependencies CROSS JOIN jobs ON jobs.id = job_id"
            " WHERE jobs.state = ? AND dependencies.state != ? ORDER BY job_id, on_job_id",
            (JobState.QUEUED, DependencyState.WAIVED),
        )
        found: dict[int, list[Dependency]] = defaultdict(list)
        for row in rows.fetchall():
            found[row["job_id"]].append(_dependency(row))
        return dict(found)

    def mark_broken(self, job_id: int, *, on_job_ids: Iterable[int]) -> None:
        """Note that these can no longer be met, within the transaction that holds the job."""
        for on_job_id in on_job_ids:
            self._database.execute(
                "UPDATE dependencies SET state = ? WHERE job_id = ? AND on_job_id = ?",
                (DependencyState.BROKEN, job_id, on_job_id),
            )

    def waive_broken(self, job_id: int) -> None:
        """A person releases the job: what was broken when it was held counts no more."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE dependencies SET state = ? WHERE job_id = ? AND state = ?",
                (DependencyState.WAIVED, job_id, DependencyState.BROKEN),
            )


def _dependency(row: sqlite3.Row) -> Dependency:
    return Dependency.model_validate({key: row[key] for key in ("on_job_id", "condition", "marker", "state")})
