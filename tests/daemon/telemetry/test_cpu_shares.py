"""The CPU's energy divided among jobs, with stand-in folders for RAPL and /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.telemetry.cpu_shares import LOOK_EVERY_S, CpuShare, CpuShares
from tests.run.machine.stand_in_proc import put_process, put_stat
from tests.run.machine.test_cpu_energy import zone

RANGE_J = 1.0
"""At which the stand-in counter begins again."""


class Machine:
    """One package of a CPU, and processes, whose counters a test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.counter = zone(root, "intel-rapl:0", label="package-0", energy_uj=0) / "energy_uj"
        self.now_s, self.joules, self.busy_s = 50.0, 0.0, 100.0
        put_stat(root, busy_s=self.busy_s)
        self.cpu_s: dict[int, float] = {}
        self.shares = CpuShares(root)

    def spend(self, seconds: float, *, joules: float, other_s: float = 0.0, **used_s: float) -> None:
        """Time passes, in which processes such as p7 use CPU time, and others of the machine use `other_s`."""
        self.now_s += seconds
        self.joules += joules
        self.counter.write_text(f"{round(self.joules % RANGE_J * 1e6)}\n")
        self.busy_s += other_s + sum(used_s.values())
        put_stat(self.root, busy_s=self.busy_s)
        for process, spent_s in used_s.items():
            pid = int(process.removeprefix("p"))
            self.cpu_s[pid] = self.cpu_s.get(pid, 1.0) + spent_s
            put_process(self.root, pid, parent=1, cpu_s=self.cpu_s[pid])

    def look(self, pids: dict[int, int]) -> dict[int, CpuShare]:
        return {
            job: CpuShare(joules=round(share.joules, 6), elapsed_s=share.elapsed_s)
            for job, share in self.shares.advance(pids, now_s=self.now_s).items()
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_energy_is_divided_by_cpu_time_and_processes_of_no_job_have_their_part(machine: Machine) -> None:
    machine.spend(1, joules=0.1, p7=0.0, p8=0.0)
    assert machine.look({1: 7, 2: 8}) == {}
    machine.spend(10, joules=0.8, p7=3.0, p8=1.0, other_s=4.0)
    assert machine.look({1: 7, 2: 8}) == {1: CpuShare(0.3, 10.0), 2: CpuShare(0.1, 10.0)}


def test_a_counter_that_begins_again_is_continued(machine: Machine) -> None:
    machine.spend(1, joules=0.9, p7=0.0)
    machine.look({1: 7})
    machine.spend(10, joules=0.6, p7=2.0)
    assert machine.look({1: 7}) == {1: CpuShare(0.6, 10.0)}


def test_a_look_is_not_taken_each_second_but_at_once_for_a_new_job(machine: Machine) -> None:
    machine.spend(1, joules=0.0, p7=0.0, p8=0.0)
    machine.look({1: 7})
    machine.spend(LOOK_EVERY_S / 2, joules=0.1, p7=1.0)
    assert machine.look({1: 7}) == {}
    assert machine.look({1: 7, 2: 8}) == {1: CpuShare(0.1, LOOK_EVERY_S / 2)}
    machine.spend(LOOK_EVERY_S, joules=0.2, p7=1.0, p8=1.0)
    assert machine.look({1: 7, 2: 8}) == {1: CpuShare(0.1, LOOK_EVERY_S), 2: CpuShare(0.1, LOOK_EVERY_S)}


def test_time_in_which_the_counter_could_not_be_read_is_nobodys(machine: Machine) -> None:
    machine.spend(1, joules=0.0, p7=0.0)
    machine.look({1: 7})
    machine.counter.unlink()
    machine.now_s += 10
    assert machine.look({1: 7}) == {}
    machine.spend(10, joules=0.5, p7=1.0)
    assert machine.look({1: 7}) == {}
    machine.spend(10, joules=0.1, p7=1.0)
    assert machine.look({1: 7}) == {1: CpuShare(0.1, 10.0)}


def test_a_runner_that_is_gone_or_another_one_is_not_compared(machine: Machine) -> None:
    machine.spend(1, joules=0.0, p7=0.0, p8=0.0)
    machine.look({1: 7, 2: 8})
    (machine.root / "proc/8/stat").unlink()
    machine.spend(10, joules=0.5, p7=1.0, p9=1.0)
    assert machine.look({1: 9, 2: 8}) == {}


def test_processes_without_any_cpu_time_use_nothing(machine: Machine) -> None:
    machine.spend(1, joules=0.0, p7=0.0)
    machine.look({1: 7})
    machine.spend(10, joules=0.5)
    assert machine.look({1: 7}) == {1: CpuShare(0.0, 10.0)}


def test_without_rapl_nothing_is_looked_at(tmp_path: Path) -> None:
    assert CpuShares(tmp_path).advance({1: 7}, now_s=1.0) == {}
