"""Events and alerts of cards that go wrong, each once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from bertd.daemon.hooks.hook_events import HookEvent, hook_event
from bertd.daemon.scheduling.devices.inventory import Devices
from bertd.daemon.telemetry.device_watch import LOST_AFTER_S, SLOWED_AFTER_S, DeviceWatch
from bertd.daemon.telemetry.job_alerts import JobAlerts
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.tables.drained_devices import DrainedDevices
from bertd.run.machine.stand_in_nvml import Card, StandInNvml


class Box:
    """Eight cards and all that watches them."""

    def __init__(self, folder: Path) -> None:
        self.clock = SimpleNamespace(now_s=0.0)
        self.nvml = StandInNvml(lambda: self.clock.now_s)
        self.database = Database(folder / "queue.db")
        self.events = EventLog(self.database)
        self.drained = DrainedDevices(self.database, self.events)
        queue = Queue(self.database, self.events)
        self.devices = Devices(self.nvml, {}, disk=folder)
        self.lost: list[str] = []
        self.watch = DeviceWatch(
            self.database,
            self.events,
            queue=queue,
            devices=self.devices,
            drained=self.drained,
            alerts=JobAlerts(queue, self.events, step_of=lambda job: 0),
            on_lost=lambda uuid, now: self.lost.append(uuid),
        )

    @property
    def card(self) -> Card:
        return self.nvml.cards[4]

    def advance(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.devices.sample()
        self.watch.advance(now=self.clock.now_s)

    def states(self) -> list[object]:
        return [event.data["state"] for event in self.events.newest(20) if "state" in event.data]

    def texts(self) -> list[str]:
        return [event.text for event in self.events.newest(20)]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_card_that_falls_off_the_bus_is_lost_once_and_stays_out_of_service(box: Box) -> None:
    box.card.lost_at_s = 5.0
    for _ in range(3):
        box.advance(2.0)
    # Its driver's own error, and then the loss.
    assert box.states() == ["xid", "lost"]
    assert box.lost == [box.card.uuid]
    assert box.drained.askers() == {box.card.uuid: "the daemon, because it was lost"}
    (lost,) = [event for event in box.events.newest(9) if hook_event(event) is HookEvent.DEVICE_LOST]
    assert lost.data["device"] == box.card.uuid
    box.card.lost_at_s = 1e9
    box.advance(1.0)
    box.advance(1.0)
    assert box.states() == ["xid", "lost", "back"]
    assert box.card.uuid in box.drained.askers()


def test_a_driver_that_fails_for_long_loses_its_card(box: Box) -> None:
    box.card.error = (999, "Unknown Error")
    box.advance(1.0)
    assert box.states() == []
    assert box.card.uuid in box.devices.unusable()
    since_t = box.devices.states()[box.card.uuid].since_t
    assert since_t is not None
    box.watch.advance(now=since_t + LOST_AFTER_S)
    assert box.states() == ["lost"]


def test_clocks_that_are_held_down_are_reported_once_in_the_words_of_the_doctor(box: Box) -> None:
    box.card.throttles_from_s = 0.0
    box.advance(1.0)
    assert box.texts() == []
    box.advance(SLOWED_AFTER_S)
    box.advance(SLOWED_AFTER_S)
    assert box.texts() == [
        "GPU 4 (NVIDIA TITAN V): its clocks are held down: HwThermalSlowdown; every step takes longer, and the other "
        "GPUs wait for it; check fans, inlet temperature and power supply; nvidia-smi -q -d PERFORMANCE says more"
    ]
    box.card.throttles_from_s = 1e9
    box.advance(1.0)
    box.advance(SLOWED_AFTER_S)
    assert box.states() == ["slowed", "not slowed"]


def test_each_new_memory_error_is_reported(box: Box) -> None:
    box.card.ecc_from_s = 0.0
    for seconds in (1.0, 1.0, 60.0):
        box.advance(seconds)
    assert box.states() == ["xid", "memory errors", "memory errors"]
    assert "2 memory errors not corrected" in box.texts()[-1]
    assert box.drained.askers() == {}
