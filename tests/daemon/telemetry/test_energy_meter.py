"""Energy from counters, from power, of shared cards, over the absence of a daemon; and never what was not measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bertd.daemon.configuration.schema import PowerSection
from bertd.daemon.telemetry.cpu_shares import CpuShares
from bertd.daemon.telemetry.energy_meter import SAVE_EVERY_S, EnergyMeter
from bertd.daemon.telemetry.gpu_sampler import GpuState, Health
from bertd.jobs.store.database import Database
from bertd.jobs.store.event_log import EventLog
from bertd.jobs.store.queue import Job, Queue
from bertd.records import GpuReading, JobKind, JobState
from bertd.run.job_energy import read_job_energy
from bertd.run.paths import JobPaths
from tests.daemon.telemetry.test_cpu_shares import Machine

KWH_J = 3.6e6


class Box:
    """Jobs with GPUs, whose readings a test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "queue.db")
        self.queue = Queue(self.database, EventLog(self.database))
        self.states: dict[str, GpuState] = {}
        self.now_s = 100.0
        self.price = PowerSection(price=0.5, currency="EUR")
        self.meter = self.new_meter()

    def new_meter(
        self,
        *,
        boot_id: str = "boot",
        cpu_shares: CpuShares | None = None,
        runner_pids: Callable[[], Mapping[int, int]] = dict,
    ) -> EnergyMeter:
        return EnergyMeter(
            self.database,
            self.queue,
            states=lambda: self.states,
            power=lambda: self.price,
            boot_id=boot_id,
            cpu_shares=cpu_shares,
            runner_pids=runner_pids,
        )

    def job(self, *gpus: str, parts: int = 1) -> int:
        with self.database.transaction():
            job = self.queue.reserve(
                Job(
                    id=0,
                    kind=JobKind.PRETRAIN,
                    name="x",
                    state=JobState.RUNNING,
                    reason="",
                    priority=0,
                    run_id="",
                    folder="",
                    device_kind="gpu",
                    num_devices=len(gpus),
                    owner_uid=0,
                    created_t=0.0,
                    started_t=None,
                    ended_t=None,
                )
            )
            folder = self.folder / f"run-{job.id}"
            folder.mkdir()
            self.queue.set_folder(job, folder=str(folder), run_id=f"{job.id}-x")
            self.queue.lease(job.id, dict.fromkeys(gpus, 1), parts=parts)
        return job.id

    def look(self, seconds: float, *, counter_j: float | None = None, power_w: float | None = None) -> None:
        """Time passes, and GPU A is read."""
        self.now_s += seconds
        reading = GpuReading(energy_j=counter_j, power_w=power_w)
        self.states = {"A": GpuState(reading=reading, read_s=self.now_s)}
        self.advance()

    def advance(self) -> None:
        self.meter.advance(now=1e9 + self.now_s, now_s=self.now_s)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def joules(box: Box, job: int) -> float:
    energy = box.meter.energy(job)
    assert energy is not None
    return round(energy.gpu_kwh * KWH_J, 6)


def test_the_cards_own_counter_decides_and_a_price_gives_the_cost(box: Box) -> None:
    job = box.job("A")
    box.look(1, counter_j=5_000.0, power_w=1.0)
    assert box.meter.energy(job) is None
    box.look(10, counter_j=5_000.0 + 2 * KWH_J, power_w=1.0)
    energy = box.meter.energy(job)
    assert energy is not None
    assert (energy.gpu_kwh, energy.cost, energy.currency) == (2.0, 1.0, "EUR")
    assert (energy.measured_s, energy.unmeasured_s) == (10.0, 0.0)
    box.price = PowerSection()
    energy = box.meter.energy(job)
    assert energy is not None and (energy.cost, energy.currency) == (None, None)


def test_power_is_integrated_where_there_is_no_counter(box: Box) -> None:
    job = box.job("A")
    for power_w in (100.0, 200.0, 200.0):
        box.look(2, power_w=power_w)
    assert joules(box, job) == 2 * 150.0 + 2 * 200.0


