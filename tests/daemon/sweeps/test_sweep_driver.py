"""Sweeps over the real queue and scheduler with simulated runs: rungs, ties, failures, and the daemon's death."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.models import SubmitPretrain
from bertd.api.sweep_models import SettingView, SubmitSweep, SweepView
from bertd.errors import QuotaError
from bertd.jobs.store.database import Database
from bertd.jobs.store.lifecycle import Actor, JobAction
from bertd.records import JobState, SettingState, StartRecord, SweepRung, SweepSpec, SweepState
from bertd.run.journal import read_journal
from bertd.run.paths import RunPaths, newest_first
from bertd.run.recipe.load import read_recipe
from tests.daemon.test_wind_down import Box
from tests.jobs.runner_box import recipe_text
from tests.waiting import wait_for

RATES = [4e-3, 1e-3, 3e-3, 2e-3]
"""The loss of a fake run is 2,500 times its rate."""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.daemon.die()


def begin(
    box: Box,
    *rungs: SweepRung,
    rates: list[float] = RATES,
    end_s: float | None = 0.004,
    budget: tuple[str, float] = ("budget.hours", 1.0),
    uid: int = 0,
) -> None:
    spec = SweepSpec(
        name="rates",
        end_s=end_s,
        rungs=list(rungs),
        fixed={"data.shards": str(box.shards), budget[0]: budget[1], "model.layers": 1, "model.width": 16},
        grid={"optimizer.peak_lr": [*rates]},
    )
    order = SubmitSweep(
        spec=spec, sweep_toml="", sweep_name="s.toml", recipe_toml=recipe_text(), recipe_name="fake.toml"
    )
    box.daemon.sweep_actions.begin(order, uid=uid, now=time.time())


def view(box: Box) -> SweepView:
    return box.daemon.sweep_views.sweep(box.daemon.sweep_table.get("@"))


def finish(box: Box) -> SweepView:
    def is_over() -> bool:
        box.turn()
        return view(box).state is not SweepState.RUNNING and not box.daemon.queue.live()

    wait_for(is_over, what="the end of the sweep")
    return view(box)


def num_attempts(box: Box, setting: SettingView) -> int:
    assert setting.job_id is not None
    records = read_journal(RunPaths(Path(box.job(setting.job_id).folder)).journal)
    return sum(isinstance(record, StartRecord) for record in records)


KEEP_HALF = SweepRung(at_s=0.002, keep=0.5)
BOUND = SweepRung(at_s=0.001, max_loss=9.0)


def test_the_worse_ones_are_dropped_at_their_rungs_and_the_best_one_wins(box: Box) -> None:
    begin(box, BOUND, KEEP_HALF)
    done = finish(box)
    assert (done.state, done.winner) == (SweepState.DONE, 2)
    assert [setting.state for setting in done.settings] == [
        *(SettingState.DROPPED, SettingState.FINISHED, SettingState.DROPPED, SettingState.FINISHED),
    ]
    assert [len(setting.losses) for setting in done.settings] == [1, 3, 2, 3]
    assert [setting.rank for setting in done.settings] == [4, 1, 3, 2]
    assert done.settings[0].reason == "validation loss 10.000 at 0.001s is above 9"
    assert done.settings[2].reason == "3 of 3 at 0.002s; the best 2 continue"
    assert done.winner_recipe is not None
    winner = read_recipe(Path(done.winner_recipe))
    assert (winner.optimizer.peak_lr, winner.checkpoint.keep) == (1e-3, 3)
    states = [setting.job_state for setting in done.settings]
    assert states == [JobState.CANCELLED, JobState.DONE, JobState.CANCELLED, JobState.CANCELLED]
    folders = [RunPaths(Path(box.job(setting.job_id or 0).folder)) for setting in done.settings]
    assert [read_recipe(paths.recipe).checkpoint.keep for paths in folders] == [1] * 4
    # Those of dropped settings alone are deleted, and their journals stay.
    assert [bool(newest_first(paths.checkpoints)) for paths in folders] == [False, True, False, True]
    assert all(paths.journal.is_file() for paths in folders)
    assert (done.settings[0].job_reason or "").endswith("its checkpoints were deleted")


def test_of_equal_losses_the_lower_number_continues(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.jobs.fake_ranks.FakeRanks.validation_loss", 5.0)
    begin(box, KEEP_HALF)
    done = finish(box)
    assert [setting.number for setting in done.settings if setting.state is SettingState.FINISHED] == [1, 2]
    assert done.winner == 1


def test_a_loss_that_is_not_finite_loses_and_if_all_do_the_sweep_fails(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.jobs.fake_ranks.FakeRanks.validation_loss", float("nan"))
    begin(box, KEEP_HALF)
    failed = finish(box)
    assert failed.state is SweepState.FAILED
    assert "no setting reached the end; its loss at 0.002s is nan" in failed.reason


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_loss_of_a_part_of_the_validation_set_is_said_where_it_is_compared(
    box: Box, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr("tests.jobs.fake_ranks.FakeRanks.last_validation_share", share)
    begin(box, rates=[3e-3, 1e-3], end_s=None, budget=("budget.steps", 3))
    done = finish(box)
    assert (done.state, done.winner) == (SweepState.DONE, 2)
    reasons = {setting.reason for setting in done.settings if setting.state is SettingState.FINISHED}
    if share == 1.0:
        assert reasons == {""} and "losses are of" not in done.reason
    else:
        assert reasons == {"the time was up after 25.0% of its last validation: its loss is of that part alone"}
        assert "loss 2.500; 2 of 2 losses are of a part of the validation set; " in done.reason


def test_a_run_that_is_past_the_next_rung_too_is_not_started_again_for_it(box: Box) -> None:
    """As on a machine so busy that the first step ends after both rungs and the end."""
    begin(box, SweepRung(at_s=1e-9, keep=0.5), SweepRung(at_s=2e-9, keep=0.5), end_s=3e-9)
    done = finish(box)
    assert (done.state, done.winner) == (SweepState.DONE, 2)
    assert [len(setting.losses) for setting in done.settings] == [1, 3, 1, 2]
    losers = [setting for setting in done.settings if setting.number != 2]
    # The winner alone starts again, for its export.
    assert [num_attempts(box, setting) for setting in losers] == [1, 1, 1]
    assert num_attempts(box, done.settings[1]) == 2


def test_a_setting_whose_run_fails_loses_and_the_others_go_on(box: Box) -> None:
    begin(box, KEEP_HALF)
    box.tick()
    first, second = (setting.job_id for setting in view(box).settings[:2])
    assert second is not None
    # The best one, so that it would have won.
    box.runner(second)._leave(JobState.FAILED, "rank 0 exited with status 1")
    done = finish(box)
    failed = done.settings[1]
    assert (failed.state, failed.rank, failed.losses) == (SettingState.ENDED_EARLY, None, [])
    assert failed.reason == "its run is failed before 0.002s: rank 0 exited with status 1"
    assert (done.state, done.winner) == (SweepState.DONE, 4)
    assert done.settings[0].job_id == first
    assert [len(setting.losses) for setting in done.settings] == [1, 0, 2, 2]


def test_a_cancelled_sweep_stops_what_trains_and_cancels_what_waits(box: Box) -> None:
    begin(box, KEEP_HALF)
    box.tick()
    assert SettingState.TRAINING in {setting.state for setting in view(box).settings}
    box.turn()
    box.daemon.sweep_actions.cancel(box.daemon.sweep_table.get("@"), asked_by="a test", now=1.0)
    box.turn(3)
    over = view(box)
    assert (over.state, over.winner, box.daemon.queue.live()) == (SweepState.CANCELLED, None, [])
    assert {setting.state for setting in over.settings} == {SettingState.ENDED_EARLY}
    submitted = [setting for setting in over.settings if setting.job_id is not None]
    assert submitted
    assert all(setting.job_state in (JobState.DONE, JobState.CANCELLED) for setting in submitted)
    assert all("cancelled by a test" in setting.reason for setting in over.settings)
    box.turn(3)
    assert view(box).settings == over.settings, "nothing is submitted after it"


def test_a_sweep_waits_for_a_setting_that_a_person_paused_and_says_so(box: Box) -> None:
    begin(box, KEEP_HALF, end_s=0.5)
    box.tick()
    number = view(box).settings[1].job_id
    assert number is not None
    box.ask(JobAction.PAUSE, number)

    def others_wait() -> bool:
        box.turn()
        states = [setting.state for setting in view(box).settings if setting.job_id != number]
        return states == [SettingState.AT_RUNG] * 3

    wait_for(others_wait, what="the other settings at their rung")
    assert box.job(number).state is JobState.PAUSED
    waiting = view(box)
    assert waiting.reason == f"waits for setting 2, which a person paused; `bertd resume {number}`"
    box.kill()
    box.turn(3)
    assert box.job(number).state is JobState.PAUSED
    box.ask(JobAction.RESUME, number)
    done = finish(box)
    assert (done.state, done.winner) == (SweepState.DONE, 2)
    assert [len(setting.losses) for setting in done.settings] == [1, 2, 1, 2]


class KilledError(Exception):
    """In place of SIGKILL."""


def test_a_daemon_killed_before_or_after_any_commit_ends_with_the_same_table(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon dies after its 1st, 2nd, 3rd, ... commit, each time in a daemon that has just begun."""
    begin(box, BOUND, KEEP_HALF)
    commits = {"left": 0, "allowed": 1}
    transaction = Database.transaction

    def count(self: Database) -> object:
        if self._depth == 0:
            commits["left"] -= 1
            if commits["left"] < 0:
                raise KilledError
        return transaction(self)

    num_deaths = 0
    while view(box).state is SweepState.RUNNING:
        commits["left"] = commits["allowed"]
        with monkeypatch.context() as patch:
            patch.setattr(Database, "transaction", count)
            try:
                for _ in range(3):
                    box.turn()
            except KilledError:
                num_deaths += 1
        commits["allowed"] = commits["allowed"] % 4 + 1
        box.daemon.die()
        box.begin()
    done = finish(box)
    assert num_deaths > 5
    assert done.winner == 2
    assert [len(setting.losses) for setting in done.settings] == [1, 3, 2, 3]
    assert {job.id for job in box.daemon.queue.most_relevant(limit=100)} == {each.job_id for each in done.settings}


