"""When jobs are expected to start and end, over the socket of a real daemon."""

from __future__ import annotations

import os

from bertd.api.models import JobView, SubmitCommand
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.waiting import wait_for


def submit(box: DaemonBox, *argv: str, cpus: int, time_limit_s: float | None, group: str | None = None) -> JobView:
    environment = {"PATH": os.environ["PATH"]}
    return box.client.submit(
        SubmitCommand(
            argv=list(argv),
            cwd=str(box.folder),
            environment=environment,
            cpus=cpus,
            time_limit_s=time_limit_s,
            group=group,
        )
    )


def test_a_job_is_expected_when_the_time_limits_before_it_are_over(shared: DaemonBox) -> None:
    box = shared
    first = submit(box, "sleep", "7200", cpus=box.cores, time_limit_s=7200)
    running = box.wait_for_state(first.id, JobState.RUNNING)
    second = submit(box, "true", cpus=box.cores, time_limit_s=600)
    third = submit(box, "true", cpus=1, time_limit_s=None)
    wait_for(lambda: box.client.job(third.id).expected_start_t is not None, what=f"{box.client.jobs()}")
    shown = {job.id: job for job in box.client.jobs()}
    ends = shown[first.id].expected_end_t
    assert ends is not None and running.started_t is not None and abs(ends - running.started_t - 7200) < 3600
    waiting = shown[second.id]
    assert waiting.expected_start_t is not None and waiting.expected_end_t is not None
    assert (round(waiting.expected_start_t - ends), round(waiting.expected_end_t - ends)) == (0, 600)
    last = shown[third.id]
    assert (last.expected_start_t, last.expected_end_t) == (waiting.expected_end_t, None)
    accuracy = box.client.status().start_accuracy
    assert accuracy is not None and accuracy.num_checked >= accuracy.num_wrong == 0
