"""Files of /proc as the kernel writes them, in a folder of a test. Layout: proc(5)."""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def put_stat(root: Path, *, busy_s: float) -> None:
    """The machine's CPU time; it was idle for 1,000 s and waited for disks for 500 s."""
    ticks = round(busy_s * TICKS_PER_S)
    user, idle, iowait = ticks - 4, 1_000 * TICKS_PER_S, 500 * TICKS_PER_S
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/stat").write_text(f"cpu  {user} 1 1 {idle} {iowait} 1 1 0 0 0\ncpu0 9 9 9 9 9 9 9 0 0 0\nintr 5\n")


def put_process(root: Path, pid: int, *, parent: int, cpu_s: float, name: str = "python") -> None:
    """A process that has used so much CPU time, a tick of it in children that it waited for."""
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    used = round(cpu_s * TICKS_PER_S) - 2
    times = f"{used} 1 1 0"
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} {pid} {pid} 0 -1 4194560 1 0 0 0 {times} 20 0 1 0 7 9 9\n")
