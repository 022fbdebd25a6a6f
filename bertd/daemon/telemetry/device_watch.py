"""Notice what goes wrong with GPUs: write an event, alert the jobs that have the card, and take out one that is lost.

A lost card stays out of service until a person runs `bertd undrain`, also when it answers again: nobody knows yet why
it was gone. What becomes of its jobs is decided by `on_lost`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bertd.daemon.scheduling.devices.inventory import Devices, LeftOut, health_text
from bertd.daemon.telemetry.gpu_sampler import GpuState, Health
from bertd.daemon.telemetry.job_alerts import JobAlerts
from bertd.daemon.telemetry.xid_errors import XidError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.tables.drained_devices import DrainedDevices
from bertd.records import Finding
from bertd.run.machine.checks.gpu_findings import memory_errors_finding, slowed_finding
from bertd.run.machine.nvml import harmful_slowdowns

LOST_AFTER_S = 60.0
"""A card whose driver hangs or fails for so long counts as lost."""
SLOWED_AFTER_S = 30.0
"""Clocks that are held down for so long are reported; shorter spells are usual."""
_FENCED_BY = "the daemon, because it was lost"


@dataclass
class _Seen:
    """What is known of one card."""

    is_lost: bool = False
    slowed_since_t: float | None = None
    not_slowed_since_t: float | None = None
    reported_slowdowns: tuple[str, ...] = ()
    memory_errors: int | None = None


class DeviceWatch:
    """Compares the cards with how they were at the last look."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        queue: Queue,
        devices: Devices,
        drained: DrainedDevices,
        alerts: JobAlerts,
        on_lost: Callable[[str, float], None] = lambda uuid, now: None,
    ) -> None:
        """`on_lost` gets the UUID of a card that was lost, and the time, in the transaction that takes it out."""
        self._database = database
        self._events = events
        self._queue = queue
        self._devices = devices
        self._drained = drained
        self._alerts = alerts
        self._on_lost = on_lost
        self._seen = {uuid: _Seen() for uuid in devices.inventory.gpus}
        self._left_out = list(devices.left_out)

    def advance(self, *, now: float) -> None:
        """Report what has changed since the last call.

        Raises:
            StorageError: the event log cannot be written; what was not reported is reported by the next call.
        """
        while self._left_out:
            self._report_left_out(self._left_out[0], now=now)
            del self._left_out[0]
        xids = self._devices.take_xids()
        for uuid, state in self._devices.states().items():
            seen = self._seen[uuid]
            is_lost = _is_lost(state, now=now) or any(
                xid.takes_out_of_service for device, xid in xids if device == uuid
            )
            for device, xid in xids:
                if device == uuid:
                    self._report_xid(uuid, xid, now=now)
            if is_lost and not seen.is_lost:
                self._report_lost(uuid, state, now=now)
            elif seen.is_lost and state.health is Health.OK and not is_lost:
                self._report_back(uuid, now=now)
            if state.health is Health.OK:
                self._look_at_clocks(uuid, state, now=now)
                self._look_at_memory(uuid, state, now=now)

    def _report_left_out(self, card: LeftOut, *, now: float) -> None:
        device = card.text.partition(" is ")[0]
        with self._database.transaction():
            self._append(device, f"{card.text}; {card.remedy}", now=now, state=card.state)

    def _report_lost(self, uuid: str, state: GpuState, *, now: float) -> None:
        why = health_text(state) or "out of service after its driver's error"
        text = f"{self._devices.label(uuid)}: {why}"
        remedy = f"reset it or restart the machine, then `bertd undrain {uuid}`"
        with self._database.transaction():
            self._append(uuid, f"{uuid}: lost, as its driver reports; {text}; {remedy}", now=now, state="lost")
            self._drained.drain(uuid, asked_by=_FENCED_BY, now=now)
            self._alerts.raise_for_holders(
                uuid, code="device_lost", message=f"{text}; {remedy}", is_error=True, now=now
            )
            self._on_lost(uuid, now)
        self._seen[uuid].is_lost = True

    def _report_back(self, uuid: str, *, now: float) -> None:
        text = f"{uuid}: the driver reports it as lost no more; `bertd undrain {uuid}` brings it into service"
        with self._database.transaction():
            self._append(uuid, text, now=now, state="back")
        self._seen[uuid].is_lost = False

    def _report_xid(self, uuid: str, xid: XidError, *, now: float) -> None:
        what = f"Xid {xid.number}: {xid.meaning}"
        text = f"{self._devices.label(uuid)}: {what}"
        with self._database.transaction():
            self._append(uuid, text, now=now, state="xid", xid=xid.number)
            self._alerts.raise_for_holders(uuid, code="xid", message=text, is_error=xid.takes_out_of_service, now=now)

    def _look_at_clocks(self, uuid: str, state: GpuState, *, now: float) -> None:
        assert state.reading is not None
        seen, reasons = self._seen[uuid], harmful_slowdowns(state.reading.slowed_by)
        if not reasons:
            seen.slowed_since_t = None
            seen.not_slowed_since_t = now if seen.not_slowed_since_t is None else seen.not_slowed_since_t
            if seen.reported_slowdowns and now - seen.not_slowed_since_t >= SLOWED_AFTER_S:
                with self._database.transaction():
                    text = f"{self._devices.label(uuid)}: its clocks are held down no more"
                    self._append(uuid, text, now=now, state="not slowed")
                seen.reported_slowdowns = ()
            return
        seen.not_slowed_since_t = None
        seen.slowed_since_t = now if seen.slowed_since_t is None else seen.slowed_since_t
        if not seen.reported_slowdowns and now - seen.slowed_since_t >= SLOWED_AFTER_S:
            finding = slowed_finding(self._devices.label(uuid), reasons)
            self._report_finding(uuid, finding, code="device_slowed", state="slowed", now=now)
            seen.reported_slowdowns = reasons

    def _look_at_memory(self, uuid: str, state: GpuState, *, now: float) -> None:
        assert state.reading is not None
        seen, errors = self._seen[uuid], state.reading.ecc_uncorrected
        if errors is not None and errors > (seen.memory_errors or 0):
            finding = memory_errors_finding(self._devices.label(uuid), errors)
            self._report_finding(uuid, finding, code="memory_errors", state="memory errors", now=now)
        seen.memory_errors = errors

    def _report_finding(self, uuid: str, finding: Finding, *, code: str, state: str, now: float) -> None:
        with self._database.transaction():
            self._append(uuid, finding.sentence, now=now, state=state)
            self._alerts.raise_for_holders(uuid, code=code, message=finding.sentence, is_error=False, now=now)

    def _append(self, device: str, text: str, *, now: float, state: str, **data: object) -> None:
        self._events.append(
            "device", text, now=now, job_id=None, run_id=None, data={"device": device, "state": state, **data}
        )


def _is_lost(state: GpuState, *, now: float) -> bool:
    if state.health is Health.LOST:
        return True
    return state.health is not Health.OK and state.since_t is not None and now - state.since_t >= LOST_AFTER_S
