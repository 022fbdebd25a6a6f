"""Devices: one row each; several per line, or one line for all, if there is less space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertd.run.machine.nvml import harmful_slowdowns
from tui.display_options import DisplayOptions
from tui.drawing.formatting import gibibytes
from tui.drawing.lines import Line, Role, Span, cell, heading, line
from tui.panels.bars import bar
from tui.snapshot import Snapshot

if TYPE_CHECKING:
    from bertd.api.models import DeviceView, JobView

_MIN_ROW_WIDTH = 44
"""Minimum cells of a row with utilization, memory and temperature."""

_MEMORY_BAR = 8
"""Cells of a row's bar of memory, where there is room."""
_MIN_BAR = 4
"""Of both bars, where there is little."""
_SLOWDOWN_WORDS = {
    "SwThermalSlowdown": "heat",
    "HwThermalSlowdown": "heat",
    "HwSlowdown": "hardware",
    "HwPowerBrakeSlowdown": "power brake",
    "SyncBoost": "sync boost",
}
"""Words for NVML's names; others are shown as they are."""


def draw(snapshot: Snapshot, options: DisplayOptions, width: int, height: int) -> list[Line]:
    status = snapshot.status
    if status is None or not status.devices or height < 1:
        return []
    devices, jobs = status.devices, status.jobs
    rows = height - 1
    summary = _summary(devices, options, width - len("Devices") - 3, has_rows=len(devices) <= rows)
    title = heading("Devices", summary, width=width, rule=options.glyphs.rule)
    if len(devices) <= rows:
        sensors = any(device.power_w is not None or device.temperature_c is not None for device in devices)
        if width < _fixed_cells(has_sensors=sensors) + _MEMORY_BAR + 1 + 8:
            return [title, *_narrow_rows(devices, jobs, options, width, has_sensors=sensors)]
        room = width - _fixed_cells(has_sensors=sensors) - _MEMORY_BAR - 1
        length = min(30, max(8, room - max(len(_trouble(device)) for device in devices)))
        return [
            title,
            *(
                _row(one, index, jobs, options, width, has_sensors=sensors, length=length)
                for index, one in enumerate(devices)
            ),
        ]
    columns = min(len(devices), width // (_MIN_ROW_WIDTH - 6))
    if columns >= 2 and -(-len(devices) // columns) <= rows:
        return [title, *_grid(devices, jobs, options, width, columns)]
    return [title, *_strip(devices, options, width, rows)][:height]


def _summary(devices: list[DeviceView], options: DisplayOptions, available_width: int, *, has_rows: bool) -> Line:
    """The common name and the power of all; without a row for each, their memory and highest temperature too."""
    names = sorted({device.name for device in devices})
    power = [device.power_w for device in devices if device.power_w is not None]
    heat = [device.temperature_c for device in devices if device.temperature_c is not None]
    used = sum(device.memory_used_bytes or 0 for device in devices)
    total = sum(device.memory_total_bytes or 0 for device in devices)
    count = f"{len(devices)} x " if len(devices) > 1 else ""
    name = [f"{count}{names[0]}" if len(names) == 1 else f"{len(devices)} devices"]
    watts = [f"{sum(power):,.0f} W"] if power else []
    shown = [f"{gibibytes(used, decimals=0)} / {gibibytes(total, decimals=0)} GiB"] if total and not has_rows else []
    shown += [f"to {max(heat):.0f} {options.glyphs.celsius}"] if heat and not has_rows else []
    texts = [options.glyphs.dot.join(parts) for parts in ([*name, *shown, *watts], [*shown, *watts], shown, name)]
    return line((next((text for text in texts if text and len(text) <= available_width), ""), Role.MUTED))


def _fixed_cells(*, has_sensors: bool) -> int:
    """Cells of a row beside its bars."""
    return 52 if has_sensors else 37


def _narrow_rows(
    devices: list[DeviceView], jobs: list[JobView], options: DisplayOptions, width: int, *, has_sensors: bool
) -> list[Line]:
    """A row each with the same figures, but without the memory that there is: two bars, as long as the others leave."""
    heads = [_narrow_figures(device, options, has_sensors=has_sensors) for device in devices]
    tails = [_narrow_tail(device, jobs, width) for device in devices]
    needed = max(head.width + tail.width for head, tail in zip(heads, tails, strict=True))
    label_cells = max(len(_label(device, index)) for index, device in enumerate(devices)) + 2
    length = min(_MEMORY_BAR, max(_MIN_BAR, (width - label_cells - 6 - needed) // 2))
    rows = []
    for index, (device, head, tail) in enumerate(zip(devices, heads, tails, strict=True)):
        spans = [cell(_label(device, index), label_cells, Role.MUTED)]
        spans += _two_bars(device, options, length)
        rows.append((Line(tuple(spans)) + head + tail).fit(width))
    return rows


def _two_bars(device: DeviceView, options: DisplayOptions, length: int) -> list[Span]:
    """Utilization as a bar and a figure, and memory as a bar."""
    glyphs = options.glyphs
    return [
        *bar(device.utilization or 0.0, width=length, glyphs=glyphs),
        cell(_percent(device.utilization, options), 5, Role.STRONG, right=True),
        Span(" "),
        *bar(_memory_share(device), width=length, glyphs=glyphs, role=Role.TRAIN),
    ]


def _narrow_figures(device: DeviceView, options: DisplayOptions, *, has_sensors: bool) -> Line:
    used = f"{gibibytes(device.memory_used_bytes)} GiB" if device.memory_used_bytes is not None else options.glyphs.dash
    spans = [cell(used, 9, right=True)]
    if has_sensors:
        spans.append(cell(_unit(device.power_w, "W", options), 6, right=True))
        spans.append(cell(_unit(device.temperature_c, options.glyphs.celsius, options), 6, right=True))
    return Line(tuple(spans))


def _narrow_tail(device: DeviceView, jobs: list[JobView], width: int) -> Line:
    """What is wrong with it, else its owner."""
    if trouble := _trouble(device):
        return line(" ", (trouble, Role.WAITING if device.health == "ok" else Role.BAD))
    numbers = " ".join(f"#{job_id}" for job_id in _holders(device))
    return line(" ", (numbers, Role.MUTED)) if numbers else line(" ", *_owner(device, jobs, width))


def _row(
    device: DeviceView,
    index: int,
    jobs: list[JobView],
    options: DisplayOptions,
    width: int,
    *,
    has_sensors: bool,
    length: int,
) -> Line:
    """Utilization as a bar of `length` cells, memory, power, temperature and owner, as far as they fit."""
    share, trouble = device.utilization, _trouble(device)
    spans: list[Span] = [cell(_label(device, index), 4, Role.MUTED)]
    spans += bar(share or 0.0, width=length, glyphs=options.glyphs)
    spans += [Span(" "), cell(_percent(share, options), 5, Role.STRONG, right=True), Span("  ")]
    spans += [*bar(_memory_share(device), width=_MEMORY_BAR, glyphs=options.glyphs, role=Role.TRAIN), Span(" ")]
    spans += [cell(_memory(device, options), 13, right=True), Span("  ")]
    if has_sensors:
        spans += [cell(_unit(device.power_w, "W", options), 6, right=True), Span("  ")]
        spans += [cell(_unit(device.temperature_c, options.glyphs.celsius, options), 5, right=True), Span("  ")]
    if trouble:
        spans += [Span(f"{trouble} ", Role.WAITING if device.health == "ok" else Role.BAD)]
    spans += _owner(device, jobs, width - Line(tuple(spans)).width)
    return Line(tuple(spans)).fit(width)


def _trouble(device: DeviceView) -> str:
    """What is wrong with a device, or holds its clocks down; empty if nothing."""
    if device.health != "ok":
        return device.health.replace("_", " ")
    slowed_by = harmful_slowdowns(device.gpu.slowed_by) if device.gpu is not None else ()
    words = (_SLOWDOWN_WORDS.get(each, each) for each in slowed_by)
    return f"slowed: {', '.join(dict.fromkeys(words))}" if slowed_by else ""


def _memory_share(device: DeviceView) -> float:
    used, total = device.memory_used_bytes, device.memory_total_bytes
    return used / total if used is not None and total else 0.0


def _grid(
    devices: list[DeviceView], jobs: list[JobView], options: DisplayOptions, width: int, columns: int
) -> list[Line]:
    """Several devices per line, numbered down the columns."""
    rows = -(-len(devices) // columns)
    available_width = width // columns
    lines = []
    for row in range(rows):
        spans: list[Span] = []
        for index in range(row, len(devices), rows):
            spans += _short_row(devices[index], index, jobs, options, available_width).spans
        lines.append(Line(tuple(spans)).fit(width))
    return lines


def _short_row(
    device: DeviceView, index: int, jobs: list[JobView], options: DisplayOptions, available_width: int
) -> Line:
    """Two bars, temperature, and power with the owner, or what is wrong with the device."""
    trouble = _trouble(device)
    label = _label(device, index)
    spans: list[Span] = [cell(label, max(2, len(label) + 1), Role.MUTED)]
    spans += _two_bars(device, options, min(_MEMORY_BAR, max(_MIN_BAR, (available_width - 28) // 2)))
    spans += [cell(_unit(device.temperature_c, options.glyphs.celsius, options), 6, right=True)]
    if not trouble:
        spans += [cell(_unit(device.power_w, "W", options), 6, right=True)]
    owner = "".join(f" #{job_id}" for job_id in _holders(device))
    last = Span(f" {trouble}", Role.BAD) if trouble else Span(owner, Role.MUTED)
    return Line((*spans, last)).fit(available_width - 1) + line(" ")


def _strip(devices: list[DeviceView], options: DisplayOptions, width: int, rows: int) -> list[Line]:
    """Several devices in a line: index and utilization, and memory and temperature where they fit."""
    columns = -(-len(devices) // max(1, rows))
    available_width = max(5, width // columns)
    texts = [_strip_cell(device, index, options, available_width - 1) for index, device in enumerate(devices)]
    return [
        Line(tuple(span for text in texts[first : first + columns] for span in text.fit(available_width).spans)).fit(
            width
        )
        for first in range(0, len(devices), columns)
    ]


def _strip_cell(device: DeviceView, index: int, options: DisplayOptions, width: int) -> Line:
    """The longest form that fits, so that two devices never touch."""
    used = device.memory_used_bytes
    is_slowed = bool(_trouble(device))
    mark = ("!", Role.BAD) if is_slowed else ""
    share = line((_percent(device.utilization, options, unit="%"), Role.BAD if is_slowed else Role.STRONG), mark)
    with_index = line((f"{index}:", Role.MUTED)) + share
    with_memory = with_index + line(f" {gibibytes(used)} GiB") if used is not None else with_index
    with_heat = with_memory + line(f" {_unit(device.temperature_c, options.glyphs.celsius, options)}")
    return next((text for text in (with_heat, with_memory, with_index, share) if text.width <= width), share)


def _label(device: DeviceView, index: int) -> str:
    return "cpu" if device.kind == "cpu" else f"{index}"


def _percent(share: float | None, options: DisplayOptions, *, unit: str = " %") -> str:
    return options.glyphs.dash if share is None else f"{100 * share:.0f}{unit}"


def _memory(device: DeviceView, options: DisplayOptions) -> str:
    if device.memory_used_bytes is None or device.memory_total_bytes is None:
        return options.glyphs.dash
    used, total = device.memory_used_bytes, device.memory_total_bytes
    decimals = 1 if total < 100 << 30 else 0
    return f"{gibibytes(used, decimals=decimals)} / {gibibytes(total, decimals=0)} GiB"


def _unit(value: float | None, unit: str, options: DisplayOptions) -> str:
    return options.glyphs.dash if value is None else f"{value:.0f} {unit}"


def _owner(device: DeviceView, jobs: list[JobView], available_width: int) -> tuple[Span, ...]:
    """Ids of the jobs that hold the device, with the name of a single one if it fits."""
    holders = _holders(device)
    if not holders:
        text = "drained" if device.drained_by else _foreign_text(device) or "free"
        role = Role.FAINT if text == "free" else Role.WAITING
        return (Span(text[:available_width], role),) if available_width >= len("free") else ()
    number = " ".join(f"#{job_id}" for job_id in holders)
    name = next((job.name for job in jobs if [job.id] == holders), "")
    text = f"{number} {name}" if name and len(number) + 1 + len(name) <= available_width else number
    return (Span(text, Role.MUTED),) if len(text) <= available_width else ()


def _holders(device: DeviceView) -> list[int]:
    """The jobs that have the device; a daemon of an earlier version names one."""
    return device.job_ids or ([] if device.job_id is None else [device.job_id])


def _foreign_text(device: DeviceView) -> str:
    """Who uses a GPU that no job has; empty where nobody does."""
    texts = [f"{process.user} {process.name}" for process in device.foreign_processes]
    return ", ".join(dict.fromkeys(texts))
