"""Rank 0 plans steps from clock, mailbox and signals; the schedule ends where the reserve begins."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from bertd.data.dataset.mixture import DataMixture
from bertd.metrics.budget_view import build_budget_view
from bertd.metrics.journal_summary import JournalSummary, fold
from bertd.model.encoder import MaskedLanguageModel
from bertd.records import AlertRecord, Command, CommandKind, CommandRecord
from bertd.run.journal import JournalWriter, read_journal
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import parse_recipe
from bertd.run.recipe.schema import Recipe
from bertd.train.checkpoint.async_saver import AsyncCheckpointer, Checkpointer
from bertd.train.loop.budget_tracker import BudgetTracker
from bertd.train.loop.commands import PendingCommands
from bertd.train.loop.control import ExitReason, StepController, StepPlan
from bertd.train.loop.reporting import Reporter
from bertd.train.optim.optimizer import build_optimizers
from bertd.train.state import TrainState
from tests.metrics.test_curves import step
from tests.model.test_export import TINY


class FakeClock:
    """A charged clock that the test sets."""

    def __init__(self) -> None:
        self.charged_s = 0.0

    def now_s(self) -> float:
        return self.charged_s

    is_suspended = False

    def suspend(self) -> None:
        self.is_suspended = True

    def resume(self) -> float:
        self.is_suspended = False
        return 0.0


def recipe(*overrides: str) -> Recipe:
    text = '[run]\nname = "r"\n[budget]\nhours = 1\n[data]\nshards = "s"\n[devices]\nkind = "cpu"\ncount = 2\n'
    return parse_recipe(text, name="r", overrides=list(overrides))


def state(**values: object) -> TrainState:
    start = TrainState(
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


class ControllerHarness:
    """A StepController with a real journal and mailbox, and with a real checkpointer if a data set is given."""

    def __init__(
        self,
        folder: Path,
        clock: FakeClock,
        *overrides: str,
        stop_signal: Event | None = None,
        dataset: Path | None = None,
    ) -> None:
        paths = RunPaths(folder)
        journal = JournalWriter(paths.journal)
        self.budget = BudgetTracker(recipe(*overrides), clock=clock)
        self.commands = PendingCommands(paths.control, journal=journal)
        reporter = Reporter(budget=self.budget, journal=journal)
        checkpointer = Checkpointer()
        if dataset is not None:
            model = MaskedLanguageModel(TINY, seed=0)
            checkpointer = AsyncCheckpointer(
                self.budget.recipe,
                paths,
                budget=self.budget,
                commands=self.commands,
                reporter=reporter,
                model=model,
                optimizers=build_optimizers(model, self.budget.recipe.optimizer),
                dataset=DataMixture.open({str(dataset): 1}),
            )
        self.controller = StepController(
            budget=self.budget,
            commands=self.commands,
            checkpointer=checkpointer,
            reporter=reporter,
            stop_signal=stop_signal or Event(),
        )

    def plan_step(self, state: TrainState, *, step_s: float, queued_s: float = 0.0) -> StepPlan:
        plan, _ = self.controller.plan_step(state, step_s=step_s, queued_s=queued_s)
        self.controller.follow_suspension(plan, state)
        return plan

    def acknowledge(self) -> Command | None:
        """Answer the command that was read, as the trainer does after it executed it."""
        command = self.commands._pending
        self.commands.answer(state(), is_done=True, detail="")
        return command


def make_harness(
    folder: Path, clock: FakeClock, *overrides: str, stop_signal: Event | None = None, dataset: Path | None = None
) -> ControllerHarness:
    return ControllerHarness(folder, clock, *overrides, stop_signal=stop_signal, dataset=dataset)


def test_training_ends_early_enough_for_the_last_save_and_export(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    measured = state(validation_s=10.0, save_s=25.0)
    deadline_s = 3600 - 1.3 * 60

    clock.charged_s = deadline_s - 5.1
    before = harness.plan_step(measured, step_s=5.0)
    clock.charged_s = deadline_s - 4.9
    after = harness.plan_step(measured, step_s=5.0)

    assert before.exit_reason is ExitReason.NONE
    assert after.exit_reason is ExitReason.BUDGET
    assert before.progress == pytest.approx(1.0, abs=1e-3)


def test_what_the_device_has_not_done_yet_counts_as_spent(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    measured = state(validation_s=10.0, save_s=25.0)

    clock.charged_s = 3600 - 1.3 * 60 - 7.0
    at_once = harness.plan_step(measured, step_s=5.0)
    after_another = harness.plan_step(measured, step_s=5.0, queued_s=5.0)
    clock.charged_s -= 5.0
    earlier = harness.plan_step(measured, step_s=5.0, queued_s=5.0)

    assert at_once.exit_reason is ExitReason.NONE and after_another.exit_reason is ExitReason.BUDGET
    assert earlier.exit_reason is ExitReason.NONE and earlier.progress == pytest.approx(at_once.progress)


@pytest.mark.parametrize("budget", ["budget.hours=1", "budget.gpu_hours=2"])
@pytest.mark.parametrize("save_s", [25.0, 1e6])
def test_training_stops_when_the_screen_says_that_nothing_is_left(
    tmp_path: Path, clock: FakeClock, budget: str, save_s: float
) -> None:
    harness = make_harness(tmp_path, clock, budget)
    measured = state(validation_s=10.0, save_s=save_s)
    reserve_s = harness.budget.reserve_s(measured)
    summary = fold(JournalSummary(), step(1, charged_s=1.0).model_copy(update={"reserve_s": reserve_s}))

    def exit_reason_with(shown_left_s: float) -> ExitReason:
        clock.charged_s = 0.0
        left_s = build_budget_view(recipe(budget), summary, charged_s=0.0).remaining_s
        assert left_s is not None and left_s == harness.budget.remaining_s(measured)
        clock.charged_s = left_s - shown_left_s
        return harness.plan_step(measured, step_s=1.0).exit_reason

    assert exit_reason_with(shown_left_s=1.1) is ExitReason.NONE
    assert exit_reason_with(shown_left_s=0.9) is ExitReason.BUDGET


def test_work_budgets_report_no_reserve(tmp_path: Path, clock: FakeClock) -> None:
    measured = state(validation_s=10.0, save_s=25.0)
    assert make_harness(tmp_path, clock).budget.reserve_s(measured) == pytest.approx(78.0)
    assert make_harness(tmp_path, clock, "budget.steps=10").budget.reserve_s(measured) is None


def test_a_slow_disk_cannot_eat_more_than_half_the_budget(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    clock.charged_s = 1700.0

    assert harness.plan_step(state(save_s=1e6), step_s=1.0).exit_reason is ExitReason.NONE


@pytest.mark.parametrize("budget", ["budget.steps=10", "budget.sequences=40960"])
def test_work_budgets_end_on_the_work_whatever_the_clock(tmp_path: Path, clock: FakeClock, budget: str) -> None:
    harness = make_harness(tmp_path, clock, budget)
    clock.charged_s = 1e6

    nine = harness.plan_step(state(step=9, sequences=9 * 4096), step_s=1.0)
    ten = harness.plan_step(state(step=10, sequences=10 * 4096), step_s=1.0)

    assert nine.exit_reason is ExitReason.NONE and ten.exit_reason is ExitReason.BUDGET
    assert nine.progress == pytest.approx(0.95)


def test_a_checkpoint_is_complete_when_its_interval_is_over(tmp_path: Path, clock: FakeClock) -> None:
    # One percent of an hour.
    harness = make_harness(tmp_path, clock)

    assert harness.budget.next_checkpoint_s(100.0, save_s=0.0) == 136.0
    assert harness.budget.next_checkpoint_s(100.0, save_s=10.0) == 126.0
    # A save that takes more than half the interval would mostly find the previous one still in progress.
    assert harness.budget.next_checkpoint_s(100.0, save_s=30.0) == 136.0


def test_the_first_step_is_not_taken_at_rate_zero(tmp_path: Path, clock: FakeClock) -> None:
    assert make_harness(tmp_path, clock, "budget.steps=10").plan_step(state(), step_s=0.0).progress == pytest.approx(
        0.05
    )


@pytest.mark.parametrize(
    ("verb", "exit_reason"),
    [
        (CommandKind.PAUSE, ExitReason.PAUSED),
        (CommandKind.STOP, ExitReason.STOPPED),
        (CommandKind.CHECKPOINT, ExitReason.NONE),
    ],
)
def test_a_command_is_executed_once_and_kept_until_answered(
    tmp_path: Path, dataset: Path, clock: FakeClock, verb: CommandKind, exit_reason: ExitReason
) -> None:
    harness = make_harness(tmp_path, clock, dataset=dataset)
    post(RunPaths(tmp_path).control, verb=verb, asked_by="uid 0", now=0.0)

    plan = harness.plan_step(state(), step_s=1.0)
    answered = harness.acknowledge()

    assert plan.exit_reason is exit_reason
    assert harness.controller.exit_detail == ("" if exit_reason is ExitReason.NONE else "requested by uid 0")
    assert plan.checkpoint is (verb is CommandKind.CHECKPOINT)
    assert answered is not None and answered.number == 1 and answered.verb is verb
    again = harness.plan_step(state(), step_s=1.0)
    assert again.exit_reason is ExitReason.NONE and not again.checkpoint and harness.acknowledge() is None


def test_garbage_in_the_mailbox_is_refused_and_the_command_after_it_executed(tmp_path: Path, clock: FakeClock) -> None:
    harness, control = make_harness(tmp_path, clock), RunPaths(tmp_path).control
    control.mkdir()
    (control / "000001.json").write_bytes(b"\x00garbage")
    assert harness.plan_step(state(), step_s=1.0).exit_reason is ExitReason.NONE
    post(control, verb=CommandKind.PAUSE, asked_by="uid 0", now=0.0)

    assert harness.plan_step(state(), step_s=1.0).exit_reason is ExitReason.PAUSED
    records = read_journal(RunPaths(tmp_path).journal)
    (alert,) = [each for each in records if isinstance(each, AlertRecord)]
    assert alert.code == "command_refused" and "000001.json: not a command, and refused: " in alert.message
    answers = [(each.number, each.outcome) for each in records if isinstance(each, CommandRecord)]
    assert answers == [(1, "refused")]


def test_the_budgets_end_wins_over_a_pause(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    post(RunPaths(tmp_path).control, verb=CommandKind.PAUSE, asked_by="uid 0", now=0.0)
    clock.charged_s = 3600.0

    assert harness.plan_step(state(), step_s=1.0).exit_reason is ExitReason.BUDGET


def test_a_signal_pauses(tmp_path: Path, clock: FakeClock) -> None:
    stop_signal = Event()
    harness = make_harness(tmp_path, clock, stop_signal=stop_signal)
    assert harness.plan_step(state(), step_s=1.0).exit_reason is ExitReason.NONE

    stop_signal.set()

    assert harness.plan_step(state(), step_s=1.0).exit_reason is ExitReason.PAUSED


def test_a_stop_rule_ends_a_run_that_does_not_learn(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock, 'stop.rules=["after 30min loss > 6.0"]')
    clock.charged_s = 1801.0

    assert harness.plan_step(state(validation_loss=5.9), step_s=1.0).exit_reason is ExitReason.NONE
    assert harness.plan_step(state(validation_loss=6.1), step_s=1.0).exit_reason is ExitReason.STOPPED
    assert "after 30min loss > 6.0" in harness.controller.exit_detail


def test_the_loss_is_read_once_a_second(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    reports = []
    for tenth in range(25):
        clock.charged_s = tenth / 10
        reports.append(harness.plan_step(state(), step_s=0.1).report)

    assert [index for index, report in enumerate(reports) if report] == [0, 10, 20]


def test_validations_come_often_at_first(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)

    assert harness.budget.next_validation_s(100.0) == 100.0 + 600
    assert harness.budget.next_validation_s(200.0) == 200.0 + 1800


def test_no_validation_begins_that_would_run_into_the_time_of_the_last_one(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    due = state(step=1, validation_s=10.0, save_s=25.0, next_validation_s=0.0)

    clock.charged_s = 3600 - 1.3 * 60 - 10.1
    in_time = harness.plan_step(due, step_s=1.0)
    clock.charged_s += 0.2
    too_late = harness.plan_step(due, step_s=1.0)

    assert in_time.validate and not too_late.validate
    assert in_time.exit_reason is too_late.exit_reason is ExitReason.NONE


def test_the_last_validation_leaves_the_time_of_the_save_and_the_export(tmp_path: Path, clock: FakeClock) -> None:
    harness = make_harness(tmp_path, clock)
    clock.charged_s = 3600 - 100.0

    assert harness.budget.last_validation_s(state(validation_s=10.0, save_s=25.0)) == pytest.approx(100 - 1.3 * 50)
    assert make_harness(tmp_path, clock, "budget.steps=10").budget.last_validation_s(state(save_s=25.0)) is None


def test_a_suspension_lasts_until_a_resume_and_a_stop_or_a_pause_ends_it(
    tmp_path: Path, dataset: Path, clock: FakeClock
) -> None:
    harness = make_harness(tmp_path, clock, dataset=dataset)
    due = state(next_checkpoint_s=0.0, next_validation_s=0.0)

    def plan_after(*verbs: CommandKind) -> StepPlan:
        for verb in verbs:
            post(RunPaths(tmp_path).control, verb=verb, asked_by="uid 0", now=0.0)
        plan = harness.plan_step(due, step_s=1.0)
        harness.acknowledge()
        return plan

    assert not plan_after().suspend
    held = plan_after(CommandKind.SUSPEND)
    assert held.suspend and not (held.checkpoint or held.validate or held.report)
    assert plan_after().suspend
    saving = plan_after(CommandKind.CHECKPOINT)
    assert saving.suspend and saving.checkpoint
    assert plan_after(CommandKind.PAUSE).exit_reason is ExitReason.PAUSED
    assert plan_after(CommandKind.STOP).exit_reason is ExitReason.STOPPED
    trains = plan_after(CommandKind.RESUME)
    assert not trains.suspend and trains.checkpoint


def test_the_wait_for_an_earlier_save_is_not_charged_to_a_suspended_run(
    tmp_path: Path, dataset: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make_harness(tmp_path, clock, dataset=dataset)
    control = RunPaths(tmp_path).control
    post(control, verb=CommandKind.SUSPEND, asked_by="uid 0", now=0.0)
    harness.plan_step(state(), step_s=1.0)
    assert clock.is_suspended
    post(control, verb=CommandKind.CHECKPOINT, asked_by="uid 0", now=0.0)
    with monkeypatch.context() as patch:
        # One save at a time: the earlier one is still being written.
        patch.setattr(harness.controller._checkpointer, "decide", lambda state, **_: (False, state))
        assert not harness.plan_step(state(), step_s=1.0).checkpoint
        assert clock.is_suspended
    assert harness.plan_step(state(), step_s=1.0).checkpoint
    assert not clock.is_suspended
