"""All that is known of one device: its service, jobs, processes, clocks, errors, links, energy and last minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertd.run.machine.nvml import harmful_slowdowns
from tui.device_history import HISTORY_S
from tui.display_options import DisplayOptions
from tui.drawing.formatting import clock_near, gibibytes
from tui.drawing.lines import Line, Role, cell, heading, line, wrap_words
from tui.panels.device_rows import device_name, device_state, holder_names, spark
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import DeviceProcess, DeviceView, EventView
    from bertd.records import GpuReading

_LABEL_WIDTH = 10
_MAX_EVENTS = 3
"""Of the device, newest first."""
_J_PER_KWH = 3.6e6
_MAX_CELLS = 30
"""Of a history: two seconds each, so that none of them is empty."""
_HOT_C = 100.0
"""Degrees that fill a cell of the history."""

Fact = tuple[str, str, Role]
"""Label, text, and how it is drawn."""


def draw(
    snapshot: Snapshot, events: Sequence[EventView], options: DisplayOptions, width: int, *, device_id: str | None
) -> list[Line]:
    """The device in full; `events` are those of all devices, newest first."""
    devices = snapshot.status.devices if snapshot.status else []
    number = next((number for number, each in enumerate(devices) if each.id == device_id), None)
    if number is None or snapshot.status is None:
        return []
    device = devices[number]
    name = "CPU" if device.kind == "cpu" else f"GPU {device_name(device, number)}"
    title = heading(name, line((f"{device.name}  {device.id}", Role.MUTED)), width=width, rule=options.glyphs.rule)
    facts: list[Fact] = [
        ("state", *_service(device)),
        ("jobs", holder_names(device, snapshot.status.jobs) or "none", Role.TEXT),
        *_process_facts(device),
        *([] if device.gpu is None else _gpu_facts(device.gpu)),
        *_event_facts(events, device.id, now=snapshot.now),
    ]
    rows = [row for label, text, role in facts for row in _wrapped(label, text, role, width)]
    return [title, *rows, *_minute(device, snapshot, options, width)]


def _service(device: DeviceView) -> tuple[str, Role]:
    """Whether it starts jobs, and why not."""
    state, role = device_state(device)
    if device.health != "ok":
        return f"{state}: {device.health_text}", role
    if device.drained_by is not None:
        return f"drained by {device.drained_by}: it starts no more jobs; D brings it back", role
    return f"{state}, in service", role


def _process_facts(device: DeviceView) -> list[Fact]:
    if not device.processes and not device.foreign_processes:
        return []
    foreign = {process.pid for process in device.foreign_processes}
    known = {process.pid for process in device.processes}
    processes = [*device.processes, *(each for each in device.foreign_processes if each.pid not in known)]
    return [
        ("processes" if number == 0 else "", _process_text(each), Role.WAITING if each.pid in foreign else Role.TEXT)
        for number, each in enumerate(processes)
    ]


def _process_text(process: DeviceProcess) -> str:
    memory = "" if process.memory_bytes is None else f", {gibibytes(process.memory_bytes)} GiB"
    owner = f"job {process.job_id}" if process.job_id is not None else "not of bertd"
    return f"{process.pid} {process.name} of {process.user}{memory}, {owner}"


def _gpu_facts(gpu: GpuReading) -> list[Fact]:
    return [
        ("clocks", *_clocks(gpu)),
        ("errors", *_errors(gpu)),
        *([("links", text, Role.TEXT)] if (text := _links(gpu)) else []),
        *(
            [("energy", f"{gpu.energy_j / _J_PER_KWH:.2f} kWh since the driver was loaded", Role.TEXT)]
            if gpu.energy_j is not None
            else []
        ),
    ]


def _clocks(gpu: GpuReading) -> tuple[str, Role]:
    speed = "not known" if gpu.sm_mhz is None else f"{gpu.sm_mhz:,.0f} MHz"
    if gpu.sm_mhz is not None and gpu.sm_max_mhz is not None:
        speed = f"{gpu.sm_mhz:,.0f} of {gpu.sm_max_mhz:,.0f} MHz"
    harmful = harmful_slowdowns(gpu.slowed_by)
    if harmful:
        return f"{speed}, held down: {', '.join(harmful)}", Role.WAITING
    return (f"{speed}, at its power limit" if gpu.slowed_by else f"{speed}, not held down"), Role.TEXT


def _errors(gpu: GpuReading) -> tuple[str, Role]:
    """Memory errors since the driver was loaded."""
    if gpu.ecc_uncorrected is None:
        return "memory errors are not counted by this card", Role.MUTED
    corrected = "" if gpu.ecc_corrected is None else f", {gpu.ecc_corrected:,} corrected"
    role = Role.BAD if gpu.ecc_uncorrected else Role.TEXT
    return f"memory: {gpu.ecc_uncorrected:,} not corrected{corrected}", role


def _links(gpu: GpuReading) -> str:
    parts = []
    if gpu.pcie_generation is not None and gpu.pcie_width is not None:
        most = f" of {gpu.pcie_max_width}" if gpu.pcie_max_width not in (None, gpu.pcie_width) else ""
        parts.append(f"PCIe {gpu.pcie_generation} with {gpu.pcie_width}{most} lanes")
    if gpu.pcie_replays is not None:
        parts.append(f"{gpu.pcie_replays:,} packets sent again")
    if gpu.nvlink_errors is not None:
        parts.append(f"NVLink: {gpu.nvlink_errors:,} errors")
    return ", ".join(parts)


def _event_facts(events: Sequence[EventView], device_id: str, *, now: float) -> list[Fact]:
    found = [event for event in events if event.data.get("device") == device_id][:_MAX_EVENTS]
    return [
        ("noticed" if number == 0 else "", f"{clock_near(event.t, now=now)} {event.text}", Role.TEXT)
        for number, event in enumerate(found)
    ]


def _wrapped(label: str, text: str, role: Role, width: int) -> list[Line]:
    rows = wrap_words(text, max(20, width - _LABEL_WIDTH))
    return [
        line(cell(label if number == 0 else "", _LABEL_WIDTH, Role.MUTED), (row, role))
        for number, row in enumerate(rows)
    ]


def _minute(device: DeviceView, snapshot: Snapshot, options: DisplayOptions, width: int) -> list[Line]:
    """A line for each reading of which there is a history."""
    samples = snapshot.device_history.of(device.id)
    cells = max(10, min(_MAX_CELLS, width - _LABEL_WIDTH - 22))
    power = [one.power_w for one in samples if one.power_w is not None]
    limit_w = device.gpu.power_limit_w if device.gpu is not None else None
    rows = [
        ("load", "utilization", 1.0, _percent_text(device.utilization)),
        ("memory", "memory", 1.0, _memory_text(device)),
        ("power", "power_w", limit_w or max(power, default=1.0), _power_text(device.power_w, limit_w)),
        ("heat", "temperature_c", _HOT_C, _heat_text(device.temperature_c, options)),
    ]
    return [
        line(
            cell(label, _LABEL_WIDTH, Role.MUTED),
            (spark(samples, column, now=snapshot.now, width=cells, options=options, full=full), Role.BAR),
            f"  {text}",
            (f", the last {HISTORY_S:.0f} s" if number == 0 else "", Role.MUTED),
        )
        for number, (label, column, full, text) in enumerate(row for row in rows if row[3])
    ]


def _percent_text(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _memory_text(device: DeviceView) -> str:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    return "" if used is None or total is None else f"{gibibytes(used)} of {gibibytes(total)} GiB"


def _power_text(power_w: float | None, limit_w: float | None) -> str:
    if power_w is None:
        return ""
    return f"{power_w:.0f} W" if limit_w is None else f"{power_w:.0f} of {limit_w:.0f} W"


def _heat_text(heat_c: float | None, options: DisplayOptions) -> str:
    return "" if heat_c is None else f"{heat_c:.0f} {options.glyphs.celsius}"
