"""What would start if a job gave its devices back, asked of a real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.errors import UnknownJobError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan


@pytest.fixture
def box(tmp_path: Path) -> Iterator[DaemonBox]:
    box = DaemonBox(tmp_path)
    box.plan(Plan(step_s=0.02, checkpoint_every=1000))
    box.start()
    yield box
    box.clean_up()


def test_the_jobs_that_a_pause_would_let_start_are_those_that_then_start(box: DaemonBox) -> None:
    first = box.submit_wide(steps=100_000)
    box.wait_for_state(first.id, JobState.RUNNING)
    next_up, too_late = box.submit(steps=100_000), box.submit_wide(steps=100_000)
    held = box.client.submit(box.pretraining(hold=True))
    after = box.client.submit(box.pretraining().model_copy(update={"after": [str(next_up.id)]}))
    box.wait_for_reason(too_late.id, "ahead of it in the queue")

    expected = [job.id for job in box.client.would_start(first.id)]
    assert expected == [next_up.id]
    assert box.client.would_start(held.id) == [], "it has no devices to give back"
    with pytest.raises(UnknownJobError):
        box.client.would_start(99)

    box.client.pause(first.id)
    box.wait_for_state(next_up.id, JobState.RUNNING)
    states = {job.id: job.state for job in box.client.jobs()}
    assert (states[too_late.id], states[after.id]) == (JobState.QUEUED, JobState.QUEUED)
