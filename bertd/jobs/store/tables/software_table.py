"""The software that each job was queued with, or that its newest start has named: each content once."""

from __future__ import annotations

from pydantic import ValidationError

from bertd.jobs.store.database import Database
from bertd.records import Software


class SoftwareTable:
    """Reads and writes rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job_id: int) -> Software | None:
        """None for a job of an earlier version, which has none, and where the row is damaged."""
        row = self._database.execute(
            "SELECT content FROM software JOIN job_software USING (digest) WHERE job_id = ?", (job_id,)
        ).fetchone()
        try:
            return None if row is None else Software.model_validate_json(row["content"])
        except ValidationError:
            return None

    def put(self, job_id: int, software: Software) -> None:
        """Replace a job's, within the caller's transaction."""
        digest = software.digest
        self._database.execute(
            "INSERT OR IGNORE INTO software (digest, content) VALUES (?, ?)", (digest, software.model_dump_json())
        )
        self._database.execute("INSERT OR REPLACE INTO job_software (job_id, digest) VALUES (?, ?)", (job_id, digest))
