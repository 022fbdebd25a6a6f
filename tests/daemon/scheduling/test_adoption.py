"""Which processes are taken for the runner of an earlier daemon."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from bertd.daemon.scheduling.runners import Runners, has_other_runner
from bertd.jobs.processes import own_identity
from bertd.jobs.runner.run_job import job_lock
from bertd.run.paths import JobPaths


def runners() -> Runners:
    return Runners(command=lambda folder, kind: [], wake=lambda: None)


async def test_a_runner_is_adopted_by_pid_and_start_time(tmp_path: Path) -> None:
    JobPaths(tmp_path).runner.write_text(own_identity().model_dump_json())
    watching = runners()
    assert watching.adopt(1, folder=tmp_path)
    assert watching.attached[1].identity == own_identity()
    watching.detach(1)


async def test_another_process_or_thread_by_the_number_of_a_dead_runner_is_not_adopted(tmp_path: Path) -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    assert thread.native_id is not None
    try:
        for pid in (os.getppid(), thread.native_id):
            reused = own_identity().model_copy(update={"pid": pid, "start_ticks": 1})
            JobPaths(tmp_path).runner.write_text(reused.model_dump_json())
            assert not runners().adopt(1, folder=tmp_path)
    finally:
        go_on.set()
        thread.join()


def test_a_runner_that_has_not_said_who_it_is_is_known_by_its_lock(tmp_path: Path) -> None:
    assert not has_other_runner(tmp_path)
    with job_lock(JobPaths(tmp_path)):
        assert has_other_runner(tmp_path)
    assert not has_other_runner(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
