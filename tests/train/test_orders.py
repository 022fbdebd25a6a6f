"""Rank 0 decides from clock, mailbox and signals; the schedule ends where the reserve begins."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from bertd.records import Verb
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths
from bertd.run.recipe import Recipe
from bertd.run.recipe_file import parse_recipe
from bertd.train.checkpoint import TrainingState
from bertd.train.orders import Conductor, Ending, Order


class FakeClock:
    """Charged time as the test says."""

    def __init__(self) -> None:
        self.charged_s = 0.0

    def now_s(self) -> float:
        return self.charged_s

    is_held = False

    def hold(self) -> None:
        self.is_held = True

    def go_on(self) -> float:
        self.is_held = False
        return 0.0


def recipe(*overrides: str) -> Recipe:
    text = '[run]\nname = "r"\n[budget]\nhours = 1\n[data]\nshards = "s"\n[devices]\nkind = "cpu"\ncount = 2\n'
    return parse_recipe(text, name="r", overrides=list(overrides))


def state(**values: object) -> TrainingState:
    start = TrainingState(
        step=0,
        sequences=0,
        charged_s=0.0,
        recipe_sha256="r",
        data_fingerprint="d",
        next_validation_s=1e9,
        next_checkpoint_s=1e9,
    )
    return start.model_copy(update=values)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def conductor(tmp_path: Path, clock: FakeClock, *overrides: str, stop_signal: Event | None = None) -> Conductor:
    paths = RunPaths(tmp_path)
    return Conductor(recipe(*overrides), paths, clock=clock, acknowledged=0, stop_signal=stop_signal or Event())


def test_training_ends_early_enough_for_the_last_save_and_export(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock)
    measured = state(validation_s=10.0, save_s=25.0)
    deadline_s = 3600 - 1.3 * 60

    clock.charged_s = deadline_s - 5.1
    before = decider.decide(measured, step_s=5.0)
    clock.charged_s = deadline_s - 4.9
    after = decider.decide(measured, step_s=5.0)

    assert before.ending is Ending.NONE
    assert after.ending is Ending.BUDGET
    assert before.progress == pytest.approx(1.0, abs=1e-3)


def test_a_slow_disk_cannot_eat_more_than_half_the_budget(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock)
    clock.charged_s = 1700.0

    assert decider.decide(state(save_s=1e6), step_s=1.0).ending is Ending.NONE


@pytest.mark.parametrize("budget", ["budget.steps=10", "budget.sequences=40960"])
def test_work_budgets_end_on_the_work_whatever_the_clock(tmp_path: Path, clock: FakeClock, budget: str) -> None:
    decider = conductor(tmp_path, clock, budget)
    clock.charged_s = 1e6

    nine = decider.decide(state(step=9, sequences=9 * 4096), step_s=1.0)
    ten = decider.decide(state(step=10, sequences=10 * 4096), step_s=1.0)

    assert nine.ending is Ending.NONE and ten.ending is Ending.BUDGET
    assert nine.progress == pytest.approx(0.95)


def test_a_checkpoint_is_whole_when_its_interval_is_over(tmp_path: Path, clock: FakeClock) -> None:
    # One percent of an hour.
    decider = conductor(tmp_path, clock)

    assert decider.next_checkpoint_s(100.0, save_s=0.0) == 136.0
    assert decider.next_checkpoint_s(100.0, save_s=10.0) == 126.0
    # Where it takes longer than half of that, the next would meet it still being written.
    assert decider.next_checkpoint_s(100.0, save_s=30.0) == 136.0


def test_the_first_step_is_not_taken_at_rate_zero(tmp_path: Path, clock: FakeClock) -> None:
    assert conductor(tmp_path, clock, "budget.steps=10").decide(state(), step_s=0.0).progress == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("verb", "ending"), [(Verb.PAUSE, Ending.PAUSED), (Verb.STOP, Ending.STOPPED), (Verb.CHECKPOINT, Ending.NONE)]
)
def test_a_command_is_obeyed_once_and_kept_until_answered(
    tmp_path: Path, clock: FakeClock, verb: Verb, ending: Ending
) -> None:
    decider = conductor(tmp_path, clock)
    post(RunPaths(tmp_path).control, verb=verb, asked_by="uid 0", now=0.0)

    order = decider.decide(state(), step_s=1.0)
    answered = decider.acknowledge()

    assert order.ending is ending
    assert order.checkpoint is (verb is Verb.CHECKPOINT)
    assert answered is not None and answered.number == 1 and answered.verb is verb
    again = decider.decide(state(), step_s=1.0)
    assert again.ending is Ending.NONE and not again.checkpoint and decider.acknowledge() is None


def test_the_budgets_end_wins_over_a_pause(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock)
    post(RunPaths(tmp_path).control, verb=Verb.PAUSE, asked_by="uid 0", now=0.0)
    clock.charged_s = 3600.0

    assert decider.decide(state(), step_s=1.0).ending is Ending.BUDGET


def test_a_signal_pauses(tmp_path: Path, clock: FakeClock) -> None:
    told = Event()
    decider = conductor(tmp_path, clock, stop_signal=told)
    assert decider.decide(state(), step_s=1.0).ending is Ending.NONE

    told.set()

    assert decider.decide(state(), step_s=1.0).ending is Ending.PAUSED


def test_a_stop_rule_ends_a_run_that_does_not_learn(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock, 'stop.rules=["after 30min loss > 6.0"]')
    clock.charged_s = 1801.0

    assert decider.decide(state(validation_loss=5.9), step_s=1.0).ending is Ending.NONE
    assert decider.decide(state(validation_loss=6.1), step_s=1.0).ending is Ending.STOPPED
    assert "after 30min loss > 6.0" in decider.reason


def test_the_loss_is_read_once_a_second(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock)
    reports = []
    for tenth in range(25):
        clock.charged_s = tenth / 10
        reports.append(decider.decide(state(), step_s=0.1).report)

    assert [index for index, report in enumerate(reports) if report] == [0, 10, 20]


def test_validations_come_often_at_first(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock)

    assert decider.next_validation_s(100.0) == 100.0 + 600
    assert decider.next_validation_s(200.0) == 200.0 + 1800


def test_a_hold_lasts_until_somebody_resumes_and_a_stop_or_a_pause_ends_it(tmp_path: Path, clock: FakeClock) -> None:
    decider = conductor(tmp_path, clock)
    due = state(next_checkpoint_s=0.0, next_validation_s=0.0)

    def asked(*verbs: Verb) -> Order:
        for verb in verbs:
            post(RunPaths(tmp_path).control, verb=verb, asked_by="uid 0", now=0.0)
        order = decider.decide(due, step_s=1.0)
        decider.acknowledge()
        return order

    assert not asked().hold
    held = asked(Verb.HOLD)
    assert held.hold and not (held.checkpoint or held.validate or held.report)
    assert asked().hold
    saving = asked(Verb.CHECKPOINT)
    assert saving.hold and saving.checkpoint
    assert asked(Verb.PAUSE).ending is Ending.PAUSED
    assert asked(Verb.STOP).ending is Ending.STOPPED
    trains = asked(Verb.RESUME)
    assert not trains.hold and trains.checkpoint
