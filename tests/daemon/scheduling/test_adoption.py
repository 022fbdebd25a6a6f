"""Which processes are adopted as runners of an earlier daemon."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import psutil
import pytest

import bertd
from bertd.daemon.scheduling.runners import Runners, has_other_runner
from bertd.jobs.runner.run_job import job_lock
from bertd.records import JobState
from bertd.run.machine.processes import own_identity
from bertd.run.paths import JobPaths
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Death, Plan


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


def with_runner_of_other_version(box: DaemonBox, version: str | None) -> int:
    """A run at step 7 whose daemon was killed, and whose runner another version of bertd started."""
    box.plan(Plan(hold_at=7))
    id = box.submit().id
    box.wait_for_step(id, 7)
    box.kill()
    path = box.run_paths(id).runner
    identity = json.loads(path.read_text())
    assert identity.pop("version") == bertd.__version__
    path.write_text(json.dumps(identity if version is None else identity | {"version": version}))
    return id


@pytest.mark.parametrize(("version", "text"), [(None, "an earlier bertd"), ("0.1.0", "bertd 0.1.0")])
def test_a_runner_of_another_version_is_adopted_with_a_warning_and_left_alone(
    box: DaemonBox, version: str | None, text: str
) -> None:
    id = with_runner_of_other_version(box, version)
    before = box.runner(id)
    box.start()
    job = box.client.job(id)
    assert (job.state, box.runner(id)) == (JobState.RUNNING, before)
    assert f"its runner is of {text} and this daemon of {bertd.__version__}" in job.reason
    assert f"`bertd pause {id}`, then `bertd resume {id}`" in job.reason
    (alert,) = [event for event in box.events() if event.type == "alert"]
    assert (alert.job_id, alert.data["code"]) == (id, "runner_version")
    box.client.pause(id)
    paused = box.wait_for_state(id, JobState.PAUSED)
    assert "its runner is of" not in paused.reason
    box.release()
    box.client.resume(id)
    assert "its runner is of" not in box.wait_for_state(id, JobState.DONE).reason
    assert box.steps(id) == list(range(1, 21))


def test_a_runner_of_another_version_that_cannot_start_ranks_fails_with_the_remedy(box: DaemonBox) -> None:
    id = with_runner_of_other_version(box, None)
    box.plan(Plan(every_attempt=Death(at_step=-1, exit_code=1)))
    box.start()
    for rank in psutil.Process(box.runner(id).pid).children(recursive=True):
        rank.kill()
    failed = box.wait_for_state(id, JobState.FAILED)
    assert failed.reason.endswith(f"if that is the cause, `bertd resume {id}` is enough")
    box.plan(Plan())
    box.client.resume(id)
    box.wait_for_state(id, JobState.DONE)
    assert sorted(set(box.steps(id))) == list(range(1, 21))


def test_a_runner_of_this_version_is_adopted_without_a_warning(box: DaemonBox) -> None:
    box.plan(Plan(hold_at=7))
    id = box.submit().id
    box.wait_for_step(id, 7)
    box.kill()
    box.start()
    assert "version" not in box.client.job(id).reason
    assert not [event for event in box.events() if event.type == "alert"]
    box.release()
    box.wait_for_state(id, JobState.DONE)
