"""Measure the cost of the dashboard: bytes per second, CPU share, time to the first frame.

    python -m tests.tui.bench_screen [--size 120x40] [--seconds 20] [--socket PATH]

It starts `bert-tui` on a pseudo-terminal, answers Textual's terminal queries, waits two seconds, then counts the
output bytes and the CPU time of the process. Without --socket it shows the simulation, which runs at 60x speed, so more
changes on the screen than with a real daemon.
"""

from __future__ import annotations

import argparse
import time
import zlib
from dataclasses import dataclass

import psutil

from tests.tui.terminal import Terminal

WARM_UP_S = 2.0
_FRAME = "━━━━"
"""On the screen as soon as it shows a budget."""


@dataclass(frozen=True)
class Cost:
    """Cost of one run of the dashboard."""

    first_byte_s: float
    first_frame_s: float
    """Seconds from the start of the process until the screen shows the budget."""
    first_frame_cpu_s: float
    """CPU seconds until then: independent of other load on the machine."""
    bytes_per_s: float
    deflated_per_s: float
    """Compressed bytes per second, as sent by `ssh -C`."""
    core_share: float
    memory_bytes: int


def measure(arguments: list[str], *, columns: int, rows: int, seconds: float) -> Cost:
    """Run the dashboard for `seconds` on a terminal of the given size.

    Raises:
        SystemExit: it shows no run.
    """
    with Terminal(arguments, columns=columns, rows=rows) as terminal:
        first = terminal.read(10.0).decode(errors="replace")
        first_byte_s = time.monotonic() - terminal.started
        if _FRAME not in first and _FRAME not in terminal.read_until(_FRAME):
            raise SystemExit("no frame in 10 s: is there a run to show?")
        first_frame_s = time.monotonic() - terminal.started
        process = psutil.Process(terminal.pid)
        began = process.cpu_times()
        terminal.read_for(WARM_UP_S)
        before = process.cpu_times()
        output = terminal.read_for(seconds)
        after = process.cpu_times()
        memory = process.memory_info().rss
    used_s = after.user + after.system - before.user - before.system
    return Cost(
        first_byte_s=first_byte_s,
        first_frame_s=first_frame_s,
        first_frame_cpu_s=began.user + began.system,
        bytes_per_s=len(output) / seconds,
        deflated_per_s=len(zlib.compress(output)) / seconds,
        core_share=used_s / seconds,
        memory_bytes=memory,
    )


def main() -> None:
    """Print the costs at one or several sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", help="COLUMNSxROWS; may be repeated (default: 80x24 120x40 200x60)")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--socket", help="a real daemon's socket; default: the simulation")
    options = parser.parse_args()
    arguments = ["--socket", options.socket] if options.socket else ["--demo"]
    _print_row("size", "first byte", "first frame", "its cpu", "KB/s", "ssh -C", "core", "memory")
    for size in options.size or ["80x24", "120x40", "200x60"]:
        columns, rows = (int(part) for part in size.split("x"))
        cost = measure(arguments, columns=columns, rows=rows, seconds=options.seconds)
        _print_row(
            size,
            f"{1000 * cost.first_byte_s:.0f} ms",
            f"{1000 * cost.first_frame_s:.0f} ms",
            f"{1000 * cost.first_frame_cpu_s:.0f} ms",
            f"{cost.bytes_per_s / 1000:.2f}",
            f"{cost.deflated_per_s / 1000:.2f}",
            f"{100 * cost.core_share:.1f} %",
            f"{cost.memory_bytes / (1 << 20):.0f} MiB",
        )


def _print_row(*cells: str) -> None:
    print("  ".join(f"{cell:>11}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
