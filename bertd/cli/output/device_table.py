"""Devices as text: a row for each, and who else uses a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertd.cli.output.tables import OutputStyle, format_table
from bertd.run.amounts.quantities import format_bytes, format_count
from bertd.run.machine.nvml import harmful_slowdowns
from bertd.terminal_text import terminal_line

if TYPE_CHECKING:
    from bertd.api.models import DeviceProcess, DeviceView, MachineView

_ID_LENGTH = 12
"""Characters of a UUID that tell the GPUs of a machine apart."""


def device_table(devices: Sequence[DeviceView], *, style: OutputStyle) -> str:
    """One line per GPU, with the number by which people name it, or for the CPU."""
    header = ["DEVICE", "LOAD", "MEMORY", "TEMPERATURE", "POWER", "JOB", "NAME"]
    dash = style.dash
    rows = [
        [
            device.id if device.kind == "cpu" else f"{number} {device.id[:_ID_LENGTH]}",
            dash if device.utilization is None else f"{device.utilization:.0%}",
            _memory_text(device, dash=dash),
            dash if device.temperature_c is None else f"{device.temperature_c:.0f} C",
            _power_text(device, dash=dash),
            _holders_text(device) or dash,
            device.name,
        ]
        for number, device in enumerate(devices)
    ]
    return format_table(header, rows, right={1, 2, 3, 4, 5}, style=style, shrink={5: 8}, drop=(4, 3))


def health_lines(devices: Sequence[DeviceView]) -> list[str]:
    """A line for each GPU that does no work, or slower than it could, or whose memory has errors."""
    lines = []
    for number, device in enumerate(devices):
        name = f"{number} {device.id[:_ID_LENGTH]}"
        if device.health != "ok":
            lines.append(f"{name} is {device.health_text}")
        if device.gpu is None:
            continue
        if reasons := harmful_slowdowns(device.gpu.slowed_by):
            lines.append(f"{name}: its clocks are held down: {', '.join(reasons)}")
        if device.gpu.ecc_uncorrected:
            errors = format_count(device.gpu.ecc_uncorrected, "memory error")
            lines.append(f"{name}: {errors} not corrected since the driver was loaded")
    return [terminal_line(line) for line in lines]


def machine_line(machine: MachineView) -> str:
    """The rest of the machine in one line."""
    memory = f"{format_bytes(machine.memory_used_bytes)} of {format_bytes(machine.memory_total_bytes)} of memory"
    parts = [
        f"load {machine.load_1m:.1f} on {format_count(machine.num_cores, 'core')}",
        memory,
        f"disk {format_bytes(machine.disk_free_bytes)} free{_rate_text(machine.disk_read_bytes_per_s, 'read')}"
        f"{_rate_text(machine.disk_write_bytes_per_s, 'written')}",
    ]
    if machine.network_received_bytes_per_s is not None:
        received, sent = machine.network_received_bytes_per_s, machine.network_sent_bytes_per_s or 0.0
        parts.append(f"network {format_bytes(int(received))}/s in, {format_bytes(int(sent))}/s out")
    if machine.cpu_power_w is not None:
        parts.append(f"CPU {machine.cpu_power_w:.0f} W")
    return f"machine: {'; '.join(parts)}"


def _rate_text(bytes_per_s: float | None, verb: str) -> str:
    return "" if bytes_per_s is None else f", {format_bytes(int(bytes_per_s))}/s {verb}"


def _power_text(device: DeviceView, *, dash: str) -> str:
    if device.power_w is None:
        return dash
    limit_w = None if device.gpu is None else device.gpu.power_limit_w
    return f"{device.power_w:.0f} W" if limit_w is None else f"{device.power_w:.0f} of {limit_w:.0f} W"


def foreign_lines(devices: Sequence[DeviceView]) -> list[str]:
    """A line for each process on a GPU that bertd did not start."""
    return [
        terminal_line(f"{number} {device.id[:_ID_LENGTH]} is used by {_process_text(process)}, not of bertd")
        for number, device in enumerate(devices)
        for process in device.foreign_processes
    ]


def device_line(device: DeviceView) -> str:
    """Whether a device is in service, and which jobs have it."""
    jobs = _holders(device)
    if device.drained_by is None:
        return terminal_line(f"{device.id}: in service")
    names = f"job{'s' * (len(jobs) > 1)} {', '.join(map(str, jobs))}"
    still = f"; {names} {'have' if len(jobs) > 1 else 'has'} it to the end" if jobs else ""
    return terminal_line(f"{device.id}: drained by {device.drained_by}; starts no more jobs{still}")


def _process_text(process: DeviceProcess) -> str:
    memory = "" if process.memory_bytes is None else f", {format_bytes(process.memory_bytes)}"
    return f"{process.name} of {process.user} (pid {process.pid}{memory})"


def _holders_text(device: DeviceView) -> str:
    """The jobs that have the device, and whether it starts no more; empty for a free one."""
    jobs = " ".join(map(str, _holders(device)))
    return f"{jobs} drained".strip() if device.drained_by else jobs


def _holders(device: DeviceView) -> list[int]:
    """The jobs that have the device; a daemon of an earlier version names one."""
    return device.job_ids or ([] if device.job_id is None else [device.job_id])


def _memory_text(device: DeviceView, *, dash: str) -> str:
    if device.memory_used_bytes is None or device.memory_total_bytes is None:
        return dash
    return f"{format_bytes(device.memory_used_bytes)} of {format_bytes(device.memory_total_bytes)}"
