"""Devices, a row each: the last minute of its load, its readings, and who has it or why it starts no jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.run.machine.nvml import harmful_slowdowns
from tui.device_history import HISTORY_S, DeviceSample
from tui.display_options import DisplayOptions
from tui.drawing.formatting import gibibytes
from tui.drawing.lines import Line, Role, Span, cell, heading, line
from tui.drawing.sparkline import draw_sparkline
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import DeviceView, JobView

_SPARK_CELLS = 20
"""Most cells of a row's history: three seconds each."""
_WIDE = 100
"""From this width power and its history are shown."""


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    """A heading and a row for each device."""
    devices = snapshot.status.devices if snapshot.status else []
    title = heading("Devices", line((_summary(devices), Role.MUTED)), width=width, rule=options.glyphs.rule)
    if not devices:
        return [title, line(("none" if snapshot.status is not None else "not known yet", Role.MUTED))]
    jobs = snapshot.status.jobs if snapshot.status else []
    return [title, *(_row(each, number, jobs, snapshot, options, width) for number, each in enumerate(devices))]


def device_ids(snapshot: Snapshot) -> list[str]:
    """The devices in the order of the rows."""
    return [device.id for device in snapshot.status.devices] if snapshot.status else []


def device_name(device: DeviceView, number: int) -> str:
    """As people name it: by its number, or cpu."""
    return "cpu" if device.kind == "cpu" else str(number)


def device_state(device: DeviceView) -> tuple[str, Role]:
    """One or two words, and the role that colours them in addition."""
    if device.health != "ok":
        return device.health.replace("_", " "), Role.BAD
    if device.drained_by is not None:
        return "drained", Role.WAITING
    if device.gpu is not None and harmful_slowdowns(device.gpu.slowed_by):
        return "slowed", Role.WAITING
    if device.gpu is not None and device.gpu.ecc_uncorrected:
        return "memory errors", Role.BAD
    if holders_of(device):
        return "busy", Role.GOOD
    return ("foreign use", Role.WAITING) if device.foreign_processes else ("free", Role.MUTED)


def holders_of(device: DeviceView) -> list[int]:
    """The jobs that have the device; a daemon of an earlier version names one."""
    return device.job_ids or ([] if device.job_id is None else [device.job_id])


def holder_names(device: DeviceView, jobs: list[JobView]) -> str:
    """The jobs that have the device, by number and name."""
    names = {job.id: job.name for job in jobs}
    return ", ".join(f"#{job_id} {names.get(job_id, '')}".rstrip() for job_id in holders_of(device))


def spark(
    samples: tuple[DeviceSample, ...], column: str, *, now: float, width: int, options: DisplayOptions, full: float = 1
) -> str:
    """The history of one reading; `full` is the value that fills a cell."""
    values = [(one.t, None if getattr(one, column) is None else getattr(one, column) / full) for one in samples]
    return draw_sparkline(values, now=now, span_s=HISTORY_S, width=width, glyphs=options.glyphs)


def _summary(devices: list[DeviceView]) -> str:
    """What is not as it should be, else how many are free."""
    out = [state for state, role in map(device_state, devices) if state not in ("busy", "free")]
    parts = [f"{out.count(state)} {state}" for state in dict.fromkeys(out)]
    num_free = sum(device_state(device)[0] == "free" for device in devices)
    return ", ".join([*parts, f"{num_free} free of {len(devices)}"]) if devices else ""


def _row(
    device: DeviceView, number: int, jobs: list[JobView], snapshot: Snapshot, options: DisplayOptions, width: int
) -> Line:
    state, role = device_state(device)
    dash = options.glyphs.dash
    samples, now = snapshot.device_history.of(device.id), snapshot.now
    cells = max(6, min(_SPARK_CELLS, width - 44))
    used = dash if device.memory_used_bytes is None else f"{gibibytes(device.memory_used_bytes)} GiB"
    heat = dash if device.temperature_c is None else f"{device.temperature_c:.0f} {options.glyphs.celsius}"
    spans: list[Span] = [
        cell(device_name(device, number), 4, Role.STRONG),
        Span(spark(samples, "utilization", now=now, width=cells, options=options), Role.BAR),
        cell(dash if device.utilization is None else f"{100 * device.utilization:.0f} %", 6, Role.STRONG, right=True),
        cell(used, 11, right=True),
        cell(heat, 6, right=True),
    ]
    if width >= _WIDE:
        limit_w = (device.gpu.power_limit_w if device.gpu is not None else None) or max(
            (one.power_w or 0.0 for one in samples), default=0.0
        )
        curve = spark(samples, "power_w", now=now, width=12, options=options, full=limit_w or 1.0)
        spans += [
            Span("  "),
            Span(curve, Role.TRAIN),
            cell(dash if device.power_w is None else f"{device.power_w:.0f} W", 7, right=True),
        ]
    spans += [Span("  "), cell(state, 11 if width >= _WIDE else max(6, len(state)), role), Span(" ")]
    spans.append(Span(holder_names(device, jobs) if width >= _WIDE else _numbers(device), Role.MUTED))
    return Line(tuple(spans)).fit(width)


def _numbers(device: DeviceView) -> str:
    return " ".join(f"#{job_id}" for job_id in holders_of(device))
