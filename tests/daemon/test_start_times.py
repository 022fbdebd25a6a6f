"""Begin times and hours of the day, over the socket of a real daemon, whose clock on the wall a time zone moves."""

from __future__ import annotations

import os
import time

import pytest

from bertd.api.models import SubmitCommand
from bertd.errors import SubmissionError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan
from tests.waiting import wait_for

# POSIX writes the zone that is twelve hours ahead with a minus.
OPEN, CLOSED = {"TZ": "UTC0"}, {"TZ": "AHEAD-12"}


def test_a_run_works_in_its_hours_alone_and_is_paused_cold_and_uncharged_outside(cold: DaemonBox) -> None:
    box = cold
    box.plan(Plan(hold_at=3))
    box.start(env=OPEN)
    hour = time.gmtime().tm_hour
    hours = f"{(hour - 2) % 24:02d}:00-{(hour + 4) % 24:02d}:00"
    job = box.client.submit(box.pretraining(steps=6).model_copy(update={"only": hours}))
    later = box.client.submit(box.pretraining(steps=6).model_copy(update={"begin": "+2h"}))
    box.wait_for_step(job.id, 3)
    assert job.only == hours
    assert later.begin_t is not None and later.begin_t > time.time() + 3600
    wait_for(lambda: box.client.job(later.id).reason.startswith("may start "), what=f"{box.client.job(later.id)}")
    box.kill()
    box.start(env=CLOSED)
    closed = box.wait_for_state(job.id, JobState.QUEUED)
    wait_for(lambda: "outside of its hours" in box.client.job(job.id).reason, what=f"{box.client.job(job.id)}")
    assert f"at {(hour - 2) % 24:02d}:00 AHEAD" in box.client.job(job.id).reason
    assert closed.devices == []
    charged_s = box.client.run(job.id).budget.charged_s
    assert box.client.run(job.id).budget.charged_s == charged_s
    box.release()
    assert box.stop() == 0
    box.start(env=OPEN)
    box.wait_for_state(job.id, JobState.DONE)
    assert box.steps(job.id) == list(range(1, 7))
    assert box.client.run(job.id).steps_lost == 0
    assert box.client.job(later.id).state is JobState.QUEUED


def test_times_that_are_none_are_refused_before_there_is_a_job(shared: DaemonBox) -> None:
    box, before = shared, len(shared.client.jobs())
    run = box.pretraining()
    command = SubmitCommand(argv=["true"], cwd=str(box.folder), environment={"PATH": os.environ["PATH"]})
    for wrong, words in (
        (run.model_copy(update={"begin": "tonight"}), "--begin: 'tonight' is not a time; give 22:00"),
        (run.model_copy(update={"begin": "2020-01-01T00:00"}), "--begin: '2020-01-01T00:00' is over"),
        (run.model_copy(update={"only": "8-20"}), "--only: '8-20' is not a part of the day"),
        (command.model_copy(update={"only": "20:00-08:00"}), "--only: a program cannot be paused"),
    ):
        with pytest.raises(SubmissionError, match=words):
            box.client.submit(wrong)
    assert len(box.client.jobs()) == before
