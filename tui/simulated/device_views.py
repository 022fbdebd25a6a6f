"""The simulated machine's GPUs: readings at any second, their last minute, their processes."""

from __future__ import annotations

from bertd.api.models import DeviceProcess, DeviceView, EventView
from bertd.records import GpuReading, JobState, PauseKind
from tui.device_history import HISTORY_S, DeviceHistory, DeviceSample
from tui.simulated import curves
from tui.simulated.box import JOB_ID, SimulatedBox

NUM_DEVICES = 8
_GIB = 1 << 30
_MEMORY_BYTES = 12 * _GIB
_SAMPLE_S = 2
_POWER_LIMIT_W = 250.0
_BUSY = (JobState.RUNNING, JobState.PAUSING, JobState.STOPPING)
_FIRST_PID = 4100


def device(box: SimulatedBox, index: int) -> DeviceView:
    """One GPU: busy, or idle while the run is paused."""
    finetune = box.running_finetune if index == 0 else None
    owner = JOB_ID if box.has_devices else finetune.id if finetune is not None else None
    now = _sample(box, index, int(box.now - box.epoch), is_busy=_is_busy(box, index))
    used = int((now.memory or 0.0) * _MEMORY_BYTES)
    return DeviceView(
        id=f"GPU-{index}",
        kind="gpu",
        name="NVIDIA TITAN V",
        utilization=now.utilization,
        memory_used_bytes=used,
        memory_total_bytes=_MEMORY_BYTES,
        temperature_c=now.temperature_c,
        power_w=now.power_w,
        job_id=owner,
        drained_by=box.drained.get(f"GPU-{index}"),
        gpu=_reading(box, index, now, used),
        processes=[_process(index, owner, used)] if owner is not None and used > _GIB else [],
    )


def history(box: SimulatedBox) -> DeviceHistory:
    """The last minute of every GPU."""
    second = int(box.now - box.epoch) // _SAMPLE_S * _SAMPLE_S
    times = range(second - int(HISTORY_S), second + 1, _SAMPLE_S)
    changed = box.changed_t - box.epoch
    return DeviceHistory(
        {
            f"GPU-{index}": tuple(
                _sample(box, index, at, is_busy=_is_busy(box, index) if at >= changed else _was_busy(box))
                for at in times
            )
            for index in range(NUM_DEVICES)
        }
    )


def events(box: SimulatedBox) -> list[EventView]:
    """What was noticed of the GPUs, newest first."""
    return [event for event in reversed(box.events) if event.type == "device"]


def _is_busy(box: SimulatedBox, index: int) -> bool:
    return box.state in _BUSY or (index == 0 and box.running_finetune is not None)


def _was_busy(box: SimulatedBox) -> bool:
    """Before the newest change of state: a run that trains has started from idle cards, unless it always has."""
    return box.changed_t <= box.epoch or box.state in (
        JobState.PAUSED,
        JobState.PAUSING,
        JobState.STOPPING,
        JobState.DONE,
    )


def _sample(box: SimulatedBox, index: int, second: int, *, is_busy: bool) -> DeviceSample:
    jitter = curves.noise("device", index, second)
    has_memory = is_busy or box.pause is PauseKind.HOT
    heat = 74 + 5 * curves.noise("heat", index) + curves.noise("warm", index, second // 20)
    return DeviceSample(
        t=box.epoch + second,
        utilization=0.965 + 0.025 * jitter if is_busy else 0.0,
        memory=(10.6 + 0.1 * curves.noise("memory", index) if has_memory else 0.4) / 12,
        power_w=round(228 + 12 * curves.noise("power", index) + 6 * jitter) if is_busy else 27.0,
        temperature_c=round(heat) if is_busy else 41.0,
    )


def _reading(box: SimulatedBox, index: int, now: DeviceSample, used: int) -> GpuReading:
    is_busy = bool(now.utilization)
    return GpuReading(
        utilization=now.utilization,
        memory_used_bytes=used,
        memory_total_bytes=_MEMORY_BYTES,
        power_w=now.power_w,
        power_limit_w=_POWER_LIMIT_W,
        temperature_c=now.temperature_c,
        sm_mhz=1335.0 + 15 * index if is_busy else 139.0,
        sm_max_mhz=1912.0,
        slowed_by=("SwPowerCap",) if (now.power_w or 0.0) > 0.95 * _POWER_LIMIT_W else (),
        ecc_corrected=2 if index == 3 else 0,
        ecc_uncorrected=0,
        pcie_generation=3,
        pcie_width=8 if index == 6 else 16,
        pcie_max_width=16,
        pcie_replays=41 if index == 6 else 0,
        energy_j=round(228 * (box.charged_s + 40_000 * (index + 1))),
    )


def _process(index: int, owner: int, used: int) -> DeviceProcess:
    return DeviceProcess(pid=_FIRST_PID + index, user="ada", name="python", memory_bytes=used, job_id=owner)
