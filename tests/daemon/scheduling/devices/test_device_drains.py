"""Devices are named as people see them, and being drained outlives the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.devices.device_drains import DeviceDrains
from bertd.errors import UnknownDeviceError
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.tables.drained_devices import DrainedDevices

BOX = Inventory(cpu_slots=4, gpus=("GPU-aa11", "GPU-aa22", "GPU-bb33"), no_gpu_reason="")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "queue.db")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("name", "device"),
    [("0", "GPU-aa11"), ("2", "GPU-bb33"), ("GPU-b", "GPU-bb33"), ("GPU-aa22", "GPU-aa22"), ("cpu", "cpu")],
)
def test_a_device_is_found_by_number_uuid_or_its_beginning(database: Database, name: str, device: str) -> None:
    drained = DrainedDevices(database, EventLog(database))
    drains = DeviceDrains(drained, inventory=BOX)
    assert drains.set_drained(name, is_drained=True, asked_by="ada", now=1.0) == device
    assert drained.askers() == {device: "ada"}


@pytest.mark.parametrize("name", ["3", "-1", "GPU-", "GPU-aa", "GPU-cc", "", "\u0661", "CPU"])
def test_a_name_of_none_or_of_several_is_refused(database: Database, name: str) -> None:
    drained = DrainedDevices(database, EventLog(database))
    with pytest.raises(
        UnknownDeviceError, match="could be GPU-aa11 or GPU-aa22" if name == "GPU-aa" else "no such device"
    ):
        DeviceDrains(drained, inventory=BOX).set_drained(name, is_drained=True, asked_by="ada", now=1.0)
    assert not drained.askers()


def test_a_second_drain_changes_nothing_and_each_change_is_one_event(database: Database) -> None:
    events = EventLog(database)
    drained = DrainedDevices(database, events)
    for asked_by in ("ada", "bob"):
        drained.drain("cpu", asked_by=asked_by, now=1.0)
    assert drained.askers() == {"cpu": "ada"}
    for _ in range(2):
        drained.undrain("cpu", asked_by="bob", now=2.0)
    assert not drained.askers()
    texts = [event.text for event in events.since(0, limit=10)]
    assert texts == ["cpu: drained by ada; starts no more jobs", "cpu: in service again, by bob"]