def test_time_without_readings_is_counted_as_not_measured(box: Box) -> None:
    job = box.job("A")
    box.look(1, power_w=100.0)
    box.look(1, power_w=100.0)
    box.states = {"A": GpuState(health=Health.NOT_ANSWERING)}
    for _ in range(30):
        box.now_s += 1
        box.advance()
    box.look(1, power_w=100.0)
    energy = box.meter.energy(job)
    assert energy is not None
    assert (joules(box, job), energy.measured_s, energy.unmeasured_s) == (100.0, 1.0, 31.0)


def test_a_shared_card_counts_in_equal_parts(box: Box) -> None:
    first, second = box.job("A", parts=2), box.job("A", parts=2)
    box.look(1, counter_j=0.0)
    box.look(1, counter_j=90.0)
    assert (joules(box, first), joules(box, second)) == (45.0, 45.0)


def test_a_job_is_saved_when_it_gives_its_card_back_and_goes_on_from_there(box: Box) -> None:
    job = box.job("A")
    box.look(1, counter_j=0.0)
    box.look(1, counter_j=50.0)
    box.queue.release(job)
    box.look(1, counter_j=1_000.0)
    stored = read_job_energy(JobPaths(box.folder / f"run-{job}"))
    assert stored is not None and round(stored.gpu_kwh * KWH_J, 6) == 50.0
    box.queue.lease(job, {"A": 1})
    box.look(1, counter_j=9_000.0)
    box.look(1, counter_j=9_010.0)
    assert joules(box, job) == 60.0


@pytest.mark.parametrize(("boot_id", "total", "unmeasured_s"), [("boot", 550.0, 0.0), ("another", 50.0, 100.0)])
def test_a_counter_tells_of_the_time_without_a_daemon(
    box: Box, boot_id: str, total: float, unmeasured_s: float
) -> None:
    job = box.job("A")
    box.look(1, counter_j=100.0)
    box.look(SAVE_EVERY_S, counter_j=150.0)
    box.meter = box.new_meter(boot_id=boot_id)
    box.look(100, counter_j=650.0)
    energy = box.meter.energy(job)
    assert energy is not None
    assert (joules(box, job), round(energy.unmeasured_s, 3)) == (total, unmeasured_s)


def test_a_damaged_file_is_no_energy(box: Box) -> None:
    paths = JobPaths(box.folder)
    assert read_job_energy(paths) is None
    paths.energy.write_text("{")
    assert read_job_energy(paths) is None


@pytest.mark.parametrize("damaged", ["", "{", "[1]", '{"A": "much"}', "null"])
def test_a_damaged_counter_costs_only_what_was_used_without_a_daemon(box: Box, damaged: str) -> None:
    job = box.job("A")
    box.look(0, counter_j=1000.0)
    box.look(SAVE_EVERY_S, counter_j=1000.0 + KWH_J)
    with box.database.transaction():
        box.database.execute("UPDATE job_energy SET counters_j = ?", (damaged,))
    box.meter = box.new_meter()
    box.look(60, counter_j=1000.0 + 2 * KWH_J)
    box.look(1, counter_j=1000.0 + 3 * KWH_J)
    energy = box.meter.energy(job)
    assert energy is not None and energy.gpu_kwh == pytest.approx(2.0)


def test_the_cpu_of_a_job_without_gpus_counts_too_and_is_in_the_cost(box: Box) -> None:
    job = box.job()
    machine = Machine(box.folder)
    box.meter = box.new_meter(cpu_shares=machine.shares, runner_pids=lambda: {job: 7})
    machine.spend(1, joules=0.0, p7=0.0)
    box.advance()
    assert box.meter.energy(job) is None
    for _ in range(2):
        box.now_s += SAVE_EVERY_S
        machine.spend(SAVE_EVERY_S, joules=0.36, p7=1.0, other_s=1.0)
        box.advance()
    energy = box.meter.energy(job)
    assert energy is not None and energy.cpu_kwh is not None and energy.cost is not None
    assert (round(energy.cpu_kwh * KWH_J, 6), energy.gpu_kwh, energy.cpu_measured_s) == (0.36, 0.0, 2 * SAVE_EVERY_S)
    assert energy.cost == energy.cpu_kwh * 0.5
    assert read_job_energy(JobPaths(box.folder / f"run-{job}")) == energy
    # It has ended: what was counted is in the queue.
    box.meter = box.new_meter()
    assert box.meter.energy(job) == energy
