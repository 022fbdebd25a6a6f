"""Sweeps over the socket of a real daemon with fake ranks."""

from __future__ import annotations

import pytest

from bertd.api.sweep_models import SubmitSweep
from bertd.errors import QueueError, SubmissionError, TransitionError, UnknownJobError
from bertd.records import SettingState, SweepRung, SweepSpec, SweepState
from tests.daemon.daemon_box import DaemonBox
from tests.jobs.runner_box import recipe_text
from tests.waiting import wait_for


def order(box: DaemonBox, name: str) -> SubmitSweep:
    spec = SweepSpec(
        name=name,
        end_s=0.4,
        rungs=[SweepRung(at_s=0.2, keep=0.5)],
        fixed={"data.shards": str(box.shards), "budget.hours": 1.0},
        grid={"optimizer.peak_lr": [2e-3, 1e-3]},
    )
    return SubmitSweep(spec=spec, sweep_toml="x", sweep_name="s.toml", recipe_toml=recipe_text(), recipe_name="r.toml")


def test_a_sweep_is_begun_listed_finished_over_a_kill_9_and_not_begun_twice(box: DaemonBox) -> None:
    begun = box.client.submit_sweep(order(box, "first"))
    assert begun.state is SweepState.RUNNING
    box.kill()
    box.start()
    wait_for(lambda: box.client.sweep("first").state is not SweepState.RUNNING, what=f"the sweep\n{box.log}")
    done = box.client.sweep("@")
    assert (done.state, done.winner, done.id) == (SweepState.DONE, 2, begun.id)
    assert [each.name for each in box.client.sweeps()] == ["first"]
    with pytest.raises(QueueError, match="first: sweep 1 has this name and is done"):
        box.client.submit_sweep(order(box, "first"))
    with pytest.raises(TransitionError, match="is done already"):
        box.client.cancel_sweep("first")
    with pytest.raises(UnknownJobError, match="no such sweep"):
        box.client.sweep("second")
    cancelled = box.client.cancel_sweep(box.client.submit_sweep(order(box, "second")).id)
    assert cancelled.state is SweepState.CANCELLED
    assert {each.state for each in cancelled.settings} == {SettingState.ENDED_EARLY}


def test_the_runs_of_a_sweep_count_for_its_group(cold: DaemonBox) -> None:
    box, file = cold, cold.folder / "configuration" / "bertd.toml"
    file.parent.mkdir()
    file.write_text("[groups.small]\nmax_jobs = 1\n")
    box.start()
    with pytest.raises(SubmissionError, match="no such group; the groups are: small"):
        box.client.submit_sweep(order(box, "first").model_copy(update={"group": "big"}))
    begun = box.client.submit_sweep(order(box, "first").model_copy(update={"group": "small"}))
    assert begun.group == "small"
    wait_for(lambda: box.client.sweep("first").state is not SweepState.RUNNING, what=f"the sweep\n{box.log}")
    jobs = [box.client.job(each.job_id) for each in box.client.sweep("first").settings if each.job_id is not None]
    assert len(jobs) == 2 and {job.group for job in jobs} == {"small"}
