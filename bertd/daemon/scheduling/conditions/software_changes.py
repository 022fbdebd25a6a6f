"""What differs between the software that a job was queued with and that it would start with now.

A job runs with what is installed: there is no other. So a difference is named before the job starts, once: as an alert,
or, where the configuration says so, by holding the job until a person releases it.
"""

from __future__ import annotations

from collections.abc import Callable

from bertd.daemon.telemetry.job_alerts import JobAlerts
from bertd.errors import SoftwareChangedError
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Job
from bertd.jobs.store.tables.software_table import SoftwareTable
from bertd.run.machine.software import InstalledSoftware, describe_changes

ALERT_CODE = "software_changed"


class SoftwareChanges:
    """Compares jobs with what is installed."""

    def __init__(
        self,
        database: Database,
        *,
        installed: InstalledSoftware,
        alerts: JobAlerts,
        holds: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """`holds`: whether a job that would start with other software is held."""
        self._database = database
        self._table = SoftwareTable(database)
        self._installed = installed
        self._alerts = alerts
        self._holds = holds
        self._clock = clock

    def of_job(self, job: Job) -> list[str]:
        """Each difference as text; none for a job of which nothing was recorded."""
        before = self._table.of_job(job.id)
        return [] if before is None else describe_changes(before, self._installed.read())

    def check_at_start(self, job: Job) -> None:
        """Name the differences of a job that is about to start; from then on they are not news.

        Raises:
            SoftwareChangedError: there are some, and the job is to be held for them.
        """
        changes = self.of_job(job)
        if not changes:
            return
        text = f"it starts with other software than it was queued or last started with: {'; '.join(changes)}"
        with self._database.transaction():
            self._table.put(job.id, self._installed.read())
            if not self._holds():
                self._alerts.raise_for(job, code=ALERT_CODE, message=text, is_error=False, now=self._clock())
        if self._holds():
            raise SoftwareChangedError(text)
