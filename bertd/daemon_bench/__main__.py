"""`python -m bertd.daemon_bench`: measure the daemon beside its limits, in one run; `make bench-daemon`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import bertd
from bertd.cli.output.tables import detect_output_style
from bertd.daemon_bench.expected_starts import measure_expected_starts
from bertd.daemon_bench.figures import Figure, figures_table
from bertd.daemon_bench.month import measure_month
from bertd.daemon_bench.serving import measure_clients, measure_commands, measure_idle, measure_long_queue
from bertd.daemon_bench.sizes import FULL, QUICK, Sizes
from bertd.daemon_bench.starting import measure_start_with_finished_runs, measure_start_with_long_journal
from bertd.program import run_main
from bertd.run.machine.cpu_model import read_cpu_model

_PARTS: dict[str, Callable[[Path, Sizes], list[Figure]]] = {
    "idle": measure_idle,
    "commands": measure_commands,
    "clients": measure_clients,
    "queue": measure_long_queue,
    "finished-runs": measure_start_with_finished_runs,
    "journal": measure_start_with_long_journal,
    "month": measure_month,
    "expected-starts": lambda folder, sizes: measure_expected_starts(sizes),
}


def run_parts(names: list[str], sizes: Sizes) -> list[Figure]:
    """Each part in a new folder, which is deleted after it."""
    figures: list[Figure] = []
    for name in names:
        # A short path: a socket's has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix="bertd-bench-"))
        try:
            print(f"{name} ...", file=sys.stderr, flush=True)
            figures += _PARTS[name](folder, sizes)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return figures


def describe_machine() -> str:
    """Hardware, versions, and what else the machine does."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    version = f"bertd {bertd.__version__}, Python {platform.python_version()}, Linux {platform.release()}"
    cpu = f"{os.cpu_count()} cores of {read_cpu_model() or 'an unknown CPU'}"
    return f"{cpu}; {version}; load average of 1, 5 and 15 minutes: {load}"


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bertd.daemon_bench", description="Measure the daemon beside its limits."
    )
    parser.add_argument(
        "--quick", action="store_true", help="just enough to see that it works; its figures mean nothing"
    )
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a limit is missed")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--part", action="append", choices=[*_PARTS], help="only this part; may be repeated")
    arguments = parser.parse_args()
    before = describe_machine()
    figures = run_parts(arguments.part or [*_PARTS], QUICK if arguments.quick else FULL)
    if arguments.json:
        print(json.dumps([asdict(each) | {"is_missed": each.is_missed} for each in figures]))
    else:
        print(f"{before}\n\n{figures_table(figures, style=detect_output_style())}")
    return int(arguments.strict and any(each.is_missed for each in figures))


if __name__ == "__main__":
    sys.exit(run_main(_main))
