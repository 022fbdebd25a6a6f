"""Somebody removes the folder of a job: the job fails with that reason, soon, and nothing is made in its place."""

from __future__ import annotations

import shutil

import pytest

from bertd.errors import BertdError
from bertd.records import JobState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.fake_ranks import Plan


@pytest.mark.parametrize("has_restarted", [False, True])
def test_a_run_whose_folder_was_removed_fails_with_that_reason(cold: DaemonBox, has_restarted: bool) -> None:
    cold.plan(Plan(hold_at=3))
    cold.start()
    job = cold.submit()
    cold.wait_for_step(job.id, 3)
    folder = cold.run_paths(job.id).root
    if has_restarted:
        cold.kill()
    shutil.rmtree(folder)
    if has_restarted:
        cold.start()
    view = cold.wait_for_state(job.id, JobState.FAILED)
    assert view.reason == f"its folder {folder} was removed, and with it its checkpoints; submit it again"
    assert not folder.exists()


def test_no_command_is_posted_into_a_folder_that_is_gone(cold: DaemonBox) -> None:
    cold.plan(Plan(hold_at=3))
    cold.start()
    job = cold.submit()
    cold.wait_for_step(job.id, 3)
    folder = cold.run_paths(job.id).root
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(BertdError):
        cold.client.stop(job.id)
    assert not folder.exists()
    cold.wait_for_state(job.id, JobState.FAILED)
