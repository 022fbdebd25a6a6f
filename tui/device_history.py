"""The last minute of each device: what the ticks said of it, about once a second. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertd.api.models import DeviceView


HISTORY_S = 60.0


@dataclass(frozen=True)
class DeviceSample:
    """One device at one time; None for what it does not say."""

    t: float
    utilization: float | None
    """0..1."""
    memory: float | None
    """Share of its memory that is used, 0..1."""
    power_w: float | None
    temperature_c: float | None


@dataclass(frozen=True)
class DeviceHistory:
    """Samples by device id, oldest first."""

    samples: Mapping[str, tuple[DeviceSample, ...]] = field(default_factory=dict)

    def of(self, device_id: str) -> tuple[DeviceSample, ...]:
        """The samples of a device; none of one that was not there."""
        return self.samples.get(device_id, ())


def add_sample(history: DeviceHistory, devices: Sequence[DeviceView], *, t: float) -> DeviceHistory:
    """The history with the devices as they are at `t`, without what is older than HISTORY_S before it."""
    return DeviceHistory({device.id: (*_recent(history.of(device.id), t), sample(device, t=t)) for device in devices})


def sample(device: DeviceView, *, t: float) -> DeviceSample:
    """What a device says at `t`."""
    used, total = device.memory_used_bytes, device.memory_total_bytes
    return DeviceSample(
        t=t,
        utilization=device.utilization,
        memory=used / total if used is not None and total else None,
        power_w=device.power_w,
        temperature_c=device.temperature_c,
    )


def _recent(samples: Sequence[DeviceSample], t: float) -> tuple[DeviceSample, ...]:
    # A clock that was set back leaves samples of the future, which would never get too old.
    return tuple(one for one in samples if t - HISTORY_S <= one.t < t)
