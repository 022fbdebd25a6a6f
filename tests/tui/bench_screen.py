"""Measure the dashboard's cost on a pseudo-terminal, beside its limits: `make bench-tui`.

    python -m tests.tui.bench_screen [--size 120x40] [--seconds 20] [--repeats 5] [--socket PATH] [--records 10000000]

It starts `bert-tui`, answers Textual's terminal queries, waits two seconds, then counts the output bytes and the CPU
time of the process, presses keys, and switches to a run of --records records, whose curves are made as the daemon makes
them. Without --socket it shows the simulation, which runs at 60x speed, so more changes on the screen than with a real
daemon. Times are of the wall, so measure on a machine with little other load; the first line says how much there was.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil

from bertd.api.models import SeriesView, StatusView
from bertd.metrics.curves import RunCurves
from bertd.records import BudgetUnit, StepRecord
from bertd.run.budget import Budget
from tests.cli.fake_daemon import Answer, FakeDaemon, Request
from tests.tui.fake_feed import simulated_snapshot
from tests.tui.terminal import Terminal

WARM_UP_S = 2.0
_OUTLINE = "Connecting to the daemon"
"""On the screen with the first frame, before the daemon's answer."""
_FRAME = "━━━━"
"""On the screen as soon as it shows a budget."""
_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""As it is installed: a start compiles nothing."""
_VIEWS = (("0", "Fleet"), ("1", "Loss"))
"""A key, and what the view that it shows begins with."""
_NUM_KEYS = 20
_BIG_RUN = "9-big"
LIMITS = {
    "first frame ms": 400.0,
    "data after it ms": 250.0,
    "key ms": 50.0,
    "bytes/s": 1500.0,
    "bytes/s, low bandwidth": 500.0,
    "share of a core %": 2.0,
    "memory MB": 70.0,
    "switch ms": 500.0,
}


@dataclass(frozen=True)
class Cost:
    """Cost of one run of the dashboard."""

    first_byte_s: float
    first_frame_s: float
    """Seconds from the start of the process until the screen shows the outline of the panels."""
    first_frame_cpu_s: float
    """CPU seconds until then: less dependent on other load on the machine."""
    data_s: float
    """Seconds from then until it shows the budget."""
    data_cpu_s: float
    bytes_per_s: float
    deflated_per_s: float
    """Compressed bytes per second, as sent by `ssh -C`."""
    core_share: float
    memory_bytes: int
    key_s: float
    """Median over keys from the press to the first byte of the view."""


def measure(arguments: list[str], *, columns: int, rows: int, seconds: float) -> Cost:
    """Run the dashboard for `seconds` on a terminal of the given size.

    Raises:
        SystemExit: it shows no run.
    """
    with Terminal(arguments, columns=columns, rows=rows, environment=_COMPILED) as terminal:
        process = psutil.Process(terminal.pid)
        first = terminal.read(10.0).decode(errors="replace")
        first_byte_s = time.monotonic() - terminal.started
        first += terminal.read_until(_OUTLINE) if _OUTLINE not in first else ""
        first_frame_s, first_frame_cpu_s = time.monotonic() - terminal.started, _cpu_s(process)
        if _FRAME not in first and _FRAME not in terminal.read_until(_FRAME):
            raise SystemExit("no budget in 10 s: is there a run to show?")
        data_s, data_cpu_s = time.monotonic() - terminal.started - first_frame_s, _cpu_s(process) - first_frame_cpu_s
        terminal.read_for(WARM_UP_S)
        before_s = _cpu_s(process)
        output = terminal.read_for(seconds)
        used_s = _cpu_s(process) - before_s
        memory = process.memory_info().rss
        key_s = _measure_keys(terminal)
    return Cost(
        first_byte_s=first_byte_s,
        first_frame_s=first_frame_s,
        first_frame_cpu_s=first_frame_cpu_s,
        data_s=data_s,
        data_cpu_s=data_cpu_s,
        bytes_per_s=len(output) / seconds,
        deflated_per_s=len(zlib.compress(output)) / seconds,
        core_share=used_s / seconds,
        memory_bytes=memory,
        key_s=key_s,
    )


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _measure_keys(terminal: Terminal) -> float:
    times = []
    for key, shown in itertools.islice(itertools.cycle(_VIEWS), _NUM_KEYS):
        terminal.read_for(0.1)
        pressed = time.monotonic()
        terminal.press(key)
        terminal.read_until(shown)
        times.append(time.monotonic() - pressed)
    return statistics.median(times[len(_VIEWS) :])  # The first of each view imports it.


class _BigRunDaemon(FakeDaemon):
    """Has a second run, whose curves are read from `curves` for each request, as the real daemon does."""

    curves: RunCurves

    def answer(self, request: Request) -> Answer:
        if not request.path.endswith(f"{_BIG_RUN}/series"):
            return super().answer(request)
        columns = request.query["columns"][0].split(",")
        read = self.curves.read(columns=columns, axis="progress", points=int(request.query["points"][0]))
        series = SeriesView(run_id=_BIG_RUN, x="progress", columns=read)
        return Answer(200, series.model_dump_json().encode())


def make_curves(num_records: int) -> RunCurves:
    """The curves of a run of so many records of steps."""
    base = cast(StatusView, simulated_snapshot().status).runs[0].step
    assert base is not None
    curves, chunk = RunCurves(Budget(BudgetUnit.STEPS, float(num_records), num_devices=1)), 10_000
    for first in range(0, num_records, chunk):
        step = base.model_copy(update={"step": first + chunk, "loss": 2.0 + 8.0 / (1 + first / chunk)})
        curves.add_steps(cast(Sequence[StepRecord], [step] * chunk))
    return curves


def measure_switch(num_records: int, *, repeats: int) -> list[float]:
    """Seconds from the key that shows another run to its name and curves on the screen."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "d.sock"
        status = cast(StatusView, simulated_snapshot().status)
        big = status.runs[0].model_copy(update={"id": _BIG_RUN, "name": "big", "job_id": 9})
        job = status.jobs[0].model_copy(update={"id": 9, "run_id": _BIG_RUN, "name": "big"})
        runs, jobs = [*status.runs, big], [*status.jobs, job]
        daemon = _BigRunDaemon(
            socket, status=status.model_copy(update={"runs": runs, "jobs": jobs}), runs=runs, jobs=jobs
        )
        daemon.curves = make_curves(num_records)
        times = []
        for _ in range(repeats):
            with daemon, Terminal(["--socket", str(socket)], columns=120, rows=40, environment=_COMPILED) as terminal:
                terminal.read_until(_FRAME)
                terminal.read_for(WARM_UP_S)
                num_asked = len(daemon.requests)
                pressed = time.monotonic()
                terminal.press("n")
                terminal.read_until(_BIG_RUN)
                while not any(one.path.endswith(f"{_BIG_RUN}/series") for one in daemon.requests[num_asked:]):
                    terminal.read(0.005)
                terminal.read_until("⣀")
                times.append(time.monotonic() - pressed)
    return times


