"""Devices as text: a row for each, and who else uses a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bertd.cli.output.tables import OutputStyle, format_table
from bertd.run.amounts.quantities import format_bytes
from bertd.terminal_text import terminal_line

if TYPE_CHECKING:
    from bertd.api.models import DeviceProcess, DeviceView

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
            dash if device.power_w is None else f"{device.power_w:.0f} W",
            _holders_text(device) or dash,
            device.name,
        ]
        for number, device in enumerate(devices)
    ]
    return format_table(header, rows, right={1, 2, 3, 4, 5}, style=style, shrink={5: 8}, drop=(4, 3))


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
