"""Finetunings that share a GPU, from the queue to the start of their runners."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.daemon.scheduling.devices.gpu_choice import Cards
from bertd.jobs.store.leases import Lease
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState
from bertd.run.paths import StatePaths
from tests.faults.simulated import SimulatedDaemon

BOX = Inventory(cpu_slots=2, gpus=("GPU-0",), no_gpu_reason="", finetunings_per_gpu={"GPU-0": 2})


_GIB = 1 << 30


def queue_finetuning(
    daemon: SimulatedDaemon, folder: Path, *, kind: JobKind = JobKind.FINETUNE, memory_bytes: int | None = None
) -> int:
    draft = Job(
        id=0,
        kind=kind,
        name="cola",
        state=JobState.QUEUED,
        reason="submitted",
        priority=0,
        run_id="",
        folder="",
        device_kind="gpu",
        num_devices=1,
        owner_uid=0,
        created_t=1.0,
        memory_bytes=memory_bytes,
    )
    with daemon.database.transaction():
        reserved = daemon.queue.reserve(draft)
        job = daemon.queue.set_folder(reserved, folder=str(folder / str(reserved.id)), run_id="")
    Path(job.folder).mkdir()
    return job.id


def test_two_finetunings_start_on_one_gpu_and_a_third_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = StatePaths(tmp_path / "state")
    paths.root.mkdir()
    daemon = SimulatedDaemon(paths, {}, inventory=BOX)
    started: dict[int, tuple[list[str], int]] = {}

    def start(
        job_id: int, *, kind: JobKind, folder: Path, devices: dict[str, int], parts: int, memory_bytes: int | None
    ) -> None:
        assert memory_bytes is None
        started[job_id] = list(devices), parts

    monkeypatch.setattr(daemon.runners, "start", start)
    first, second, third = (queue_finetuning(daemon, tmp_path) for _ in range(3))
    daemon.scheduler.tick()

    assert started == {first: (["GPU-0"], 2), second: (["GPU-0"], 2)}
    leases = daemon.queue.leases()
    assert leases.rows == (Lease(first, "GPU-0", 1, parts=2), Lease(second, "GPU-0", 1, parts=2))
    assert daemon.queue.get(first).reason == "starts on one of 2 parts of GPU-0"
    waiting = daemon.queue.get(third)
    assert waiting.state is JobState.QUEUED
    assert (
        waiting.reason == f"waits for 1 GPU, 0 free; jobs {first}, {second} have the rest: pause or stop one, or wait"
    )
    daemon.die()


def test_a_program_starts_on_its_part_of_the_memory_and_keeps_it_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = StatePaths(tmp_path / "state")
    paths.root.mkdir()
    cards = Cards(memory_bytes={"GPU-0": 24 * _GIB})
    box = Inventory(cpu_slots=4, gpus=("GPU-0",), no_gpu_reason="", cards=cards)
    daemon = SimulatedDaemon(paths, {}, inventory=box)
    started: dict[int, int | None] = {}

    def start(job_id: int, *, memory_bytes: int | None, **_: object) -> None:
        started[job_id] = memory_bytes

    monkeypatch.setattr(daemon.runners, "start", start)
    first, second, third = (
        queue_finetuning(daemon, tmp_path, kind=JobKind.COMMAND, memory_bytes=size * _GIB) for size in (10, 14, 1)
    )
    daemon.scheduler.tick()

    assert started == {first: 10 * _GIB, second: 14 * _GIB}
    lease = Lease(first, "GPU-0", 1, memory_bytes=10 * _GIB, of_bytes=24 * _GIB)
    assert daemon.queue.leases().rows[0] == lease
    assert daemon.queue.get(first).reason == "starts on 10.0 GiB of GPU-0"
    assert daemon.queue.get(third).reason.startswith("waits for 1.0 GiB of a GPU's memory; jobs 1, 2 have the rest")
    daemon.die()
