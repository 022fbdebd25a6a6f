"""Figures of a daemon at work: idle, asked by many, and with a long queue."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from bertd.api.client import Client
from bertd.daemon_bench.clients import REQUESTS_PER_CLIENT_S, measure_latencies, measure_streams
from bertd.daemon_bench.daemon_process import DaemonProcess, StandInRun
from bertd.daemon_bench.figures import Figure, percentile
from bertd.daemon_bench.seeded_state import DONE, RUNNING, add_run, open_services
from bertd.daemon_bench.sizes import Sizes
from bertd.errors import DaemonError

_GOAL = "goal of the daemon"
_SETTLE_S = 2.0
_PATIENCE_S = 120.0


def measure_idle(folder: Path, sizes: Sizes) -> list[Figure]:
    """Memory and processor time of a daemon without jobs and clients."""
    with DaemonProcess(folder) as daemon:
        time.sleep(_SETTLE_S)
        cpu_s, began = daemon.cpu_s(), time.monotonic()
        time.sleep(sizes.idle_s)
        share = (daemon.cpu_s() - cpu_s) / (time.monotonic() - began)
        return [
            Figure("idle: resident memory", daemon.resident_bytes() / 1e6, "MB", 70, _GOAL),
            Figure("idle: processor time", 100 * share, "% of a core", 0.5, _GOAL),
        ]


def measure_commands(folder: Path, sizes: Sizes) -> list[Figure]:
    """`bertd status` and other reading commands as whole processes, with ten runs to show."""
    with open_services(folder / "state") as services:
        for _ in range(10):
            add_run(services, folder / "state", moves=DONE)
    figures = []
    with DaemonProcess(folder) as daemon:
        for verb, limit in (("status", 200.0), ("jobs", None), ("devices", None)):
            walls, cpus = _time_command([sys.executable, "-m", "bertd", verb, "--socket", str(daemon.socket)], sizes)
            source = f"{_GOAL}; the fastest of {sizes.status_calls}" if limit else "other commands that only read"
            figures.append(Figure(f"bertd {verb}: wall time", 1000 * min(walls), "ms", limit, source))
            cpu_ms = 1000 * percentile(cpus, 0.5)
            figures.append(Figure(f"bertd {verb}: processor time", cpu_ms, "ms", None, "median"))
    return figures


def _time_command(command: list[str], sizes: Sizes) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of each call.

    Raises:
        DaemonError: it failed.
    """
    walls, cpus = [], []
    for _ in range(sizes.status_calls):
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise DaemonError(f"{' '.join(command[2:])} ended with status {child.returncode}")
        walls.append(time.perf_counter() - began)
        cpus.append(usage.ru_utime + usage.ru_stime)
    return walls, cpus


def measure_clients(folder: Path, sizes: Sizes) -> list[Figure]:
    """Latencies with many clients, and many event streams, while a run writes a step a second."""
    with open_services(folder / "state") as services:
        job = add_run(services, folder / "state", moves=RUNNING)
    targets = ["/v1/status", "/v1/jobs", f"/v1/jobs/{job.id}", f"/v1/runs/{job.run_id}", "/v1/devices"]
    targets.append(f"/v1/runs/{job.run_id}/series?points=240")
    with StandInRun(Path(job.folder)), DaemonProcess(folder) as daemon:
        before_s = daemon.cpu_s()
        latencies = measure_latencies(daemon.socket, targets, num_clients=sizes.clients, seconds=sizes.clients_s)
        per_request_ms = 1000 * (daemon.cpu_s() - before_s) / len(latencies)
        what = f"{sizes.clients} clients, each {REQUESTS_PER_CLIENT_S:g} GET a second"
        figures = [
            Figure(f"{what}: 99 % within", 1000 * percentile(latencies, 0.99), "ms", 10, _GOAL),
            Figure(f"{what}: half within", 1000 * percentile(latencies, 0.5), "ms", None, "wall time, in the client"),
            Figure("processor time of the daemon for a GET", per_request_ms, "ms", None, "its own rounds included"),
        ]
        before_s, began = daemon.cpu_s(), time.monotonic()
        counts = measure_streams(daemon.socket, num_streams=sizes.streams, seconds=sizes.streams_s)
        share = (daemon.cpu_s() - before_s) / (time.monotonic() - began)
        what = f"{sizes.streams} event streams at 1 Hz"
        return [
            *figures,
            Figure(f"{what}: processor time", 100 * share, "% of a core", 100, f"{_GOAL}: one core"),
            Figure(f"{what}: ticks that did not come", 100 * counts.share_lost, "%", 5, "a stream that keeps up"),
            Figure(f"{what}: streams that were closed", counts.num_closed, "", 0, "no stream is ended"),
        ]


def measure_long_queue(folder: Path, sizes: Sizes) -> list[Figure]:
    """A round of the scheduler, and the list of jobs, with many jobs that wait for one that runs."""
    with open_services(folder / "state") as services:
        holder = add_run(services, folder / "state", moves=RUNNING, num_devices=os.cpu_count() or 1)
        with services.database.transaction():
            for _ in range(sizes.queued_jobs):
                add_run(services, folder / "state")
    name = f"{sizes.queued_jobs:,} queued jobs"
    with StandInRun(Path(holder.folder)):
        walls, cpus = _time_ticks(folder / "state", sizes)
        with DaemonProcess(folder) as daemon:
            client = Client(daemon.socket, timeout_s=_PATIENCE_S)
            cpu_s = daemon.cpu_s() + time.process_time()
            listing = [_time_listing(client, sizes.queued_jobs + 1) for _ in range(3)]
            listing_cpu = (daemon.cpu_s() + time.process_time() - cpu_s) / 3
    round_name = f"{name}: one round"
    return [
        Figure(f"{round_name}, 95 % within", 1000 * percentile(cpus, 0.95), "ms", 50, f"{_GOAL}; processor time"),
        Figure(f"{round_name}, half within", 1000 * percentile(cpus, 0.5), "ms", None, "processor time"),
        Figure(f"{round_name}, half within, wall time", 1000 * percentile(walls, 0.5), "ms", None, "the same rounds"),
        Figure(f"{name}: listed in", 1000 * min(listing), "ms", 200, f"{_GOAL}; wall time, the fastest of 3"),
        Figure(f"{name}: processor time of listing", 1000 * listing_cpu, "ms", None, "of daemon and client, each time"),
    ]


def _time_ticks(state: Path, sizes: Sizes) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of rounds, after those in which each job got its reason."""

    async def run() -> tuple[list[float], list[float]]:
        with open_services(state) as services:
            services.scheduler.recover_jobs()
            for _ in range(3):
                services.scheduler.tick()
            walls, cpus = [], []
            for _ in range(sizes.ticks):
                wall, cpu = time.perf_counter(), time.process_time()
                services.scheduler.tick()
                walls.append(time.perf_counter() - wall)
                cpus.append(time.process_time() - cpu)
                await asyncio.sleep(0.05)
            for job_id in list(services.scheduler._runners.attached):
                services.scheduler._runners.detach(job_id)
            return walls, cpus

    return asyncio.run(run())


def _time_listing(client: Client, num_jobs: int) -> float:
    """Seconds.

    Raises:
        DaemonError: some are missing.
    """
    began = time.perf_counter()
    jobs = client.jobs()
    if len(jobs) != num_jobs:
        raise DaemonError(f"{len(jobs)} of {num_jobs} jobs were listed")
    return time.perf_counter() - began
