from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from bertd.daemon.scheduling.orphans import JOB_VARIABLE
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.waiting import wait_for


def test_a_process_that_names_a_job_and_has_no_runner_is_reported_at_the_next_start(cold: DaemonBox) -> None:
    cold.plan(Plan(hold_at=3))
    cold.start()
    job = cold.submit()
    cold.wait_for_step(job.id, 3)
    environment = os.environ | {JOB_VARIABLE: str(cold.run_paths(job.id).root)}
    left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=environment)
    stranger = subprocess.Popen(["sleep", "1000", cold.run_paths(job.id).root])
    try:
        cold.kill()
        cold.start()
        warnings = [event.text for event in cold.events() if event.text.startswith("orphan: ")]
        assert len(warnings) == 1
        assert f"process {left.pid} (" in warnings[0] and f"end it with `kill {left.pid}`" in warnings[0]
        assert f"process {left.pid}" in cold.log and left.poll() is None
        # The runner that survives, and its ranks, are not orphans.
        assert len(psutil.Process(cold.runner(job.id).pid).children(recursive=True)) == 1
    finally:
        for process in (left, stranger):
            process.kill()
            process.wait()


def test_ranks_that_outlived_their_runner_would_be_found(cold: DaemonBox, monkeypatch: pytest.MonkeyPatch) -> None:
    # No process of bertd does so: here the request to die with the parent is cancelled.
    cold.plan(Plan(hold_at=3, orphan=True))
    cold.start()
    job = cold.submit()
    cold.wait_for_step(job.id, 3)
    runner = psutil.Process(cold.runner(job.id).pid)
    child = next(each for each in runner.children(recursive=True) if each.ppid() != runner.pid)
    cold.kill()
    os.kill(runner.pid, signal.SIGKILL)
    wait_for(lambda: not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE, what="the runner's end")
    cold.plan(Plan())
    cold.start()
    assert any(f"process {child.pid} (" in event.text for event in cold.events())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a process of another user")
def test_another_users_process_cannot_plant_an_alert(cold: DaemonBox) -> None:
    cold.start()
    job = cold.submit()
    cold.wait_for_state(job.id, JobState.DONE)
    assert cold.stop() == 0
    environment = os.environ | {JOB_VARIABLE: str(cold.run_paths(job.id).root)}
    stranger = subprocess.Popen(["sleep", "1000"], env=environment, user=65534, group=65534, extra_groups=[])
    try:
        cold.start()
        assert [event.text for event in cold.events() if event.text.startswith("orphan: ")] == []
        assert f"process {stranger.pid}" not in cold.log
    finally:
        stranger.kill()
        stranger.wait()


def test_the_command_line_of_an_orphan_does_not_command_the_terminal_that_shows_the_log(cold: DaemonBox) -> None:
    cold.start()
    job = cold.submit()
    cold.wait_for_state(job.id, JobState.DONE)
    assert cold.stop() == 0
    environment = os.environ | {JOB_VARIABLE: str(cold.run_paths(job.id).root)}
    command = [sys.executable, "-c", "import signal; signal.pause()", "\x1b]52;c;QUFB\x07\nWARNING forged"]
    left = subprocess.Popen(command, env=environment)
    try:
        cold.start()
        assert f"process {left.pid} (" in cold.log
        assert "\\x1b]52;c;QUFB\\x07 WARNING forged" in cold.log
        assert "\x1b" not in cold.log and "\nWARNING forged" not in cold.log
    finally:
        left.kill()
        left.wait()
