"""Measures what the dashboard costs: bytes a second, processor share, time to the first frame.

    python -m tests.tui.bench_screen [--size 120x40] [--seconds 20] [--socket PATH]

It starts `bert-tui` on a pseudo-terminal, answers the queries that Textual puts to a terminal, waits two seconds,
then counts the bytes that arrive and the processor time that the process uses. Without --socket it shows the
simulated box, whose clock shows a minute for each second, so that more changes than on a real one.
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
"""What stands on the screen as soon as there is a budget on it."""


@dataclass(frozen=True)
class Cost:
    """What one run of the dashboard cost."""

    first_byte_s: float
    first_frame_s: float
    """From the start of the process until the budget stands on the screen."""
    first_frame_cpu_s: float
    """Processor time the process had used by then: what the machine's load cannot change."""
    bytes_per_s: float
    deflated_per_s: float
    """The same through zlib, as `ssh -C` sends it."""
    core_share: float
    memory_bytes: int


def measure(arguments: list[str], *, columns: int, rows: int, seconds: float) -> Cost:
    """Run the dashboard for some seconds on a terminal of that size.

    Raises:
        SystemExit: it shows no run.
    """
    with Terminal(arguments, columns=columns, rows=rows) as terminal:
        first = terminal.read(10.0).decode(errors="replace")
        first_byte_s = time.monotonic() - terminal.started
        if _FRAME not in first and _FRAME not in terminal.read_until(_FRAME, timeout_s=10.0):
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
    parser.add_argument("--socket", help="a real daemon's socket; without it the simulated box")
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
