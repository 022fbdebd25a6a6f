"""The energy of a planned run and its cost, from what a GPU of its kind drew in past runs, or from its data sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertd.errors import BertdError
from bertd.records import Record
from bertd.run.job_energy import read_job_energy
from bertd.run.journal_digest import read_digest
from bertd.run.machine.gpu_datasheet import find_power_limit_w
from bertd.run.paths import RunPaths

_J_PER_KWH = 3.6e6
_MIN_MEASURED_S = 600.0
"""Seconds of one GPU: a shorter run is mostly its start."""
_MAX_RUNS = 50
"""Newest ones that are looked at."""


class DevicePower(Record):
    """What one device draws while a run has it."""

    watts: float
    source: str
    """Where that comes from, as text."""


class Price(Record):
    """Of a kilowatt-hour."""

    amount: float
    currency: str


class PlanEnergy(Record):
    """Of all devices of a run, over its charged time."""

    kwh: float
    watts_per_device: float
    source: str
    cost: float | None = None
    """None where no price is configured."""
    currency: str | None = None


def find_device_power(device_name: str, *, runs: Path) -> DevicePower | None:
    """What a device of this name draws; None where no run measured it and no data sheet is kept here.

    Args:
        runs: folder of run folders.
    """
    for name, watts in _measured_watts(device_name, runs=runs):
        return DevicePower(watts=watts, source=f"as run {name} measured it")
    watts_of_sheet = find_power_limit_w(device_name)
    if watts_of_sheet is None:
        return None
    return DevicePower(watts=watts_of_sheet, source="the limit in its data sheet, which is more than a run draws")


def plan_energy(*, total_s: float, num_devices: int, power: DevicePower, price: Price | None) -> PlanEnergy:
    """Energy and cost of a run that has all its devices for its whole charged time."""
    kwh = power.watts * num_devices * total_s / _J_PER_KWH
    return PlanEnergy(
        kwh=kwh,
        watts_per_device=power.watts,
        source=power.source,
        cost=None if price is None else kwh * price.amount,
        currency=None if price is None else price.currency,
    )


def hours_for(amount: float, *, num_devices: int, power: DevicePower, price: Price) -> float:
    """Hours of a run whose energy costs so much; infinite where it costs nothing."""
    cost_per_hour = power.watts * num_devices / 1000 * price.amount
    return amount / cost_per_hour if cost_per_hour > 0 else float("inf")


def _measured_watts(device_name: str, *, runs: Path) -> Iterator[tuple[str, float]]:
    """Run and mean power of one of its GPUs, of past runs on this device, newest first."""
    for folder in _newest_runs(runs):
        paths = RunPaths(folder)
        energy = read_job_energy(paths)
        if energy is None or energy.measured_s < _MIN_MEASURED_S or energy.gpu_kwh <= 0:
            continue
        try:
            start = read_digest(paths.journal).start
        except BertdError:
            continue
        if start is not None and start.device_name == device_name:
            yield folder.name, energy.gpu_kwh * _J_PER_KWH / energy.measured_s


def _newest_runs(runs: Path) -> list[Path]:
    try:
        folders = [entry for entry in runs.iterdir() if RunPaths(entry).energy.is_file()]
        return sorted(folders, key=lambda each: RunPaths(each).energy.stat().st_mtime, reverse=True)[:_MAX_RUNS]
    except OSError:
        # Not there, or of another user: the data sheet is used then, and the plan says so.
        return []
