"""Add up the energy of each job: of its GPUs, and its part of the CPU; never what was not seen.

Of GPUs from the cards' own counters, else from their power; of the CPU as bertd.daemon.telemetry.cpu_shares divides it.

A counter tells the energy of all the time since the last look, also while no daemon ran, if the machine was not
restarted meanwhile. Power is integrated from look to look. A GPU that several jobs share
counts for each in equal parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bertd.daemon.configuration.schema import PowerSection
from bertd.daemon.process.journal_log import log_fields
from bertd.daemon.telemetry.cpu_shares import CpuShares
from bertd.daemon.telemetry.gpu_sampler import GpuState
from bertd.errors import StorageError
from bertd.jobs.store.database import Database
from bertd.jobs.store.queue import Queue
from bertd.jobs.store.tables.energy_table import EnergyRow, EnergyTable
from bertd.records import JobEnergy
from bertd.run.job_energy import write_job_energy
from bertd.run.paths import JobPaths

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 30.0
MAX_GAP_S = 10.0
"""Power that was read longer ago says nothing of the time since."""
_J_PER_KWH = 3.6e6


@dataclass(frozen=True)
class _Look:
    """One GPU of one job at the last look."""

    at_s: float
    counter_j: float | None
    power_w: float | None


class EnergyMeter:
    """Holds the rows of the jobs that use energy, and saves them now and then, and when a job no longer does."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        *,
        states: Callable[[], Mapping[str, GpuState]],
        power: Callable[[], PowerSection],
        boot_id: str,
        runner_pids: Callable[[], Mapping[int, int]] = dict,
        cpu_shares: CpuShares | None = None,
    ) -> None:
        """`runner_pids`: the process of each running job, of whose tree the CPU time is taken."""
        self._database = database
        self._queue = queue
        self._table = EnergyTable(database)
        self._states = states
        self._power = power
        self._boot_id = boot_id
        self._runner_pids = runner_pids
        self._cpu_shares = cpu_shares or CpuShares()
        self._rows: dict[int, EnergyRow] = {}
        self._looks: dict[tuple[int, str], _Look] = {}
        self._saved_s = 0.0
        self._is_first = True
        """Jobs that have GPUs now have had them since the daemon before."""

    def energy(self, job_id: int) -> JobEnergy | None:
        """What a job has used so far; None where nothing was measured."""
        row = self._rows.get(job_id) or self._table.of_job(job_id)
        if row is None or row.measured_s == row.cpu_measured_s == 0.0:
            return None
        price, kwh = self._power(), (row.gpu_j + row.cpu_j) / _J_PER_KWH
        return JobEnergy(
            t=row.t,
            gpu_kwh=row.gpu_j / _J_PER_KWH,
            measured_s=row.measured_s,
            unmeasured_s=row.unmeasured_s,
            cpu_kwh=row.cpu_j / _J_PER_KWH if row.cpu_measured_s else None,
            cpu_measured_s=row.cpu_measured_s,
            cost=None if price.price is None else kwh * price.price,
            currency=None if price.price is None else price.currency,
        )

    def advance(self, *, now: float, now_s: float) -> None:
        """Look at each GPU that a job has, and at the CPU time of the jobs.

        Args:
            now: seconds since the epoch.
            now_s: monotonic seconds.

        Raises:
            StorageError: the queue cannot be written; nothing is lost, and the next call tries again.
        """
        leases, states = self._queue.leases(), self._states()
        held = {(lease.job_id, lease.device) for lease in leases.rows if lease.device in states}
        pids = self._runner_pids()
        given_back = self._rows.keys() - {job_id for job_id, _ in held} - pids.keys()
        for job_id, cpu in self._cpu_shares.advance(pids, now_s=now_s).items():
            row = self._row(job_id, now=now)
            self._rows[job_id] = replace(
                row, t=now, cpu_j=row.cpu_j + cpu.joules, cpu_measured_s=row.cpu_measured_s + cpu.elapsed_s
            )
        for job_id, gpu in sorted(held):
            self._look(job_id, gpu, states[gpu], share=1 / len(leases.holders_of(gpu)), now=now, now_s=now_s)
        self._is_first = False
        for key in self._looks.keys() - held:
            del self._looks[key]
        if given_back or (self._rows and now_s - self._saved_s >= SAVE_EVERY_S):
            self._save(given_back)
            self._saved_s = now_s

    def _row(self, job_id: int, *, now: float) -> EnergyRow:
        return self._rows.get(job_id) or self._table.of_job(job_id) or EnergyRow(t=now)

    def _look(self, job_id: int, gpu: str, state: GpuState, *, share: float, now: float, now_s: float) -> None:
        row = self._row(job_id, now=now)
        before, reading = self._looks.get((job_id, gpu)), state.reading
        counter_j = None if reading is None else reading.energy_j
        power_w = None if reading is None else reading.power_w
        if before is None:
            row = self._after_absence(row, gpu, counter_j, share=share, now=now)
        elif reading is None or state.read_s > before.at_s:
            # Between two readings there is nothing to add.
            at_s = now_s if reading is None else state.read_s
            joules = _joules(before, _Look(at_s, counter_j, power_w))
            row = _added(row, joules, elapsed_s=at_s - before.at_s, share=share)
        at_s = now_s if reading is None else state.read_s
        self._looks[(job_id, gpu)] = _Look(at_s, counter_j, power_w)
        counters = {**row.counters_j, **({} if counter_j is None else {gpu: counter_j})}
        self._rows[job_id] = replace(row, t=now, boot_id=self._boot_id, counters_j=counters)

    def _after_absence(
        self, row: EnergyRow, gpu: str, counter_j: float | None, *, share: float, now: float
    ) -> EnergyRow:
        """Add what the card counted while there was no daemon; a job that has just got the card has no counter."""
        if not self._is_first or gpu not in row.counters_j:
            return row
        before_j = row.counters_j[gpu] if row.boot_id == self._boot_id else None
        joules = None if before_j is None or counter_j is None or counter_j < before_j else counter_j - before_j
        return _added(row, joules, elapsed_s=max(0.0, now - row.t), share=share)

    def _save(self, given_back: set[int]) -> None:
        with self._database.transaction():
            for job_id, row in self._rows.items():
                # A counter of a card that it no longer has would be taken for the time since.
                kept = {gpu: joules for gpu, joules in row.counters_j.items() if (job_id, gpu) in self._looks}
                self._rows[job_id] = replace(row, counters_j=kept)
                self._table.put(job_id, self._rows[job_id])
        for job_id in self._rows:
            energy, folder = self.energy(job_id), Path(self._queue.get(job_id).folder)
            if energy is not None and folder.is_dir():
                try:
                    write_job_energy(JobPaths(folder), energy)
                except StorageError as error:
                    logger.warning(
                        "job %d: its energy is in the queue alone: %s", job_id, error, extra=log_fields(job_id)
                    )
        for job_id in given_back:
            del self._rows[job_id]


def _joules(before: _Look, after: _Look) -> float | None:
    """The energy between two looks; None where it was not measured."""
    if before.counter_j is not None and after.counter_j is not None and after.counter_j >= before.counter_j:
        return after.counter_j - before.counter_j
    elapsed_s = after.at_s - before.at_s
    if before.power_w is None or after.power_w is None or elapsed_s > MAX_GAP_S:
        return None
    return (before.power_w + after.power_w) / 2 * elapsed_s


def _added(row: EnergyRow, joules: float | None, *, elapsed_s: float, share: float) -> EnergyRow:
    if joules is None:
        return replace(row, unmeasured_s=row.unmeasured_s + elapsed_s * share)
    return replace(row, gpu_j=row.gpu_j + joules * share, measured_s=row.measured_s + elapsed_s * share)