def test_settings_wait_where_their_owner_has_as_many_jobs_as_one_may(box: Box) -> None:
    box.daemon.queued_jobs_per_user = 1
    begin(box, KEEP_HALF, uid=4242)
    box.turn()
    assert box.daemon.queue.num_unended(owner_uid=4242) == 1
    assert "limits.queued_jobs_per_user allows 1" in view(box).reason
    assert sum(setting.job_id is not None for setting in view(box).settings) == 1
    # What has ended does not count, until somebody resumes it.
    (first,) = [setting.job_id for setting in view(box).settings if setting.job_id is not None]
    box.daemon.queue.move(first, JobState.FAILED, reason="", actor=Actor.SCHEDULER, now=time.time())
    other = box.daemon.submissions.submit_pretraining(
        SubmitPretrain(recipe_toml=recipe_text(shards=str(box.shards)), recipe_name="fake.toml"),
        uid=4242,
        now=time.time(),
    )
    with pytest.raises(QuotaError, match="uid 4242 has 1 jobs"):
        box.daemon.job_actions.apply(JobAction.RESUME, box.job(first), asked_by="", now=time.time())
    box.daemon.job_actions.apply(JobAction.STOP, box.job(other.id), asked_by="", now=time.time())
    resumed = box.daemon.job_actions.apply(JobAction.RESUME, box.job(first), asked_by="", now=time.time())
    assert resumed.state is JobState.QUEUED


def test_only_one_module_puts_jobs_into_the_queue_and_it_counts_them() -> None:
    folder = Path(__file__).parents[3] / "bertd"
    files = [path for path in folder.rglob("*.py") if path.parent.name != "daemon_bench"]  # It fills one to measure it.
    callers = {path.name for path in files if re.search(r"queue\.reserve\(", path.read_text())}
    assert callers == {"new_jobs.py"}
