"""Changing the times and the group of jobs in a real daemon."""

from __future__ import annotations

import time

import pytest

from bertd.errors import SubmissionError, TransitionError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.daemon.test_expected_times import submit
from tests.jobs.fake_ranks import Plan
from tests.waiting import wait_for


def closed_hours() -> str:
    """Hours that begin in six hours."""
    begin = time.localtime(time.time() + 6 * 3600)
    return f"{begin.tm_hour:02d}:00-{(begin.tm_hour + 1) % 24:02d}:00"


def test_times_are_changed_while_a_job_waits_and_runs_and_survive_kill_9(box: DaemonBox) -> None:
    client = box.client
    box.plan(Plan(hold_at=3))
    run = client.submit(box.pretraining(steps=20).model_copy(update={"begin": "+5h"}))
    wait_for(lambda: "may start" in client.job(run.id).reason, what="the job to wait for its time")
    client.change(run.id, begin="none")
    box.wait_for_state(run.id, JobState.RUNNING)
    with pytest.raises(TransitionError, match="its begin cannot be changed"):
        client.change(run.id, begin="+1h")
    hours = closed_hours()
    assert client.change(run.id, only=hours).only == hours
    box.kill()
    box.start()
    box.wait_for_state(run.id, JobState.QUEUED)
    assert client.job(run.id).only == hours
    with pytest.raises(SubmissionError, match="no such group"):
        client.change(run.id, group="x")
    with pytest.raises(SubmissionError, match="--begin"):
        client.change(run.id, begin="soon")
    box.plan(Plan())
    client.change(run.id, only="none")
    box.wait_for_state(run.id, JobState.DONE)
    with pytest.raises(TransitionError, match="is done"):
        client.change(run.id, only=hours)
    command = submit(box, "sleep", "3000", cpus=1, time_limit_s=3000)
    with pytest.raises(SubmissionError, match="cannot be paused"):
        client.change(command.id, only=hours)
    box.clear()
