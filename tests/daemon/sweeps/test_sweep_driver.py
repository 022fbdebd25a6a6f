"""Sweeps over the real queue and scheduler with simulated runs: rungs, ties, failures, and the daemon's death."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.api.sweep_models import SubmitSweep, SweepView
from bertd.jobs.store.database import Database
from bertd.records import JobState, SettingState, SweepRung, SweepSpec, SweepState
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


def begin(box: Box, *rungs: SweepRung, rates: list[float] = RATES, end_s: float = 0.004) -> None:
    spec = SweepSpec(
        name="rates",
        end_s=end_s,
        rungs=list(rungs),
        fixed={"data.shards": str(box.shards), "budget.hours": 1.0, "model.layers": 1, "model.width": 16},
        grid={"optimizer.peak_lr": [*rates]},
    )
    order = SubmitSweep(
        spec=spec, sweep_toml="", sweep_name="s.toml", recipe_toml=recipe_text(), recipe_name="fake.toml"
    )
    box.daemon.sweep_actions.begin(order, uid=0, now=time.time())


def view(box: Box) -> SweepView:
    return box.daemon.sweep_views.sweep(box.daemon.sweep_table.get("@"))


def finish(box: Box) -> SweepView:
    def is_over() -> bool:
        box.turn()
        return view(box).state is not SweepState.RUNNING and not box.daemon.queue.live()

    wait_for(is_over, what="the end of the sweep")
    return view(box)


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
    assert done.settings[0].reason == "validation loss 10.000 at 0s is above 9"
    assert done.settings[2].reason == "3 of 3 at 0s; the best 2 continue"
    assert done.winner_recipe is not None
    assert read_recipe(Path(done.winner_recipe)).optimizer.peak_lr == 1e-3
    states = [setting.job_state for setting in done.settings]
    assert states == [JobState.CANCELLED, JobState.DONE, JobState.CANCELLED, JobState.CANCELLED]


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
    assert "no setting reached the end; its loss at 0s is nan" in failed.reason


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