def main() -> None:
    """Print the costs at one or several sizes, and what the limits say of 120x40."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", help="COLUMNSxROWS; may be repeated (default: 80x24 120x40 200x60)")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--records", type=int, default=10_000_000, help="of the run that is switched to; 0 for none")
    parser.add_argument("--socket", help="a real daemon's socket; default: the simulation")
    options = parser.parse_args()
    arguments = ["--socket", options.socket] if options.socket else ["--demo"]
    print(f"median of {options.repeats} (least to most); load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    measure(arguments, columns=120, rows=40, seconds=0.1)  # Compiles what is not compiled.
    for size in options.size or ["80x24", "120x40", "200x60"]:
        columns, rows = (int(part) for part in size.split("x"))
        costs = [
            measure(arguments, columns=columns, rows=rows, seconds=options.seconds) for _ in range(options.repeats)
        ]
        slow = [
            measure([*arguments, "--low-bandwidth"], columns=columns, rows=rows, seconds=options.seconds)
            for _ in range(options.repeats)
        ]
        print(f"\n{size}")
        _print_row("first byte ms", [1000 * one.first_byte_s for one in costs])
        _print_row("first frame ms", [1000 * one.first_frame_s for one in costs])
        _print_row("first frame, CPU ms", [1000 * one.first_frame_cpu_s for one in costs])
        _print_row("data after it ms", [1000 * one.data_s for one in costs])
        _print_row("data after it, CPU ms", [1000 * one.data_cpu_s for one in costs])
        _print_row("key ms", [1000 * one.key_s for one in costs])
        _print_row("bytes/s", [one.bytes_per_s for one in costs])
        _print_row("bytes/s over ssh -C", [one.deflated_per_s for one in costs])
        _print_row("bytes/s, low bandwidth", [one.bytes_per_s for one in slow])
        _print_row("share of a core %", [100 * one.core_share for one in costs])
        _print_row("memory MB", [one.memory_bytes / 1e6 for one in costs])
    if options.records:
        print(f"\nto a run of {options.records:,} records, 120x40")
        _print_row("switch ms", [1000 * one for one in measure_switch(options.records, repeats=options.repeats)])


def _print_row(name: str, values: list[float]) -> None:
    limit = LIMITS.get(name)
    said = f"   limit {limit:,.0f}" if limit is not None else ""
    print(f"  {name:24} {statistics.median(values):8,.1f} ({min(values):,.1f} to {max(values):,.1f}){said}", flush=True)


if __name__ == "__main__":
    main()
