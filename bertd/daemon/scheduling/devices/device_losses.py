"""Write an event for each GPU that is lost, and for one that is back. Nothing is decided here about its jobs."""

from __future__ import annotations

from collections.abc import Callable, Set

from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog


class DeviceLosses:
    """Compares what is lost now with what was lost before."""

    def __init__(self, database: Database, events: EventLog, *, lost: Callable[[], Set[str]]) -> None:
        """`lost`: ids of the devices that are lost now. One that is lost at the daemon's start is reported, too."""
        self._database = database
        self._events = events
        self._lost = lost
        self._reported: Set[str] = frozenset()

    def report(self, *, now: float) -> None:
        """Write what has changed since the last call.

        Raises:
            StorageError: the event log cannot be written; the next call tries again.
        """
        lost = self._lost()
        if lost == self._reported:
            return
        with self._database.transaction():
            for device in sorted(lost - self._reported):
                remedy = "drain it, and restart the machine or reset the GPU"
                self._append(device, "lost", f"{device}: lost, as its driver reports; {remedy}", now=now)
            for device in sorted(self._reported - lost):
                self._append(device, "back", f"{device}: the driver reports it as lost no more", now=now)
        self._reported = frozenset(lost)

    def _append(self, device: str, state: str, text: str, *, now: float) -> None:
        data: dict[str, object] = {"device": device, "state": state}
        self._events.append("device", text, now=now, job_id=None, run_id=None, data=data)
