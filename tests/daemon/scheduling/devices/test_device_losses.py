"""A GPU that falls off the bus is one event, and one that is back another."""

from __future__ import annotations

from pathlib import Path

from bertd.daemon.scheduling.devices.device_losses import DeviceLosses
from bertd.daemon.scheduling.devices.inventory import Devices
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from tests.daemon.api.test_views import FakeNvml, FakeNvmlError


class FallingNvml(FakeNvml):
    """Two GPUs, of which some have an error at each query of their memory."""

    errors: dict[int, int] = {}

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> object:  # noqa: N802
        if handle in self.errors:
            error = FakeNvmlError("no answer")
            error.value = self.errors[handle]  # type: ignore[attr-defined]  # as pynvml's errors have
            raise error
        return super().nvmlDeviceGetMemoryInfo(handle)


def test_a_loss_and_a_return_are_one_event_each(tmp_path: Path) -> None:
    database = Database(tmp_path / "queue.db")
    events, nvml = EventLog(database), FallingNvml()
    devices = Devices(nvml, {})
    losses = DeviceLosses(database, events, lost=lambda: devices.lost)
    for errors in ({}, {1: 15}, {1: 15}, {0: 3}, {}):
        nvml.errors = errors
        devices.sample()
        losses.report(now=5.0)
    # 3: the query is not supported.
    assert [(event.type, event.data) for event in events.newest(10)] == [
        ("device", {"device": "GPU-1", "state": "lost"}),
        ("device", {"device": "GPU-1", "state": "back"}),
    ]
    database.close()
