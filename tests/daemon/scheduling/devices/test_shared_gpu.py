"""Finetunings that share a GPU, from the queue to the start of their runners."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertd.daemon.scheduling.devices.device_allocation import Inventory
from bertd.jobs.store.leases import Lease
from bertd.jobs.store.queue import Job
from bertd.records import JobKind, JobState
from bertd.run.paths import StatePaths
from tests.faults.simulated import SimulatedDaemon

BOX = Inventory(cpu_slots=2, gpus=("GPU-0",), no_gpu_reason="", finetunings_per_gpu={"GPU-0": 2})


def queue_finetuning(daemon: SimulatedDaemon, folder: Path) -> int:
    draft = Job(
        id=0,
        kind=JobKind.FINETUNE,
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

    def start(job_id: int, *, kind: JobKind, folder: Path, devices: dict[str, int], parts: int) -> None:
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
