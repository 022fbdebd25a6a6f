"""Figures of a daemon's start: with many finished runs, and after a month in which a run trained without it."""

from __future__ import annotations

import time
from pathlib import Path

from bertd.api.client import Client
from bertd.daemon_bench.daemon_process import DaemonProcess, StandInRun
from bertd.daemon_bench.figures import Figure
from bertd.daemon_bench.seeded_state import DONE, RUNNING, add_run, open_services, write_journal
from bertd.daemon_bench.sizes import Sizes
from bertd.errors import DaemonError
from bertd.run.paths import RunPaths

_GOAL = "goal of the daemon"
_CATCH_UP_S = 1_800.0


def measure_start_with_finished_runs(folder: Path, sizes: Sizes) -> list[Figure]:
    """From the start of the process to READY."""
    with open_services(folder / "state") as services, services.database.transaction():
        for _ in range(sizes.finished_runs):
            job = add_run(services, folder / "state", moves=DONE)
            write_journal(RunPaths(Path(job.folder)), num_steps=50)
    name = f"start to READY, {sizes.finished_runs:,} finished runs"
    walls, cpus = _time_starts(folder, sizes)
    return [
        Figure(name, min(walls), "s", 1.5, f"{_GOAL}; wall time, the fastest of {sizes.starts}"),
        Figure(f"{name}: processor time", min(cpus), "s", None, "in it"),
    ]


def measure_start_with_long_journal(folder: Path, sizes: Sizes) -> list[Figure]:
    """To READY, and until all of the journal was read, which goes on while requests are answered.

    Raises:
        DaemonError: it was not read in time.
    """
    num_steps = round(sizes.month_days * 86_400)
    with open_services(folder / "state") as services:
        job = add_run(services, folder / "state", moves=RUNNING)
    write_journal(RunPaths(Path(job.folder)), num_steps=num_steps)
    name = f"{sizes.month_days:g} days of journal to catch up"
    with StandInRun(Path(job.folder), first_step=num_steps + 1), DaemonProcess(folder) as daemon:
        client, deadline = Client(daemon.socket), time.monotonic() + _CATCH_UP_S
        while (step := client.run(job.id).step) is None or step.step <= num_steps:
            if time.monotonic() > deadline:
                raise DaemonError(f"the journal was not read in {_CATCH_UP_S:g} s")
            time.sleep(0.2)
        megabytes = RunPaths(Path(job.folder)).journal.stat().st_size / 1e6
        return [
            Figure(f"start to READY, {name}", daemon.ready_s, "s", 3, _GOAL),
            Figure(f"start to READY, {name}: processor time", daemon.ready_cpu_s, "s", None, "in it"),
            Figure(f"{name}: processor time until read", daemon.cpu_s(), "s", None, f"{megabytes:,.0f} MB"),
            Figure(f"{name}: resident memory after it", daemon.resident_bytes() / 1e6, "MB", None, "no limit is set"),
        ]


def _time_starts(folder: Path, sizes: Sizes) -> tuple[list[float], list[float]]:
    """Wall and processor seconds to READY of each start."""
    walls, cpus = [], []
    for _ in range(sizes.starts):
        with DaemonProcess(folder) as daemon:
            walls.append(daemon.ready_s)
            cpus.append(daemon.ready_cpu_s)
    return walls, cpus
