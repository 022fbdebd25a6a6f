"""Groups with limits in a real daemon."""

from __future__ import annotations

import signal

import pytest

from bertd.api.models import JobView
from bertd.errors import SubmissionError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.daemon.test_expected_times import submit
from tests.waiting import wait_for

CONFIGURATION = "[groups.small]\nmax_jobs = 1\nmax_cores = 1\n"


def test_a_group_holds_its_limit_over_kill_9_and_a_reload(cold: DaemonBox) -> None:
    box, file = cold, cold.folder / "configuration" / "bertd.toml"
    file.parent.mkdir()
    file.write_text(CONFIGURATION)
    box.start()

    def add(group: str | None = "small", cpus: int = 1) -> JobView:
        return submit(box, "sleep", "3000", cpus=cpus, time_limit_s=3000, group=group)

    first, second, third = add(), add(), add()
    box.wait_for_state(first.id, JobState.RUNNING)

    def reason(of: JobView) -> str:
        return box.client.job(of.id).reason

    wait_for(lambda: "waits for its group small: 1 of 1 job" in reason(second), what=reason(second))
    wait_for(lambda: f"waits for job {second.id}, which is ahead of it in its group" in reason(third), what="the third")
    wait_for(lambda: box.client.job(third.id).expected_start_t is not None, what="an expected start")
    starts = [box.client.job(id).expected_start_t or 0 for id in (second.id, third.id)]
    assert starts[1] - starts[0] == 3000
    with pytest.raises(SubmissionError, match="needs 2 cores, and the group allows 1"):
        add(cpus=2)
    with pytest.raises(SubmissionError, match="no such group; the groups are: small"):
        add("smal")
    box.kill()
    box.start()
    assert box.client.job(second.id).group == "small"
    assert box.client.job(second.id).state is JobState.QUEUED
    assert any(key.key == "groups.small" for key in box.client.configuration())
    file.write_text(CONFIGURATION.replace("max_jobs = 1", "max_jobs = 2").replace("max_cores = 1", "max_cores = 2"))
    assert box.process is not None
    if box.cores > 1:
        box.process.send_signal(signal.SIGHUP)
        box.wait_for_state(second.id, JobState.RUNNING)
        wait_for(lambda: "2 of 2 jobs in use" in reason(third), what=reason(third))
    box.client.stop(first.id)
    box.client.stop(second.id)
    box.wait_for_state(third.id, JobState.RUNNING)
    box.clear()
