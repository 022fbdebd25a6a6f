"""Divide the energy of the CPU among jobs: each has its process tree's part of the time in which cores were busy.

That is an estimate. RAPL counts for whole packages: it does not say which core, vector unit or clock a process used,
and what an idle CPU draws falls to those who use it. Processes that are of no job have their part, which is nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bertd.run.machine.cpu_energy import CpuEnergy
from bertd.run.machine.cpu_time import read_busy_s, read_tree_s

LOOK_EVERY_S = 5.0
"""A look reads the stat file of each process of the machine."""


@dataclass(frozen=True)
class CpuShare:
    """What one job used since the look before."""

    joules: float
    elapsed_s: float


@dataclass(frozen=True)
class _Look:
    at_s: float
    joules: float
    busy_s: float
    trees_s: Mapping[int, float]
    """CPU seconds of each job's process tree."""
    pids: Mapping[int, int]


class CpuShares:
    """Looks at the CPU's counter and the jobs' processes now and then."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`root`: what stands for / in a test."""
        self._root = root
        self._energy = CpuEnergy(root)
        self._last: _Look | None = None

    def advance(self, pids: Mapping[int, int], *, now_s: float) -> dict[int, CpuShare]:
        """What each job used since the last look; empty between looks, and where RAPL cannot be read.

        Args:
            pids: of each job's runner.
            now_s: monotonic seconds.
        """
        if not self._energy.is_readable:
            return {}
        before = self._last
        # A job that has begun is looked at at once: what it uses from here on is then counted.
        if before is not None and now_s - before.at_s < LOOK_EVERY_S and pids.items() <= before.pids.items():
            return {}
        joules = self._energy.read_j() if pids else None
        if joules is None:
            self._last = None
            return {}
        trees_s = read_tree_s(pids.values(), self._root)
        now = _Look(
            at_s=now_s,
            joules=joules,
            busy_s=read_busy_s(self._root),
            trees_s={job_id: trees_s[pid] for job_id, pid in pids.items() if pid in trees_s},
            pids=dict(pids),
        )
        self._last = now
        return {} if before is None else divide(before, now)


def divide(before: _Look, now: _Look) -> dict[int, CpuShare]:
    """By job that both looks saw with the same runner."""
    used_s = {
        # A descendant that another process has adopted takes its time along.
        job_id: max(0.0, now.trees_s[job_id] - before.trees_s[job_id])
        for job_id in now.trees_s.keys() & before.trees_s.keys()
        if before.pids[job_id] == now.pids[job_id]
    }
    # The kernel counts the machine's time and a process's own in different places; neither is exact to the tick.
    busy_s = max(now.busy_s - before.busy_s, sum(used_s.values()))
    joules, elapsed_s = now.joules - before.joules, now.at_s - before.at_s
    return {
        job_id: CpuShare(joules=joules * seconds / busy_s if busy_s > 0 else 0.0, elapsed_s=elapsed_s)
        for job_id, seconds in used_s.items()
    }
