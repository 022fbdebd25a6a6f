"""CPU time of process trees and of the whole machine, from /proc.

Source: proc(5), /proc/stat and /proc/PID/stat; both count in clock ticks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PARENT, _FIRST_TIME, _NUM_TIMES = 1, 11, 4
"""Places in /proc/PID/stat after the command, of: the parent's pid; utime, stime, cutime, cstime."""
_BUSY = (0, 1, 2, 5, 6)
"""Places in the first line of /proc/stat of: user, nice, system, irq, softirq. Guests are in user and nice."""


def read_busy_s(root: Path = Path("/")) -> float:
    """Seconds since the boot in which cores were busy, of all cores together.

    Raises:
        OSError: there is no /proc.
    """
    first = (root / "proc/stat").read_text(encoding="ascii").partition("\n")[0].split()[1:]
    return sum(int(first[place]) for place in _BUSY) / _TICKS_PER_S


def read_tree_s(pids: Iterable[int], root: Path = Path("/")) -> dict[int, float]:
    """CPU seconds of each process and all its descendants, those that have exited too; without those that are gone.

    The time of a child that was waited for is its parent's, so a tree's sum grows also where children come and go.
    """
    times_s: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for entry in os.scandir(root / "proc"):
        if not entry.name.isdecimal():
            continue
        try:
            with Path(f"{entry.path}/stat").open(encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            # It has exited since.
            continue
        times_s[int(entry.name)] = sum(map(int, fields[_FIRST_TIME : _FIRST_TIME + _NUM_TIMES])) / _TICKS_PER_S
        children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    sums: dict[int, float] = {}
    for pid in times_s.keys() & set(pids):
        waiting, sums[pid] = [pid], 0.0
        while waiting:
            at = waiting.pop()
            sums[pid] += times_s.get(at, 0.0)
            waiting.extend(children.get(at, ()))
    return sums
