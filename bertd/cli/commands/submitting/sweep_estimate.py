"""What a sweep would take, before it is begun: training, wall time on the devices there are, disk space."""

from __future__ import annotations

import os
import shutil
from functools import cache

from bertd.api.client import Client
from bertd.errors import DaemonUnreachableError
from bertd.records import Record, SweepSpec
from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_bytes, format_count
from bertd.run.data_mixture import read_mixture
from bertd.run.machine.disk_space import RESERVE_BYTES, estimate_disk_need, estimate_num_parameters
from bertd.run.recipe.mixture_text import find_data_sets
from bertd.run.recipe.sweep_grid import Setting
from bertd.run.recipe.sweep_rungs import most_charged_s, most_wall_s, set_checkpoint_keep


class SweepEstimate(Record):
    """What `bertd sweep --dry-run` prints. Times are None for a budget of steps or sequences."""

    spec: SweepSpec
    num_settings: int
    max_charged_s: float | None
    """Of all runs together: each max_loss drops nothing, each keep its share."""
    max_charged_without_rungs_s: float | None
    num_devices: int
    """The most that one setting has."""
    device_kind: str
    max_device_hours: float | None
    num_at_once: int | None
    """Settings that train at the same time; None if no daemon says which GPUs there are."""
    max_wall_s: float | None
    """With all devices for the sweep alone."""
    max_disk_bytes: int
    """The most that checkpoints and exports of all settings take, none of them dropped."""
    free_disk_bytes: int | None
    """Where the daemon keeps its runs; None if no daemon answers, or it is another user's."""


def estimate_sweep(spec: SweepSpec, settings: list[Setting], *, client: Client) -> SweepEstimate:
    """Estimate a sweep; what only a daemon knows is None if none answers, since nothing is queued.

    Raises:
        ShardError: a data set is missing or damaged.
    """
    number, devices = len(settings), [setting.recipe.devices for setting in settings]
    num_devices, kind = max(each.count for each in devices), devices[0].kind
    num_gpus, free_bytes = None, None
    try:
        num_gpus = sum(device.kind == "gpu" for device in client.devices())
        free_bytes = _free_bytes(client.version().state_dir)
    except DaemonUnreachableError:
        pass
    num_available = (os.cpu_count() or 1) if kind == "cpu" else num_gpus
    num_at_once = None if num_available is None else min(number, num_available // num_devices)
    most_s = None if spec.end_s is None else most_charged_s(spec, num_settings=number, end_s=spec.end_s)
    return SweepEstimate(
        spec=spec,
        num_settings=number,
        max_charged_s=most_s,
        max_charged_without_rungs_s=None if spec.end_s is None else number * spec.end_s,
        num_devices=num_devices,
        device_kind=kind,
        max_device_hours=None if most_s is None else most_s * num_devices / 3600,
        num_at_once=num_at_once,
        max_wall_s=None
        if spec.end_s is None or not num_at_once
        else most_wall_s(spec, num_settings=number, end_s=spec.end_s, num_at_once=num_at_once),
        max_disk_bytes=_most_disk_bytes(spec, settings),
        free_disk_bytes=free_bytes,
    )


def _free_bytes(folder: str) -> int | None:
    """None where this user may not look."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def estimate_text(estimate: SweepEstimate) -> str:
    """The estimate for a person."""
    free = estimate.free_disk_bytes
    lack = "" if free is None or free >= estimate.max_disk_bytes else ": free some, or the sweep may wait for space"
    there = "what is free for the daemon is not known" if free is None else f"{format_bytes(free)} free{lack}"
    disk = f"{format_bytes(estimate.max_disk_bytes)} at most for checkpoints and exports; {there}"
    fields = [
        ("settings", f"{estimate.num_settings:,}, each on {estimate.num_devices} x {estimate.device_kind}"),
        ("training", _training_text(estimate)),
        ("wall time", _wall_text(estimate)),
        ("disk", disk),
    ]
    return "\n".join(f"{name.ljust(9)} {text}" for name, text in fields)


def _training_text(estimate: SweepEstimate) -> str:
    whole_s = estimate.max_charged_without_rungs_s
    if estimate.max_charged_s is None or estimate.max_device_hours is None or whole_s is None:
        return "each to the end of its budget"
    unit = "GPU-hours" if estimate.device_kind == "gpu" else "core-hours"
    without = f"{format_duration(whole_s)} without rungs"
    return (
        f"about {format_duration(estimate.max_charged_s)} at most, {estimate.max_device_hours:,.2f} {unit}; {without}"
    )


def _wall_text(estimate: SweepEstimate) -> str:
    if estimate.num_at_once is None:
        return "not known: no daemon answers, so neither are the GPUs"
    if not estimate.num_at_once:
        return f"none: this machine has less than {estimate.num_devices} {estimate.device_kind} for a setting"
    at_once = f"{format_count(estimate.num_at_once, 'setting')} at a time"
    if estimate.max_wall_s is None:
        return f"not known for a budget of steps or sequences; {at_once}"
    return f"about {format_duration(estimate.max_wall_s)} at most, {at_once}"


def _most_disk_bytes(spec: SweepSpec, settings: list[Setting]) -> int:
    @cache
    def vocab_size(shards: tuple[tuple[str, int], ...]) -> int:
        return read_mixture(find_data_sets(dict(shards))).vocab_size

    total_bytes = RESERVE_BYTES
    for setting in settings:
        recipe = set_checkpoint_keep(spec, setting.recipe)
        num_parameters = estimate_num_parameters(recipe, vocab_size=vocab_size(tuple(recipe.data.weights.items())))
        total_bytes += estimate_disk_need(recipe.checkpoint, num_parameters=num_parameters).total_bytes - RESERVE_BYTES
    return total_bytes
