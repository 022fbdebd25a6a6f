"""The devices that people have taken out of service: they start no job, and those that run on them end as usual."""

from __future__ import annotations

from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog


class DrainedDevices:
    """Reads and changes them; each change is an event."""

    def __init__(self, database: Database, events: EventLog) -> None:
        self._database = database
        self._events = events

    def askers(self) -> dict[str, str]:
        """Each drained device with who drained it."""
        rows = self._database.execute("SELECT device, asked_by FROM drained_devices ORDER BY device").fetchall()
        return {row["device"]: row["asked_by"] for row in rows}

    def drain(self, device: str, *, asked_by: str, now: float) -> None:
        """Start no more jobs on it; without effect on one that is drained."""
        with self._database.transaction():
            statement = "INSERT INTO drained_devices (device, t, asked_by) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            if self._database.execute(statement, (device, now, asked_by)).rowcount:
                self._append(device, f"{device}: drained by {asked_by}; starts no more jobs", now=now)

    def undrain(self, device: str, *, asked_by: str, now: float) -> None:
        """Start jobs on it again; without effect on one that is not drained."""
        with self._database.transaction():
            if self._database.execute("DELETE FROM drained_devices WHERE device = ?", (device,)).rowcount:
                self._append(device, f"{device}: in service again, by {asked_by}", now=now)

    def _append(self, device: str, text: str, *, now: float) -> None:
        self._events.append("device", text, now=now, job_id=None, run_id=None, data={"device": device})
