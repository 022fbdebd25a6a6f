"""A month of one record a second through the daemon's parts, in a process of its own: what grows?

The process is the runner of the run, as far as the daemon sees. For each simulated minute sixty steps, and every ten
minutes a validation, are appended to the run's journal; the scheduler makes rounds until all is read, and a dashboard's
status is made. So each record of the month is read, parsed and folded, and each event is written, while the rounds are
fewer than those of a real month. The clock of the daemon is the real one.

    python -m bertd.daemon_bench.month STATE --days 30
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bertd.daemon_bench.figures import Figure
from bertd.daemon_bench.seeded_state import (
    RUNNING,
    add_run,
    open_services,
    step_record,
    validation_record,
    write_journal,
)
from bertd.daemon_bench.sizes import Sizes
from bertd.errors import DaemonError
from bertd.jobs.runner.run_job import job_lock
from bertd.records import StepRecord, ValidationRecord
from bertd.run.atomic_files import atomic_write
from bertd.run.journal import append_records
from bertd.run.machine.processes import own_identity
from bertd.run.paths import RunPaths, StatePaths

_SAMPLES = 30
_SETTLED = 0.3
"""Share of the time after which caches are full: the event log is bounded, and curves are thinned from then on."""


@dataclass(frozen=True)
class Sample:
    """What the process has at one time."""

    minute: int
    resident_bytes: int
    open_files: int
    database_bytes: int
    """Of queue.db with its write-ahead log."""
    log_bytes: int
    """What the daemon's parts logged."""
    cpu_s: float


def measure_month(folder: Path, sizes: Sizes) -> list[Figure]:
    """Simulate it in a process of its own.

    Raises:
        DaemonError: it failed.
    """
    command = [sys.executable, "-m", "bertd.daemon_bench.month", str(folder / "state"), "--days", str(sizes.month_days)]
    log = folder / "month.log"
    with log.open("wb") as file:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=file, check=False)
    if ended.returncode:
        raise DaemonError(f"the simulated month failed: {log.read_text(errors='replace')[-2000:]}")
    samples = [Sample(**values) for values in json.loads(ended.stdout)]
    return month_figures(samples, days=sizes.month_days, log_bytes=log.stat().st_size)


def month_figures(samples: list[Sample], *, days: float, log_bytes: int) -> list[Figure]:
    """Growth from when the caches are full to the end."""
    first, last = samples[int(_SETTLED * (len(samples) - 1))], samples[-1]
    name = f"{days:g} simulated days"
    source = f"no growth after {first.minute / 1440:.3g} days"
    grown_mb = (last.resident_bytes - first.resident_bytes) / 1e6
    cpu_s = (last.cpu_s - first.cpu_s) / (last.minute - first.minute) * 1440
    return [
        Figure(f"{name}: memory grown", grown_mb, "MB", 2, source),
        Figure(f"{name}: open files grown", last.open_files - first.open_files, "", 0, source),
        Figure(f"{name}: queue.db at the end", last.database_bytes / 1e6, "MB", 64, "50,000 events are kept"),
        Figure(f"{name}: the daemon's log", log_bytes / 1e3, "kB", 10, "nothing is logged for a record"),
        Figure(f"{name}: resident memory at the end", last.resident_bytes / 1e6, "MB", None, "no limit is set"),
        Figure(f"{name}: processor time of a day", cpu_s, "s", None, "of the simulation"),
    ]


async def _simulate(state: Path, *, days: float) -> list[Sample]:
    process = psutil.Process()
    num_minutes = max(_SAMPLES, round(days * 1440))
    samples: list[Sample] = []
    with open_services(state) as services:
        job = add_run(services, state, moves=RUNNING)
        run = RunPaths(Path(job.folder))
        write_journal(run, num_steps=1)
        with job_lock(run):
            atomic_write(run.runner, own_identity().model_dump_json())
            services.scheduler.recover_jobs()
            for minute in range(num_minutes):
                append_records(run.journal, _minute_of_records(minute))
                while services.scheduler.tick():
                    pass
                services.hub.publish_tick(services.views.status())
                if minute % (num_minutes // _SAMPLES) == 0 or minute == num_minutes - 1:
                    samples.append(_look(process, StatePaths(state), minute=minute))
                    await asyncio.sleep(0)
    return samples


def _minute_of_records(minute: int) -> list[StepRecord | ValidationRecord]:
    first, t = 2 + 60 * minute, time.time()
    records: list[StepRecord | ValidationRecord] = [step_record(step, t=t) for step in range(first, first + 60)]
    return [*records, validation_record(first + 59, t=t)] if minute % 10 == 9 else records


def _look(process: psutil.Process, paths: StatePaths, *, minute: int) -> Sample:
    files = [paths.queue, paths.queue.with_name(f"{paths.queue.name}-wal")]
    times = process.cpu_times()
    return Sample(
        minute=minute,
        resident_bytes=process.memory_info().rss,
        open_files=process.num_fds(),
        database_bytes=sum(file.stat().st_size for file in files if file.exists()),
        log_bytes=os.fstat(2).st_size,
        cpu_s=times.user + times.system,
    )


def main() -> None:
    """Simulate, and print the samples as JSON."""
    parser = argparse.ArgumentParser(description="Simulate days of one record a second.")
    parser.add_argument("state", type=Path)
    parser.add_argument("--days", type=float, required=True)
    arguments = parser.parse_args()
    samples = asyncio.run(_simulate(arguments.state, days=arguments.days))
    print(json.dumps([asdict(sample) for sample in samples]))


if __name__ == "__main__":
    main()
