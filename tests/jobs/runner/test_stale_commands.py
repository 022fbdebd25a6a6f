"""A runner's handling of commands while it waits to restart ranks, and while ranks have not begun."""

from __future__ import annotations

import time
from pathlib import Path
from subprocess import Popen
from typing import cast

import pytest

from bertd.jobs.runner.child_process import StopSignal
from bertd.jobs.runner.exit_analysis import Crash
from bertd.jobs.runner.pretrain_runner import PretrainRunner
from bertd.jobs.runner.restart_policy import RestartPolicy
from bertd.jobs.runner.stale_commands import answer_stale_commands
from bertd.jobs.runner.watchdog import HangTimeouts
from bertd.records import (
    BudgetRecord,
    BudgetRequest,
    BudgetUnit,
    CheckpointRecord,
    CommandKind,
    CommandRecord,
    EndRecord,
    JobState,
    JournalRecord,
    Outcome,
    RollbackRecord,
    StartRecord,
    StepRecord,
)
from bertd.run.journal import append_records, read_journal
from bertd.run.ledger import Ledger
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths, step_folder_name
from bertd.run.progress import fold_records
from bertd.run.recipe.load import format_recipe, parse_recipe, read_recipe
from tests.jobs.runner_box import recipe_text


class Never:
    """No stop signal comes, and no time passes while the runner waits."""

    is_set = False

    def wait(self, timeout_s: float) -> bool:
        return False


class Child:
    """The launcher of ranks that never begin."""

    is_killed = False

    def kill(self) -> None:
        self.is_killed = True


class Waiting:
    """A runner whose ranks have died, or have not begun."""

    def __init__(self, folder: Path) -> None:
        self.paths = RunPaths(folder)
        self.paths.logs.mkdir()
        self.paths.log.touch()
        self.paths.recipe.write_text(format_recipe(parse_recipe(recipe_text(steps=20), name="fake")))
        # If nothing ends the wait, the test's time limit does.
        policy = RestartPolicy(first_delay_s=1e6, longest_delay_s=1e6, restarts=1)
        self.runner = PretrainRunner(
            self.paths,
            launch=lambda paths, attempt: [],
            export=lambda paths: [],
            stop_signal=cast(StopSignal, Never()),
            policy=policy,
            timeouts=HangTimeouts(),
        )
        self.runner._policy = policy

    def post(self, *verbs: CommandKind) -> None:
        for verb in verbs:
            budget = BudgetRequest(unit=BudgetUnit.STEPS, amount=30) if verb is CommandKind.BUDGET else None
            post(self.paths.control, verb=verb, asked_by="a test", now=time.time(), budget=budget)

    def has_saved(self) -> None:
        (self.paths.checkpoints / step_folder_name(5)).mkdir(parents=True)

    def back_off(self) -> Outcome | None:
        return self.runner._back_off(Crash("a test"))

    def is_called_off(self) -> bool:
        child = Child()
        self.runner._tick(cast("Popen[bytes]", child))
        return child.is_killed

    @property
    def answers(self) -> list[tuple[CommandKind, str]]:
        records = read_journal(self.paths.journal)
        return [(record.verb, record.outcome) for record in records if isinstance(record, CommandRecord)]


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path)


@pytest.mark.parametrize("verb", [CommandKind.PAUSE, CommandKind.SUSPEND])
def test_a_pause_ends_a_back_off_behind_orders_that_need_no_ranks(waiting: Waiting, verb: CommandKind) -> None:
    waiting.post(CommandKind.BUDGET, CommandKind.CHECKPOINT, verb)
    outcome = waiting.back_off()
    assert outcome is not None and outcome.state is JobState.PAUSED
    assert ("the pause is cold" in outcome.reason) is (verb is CommandKind.SUSPEND)
    assert waiting.answers == [(CommandKind.BUDGET, "done"), (CommandKind.CHECKPOINT, "refused"), (verb, "done")]
    assert [record.after for record in read_journal(waiting.paths.journal) if record.kind == "budget"] == [30]


def test_a_stop_without_anything_to_export_cancels(waiting: Waiting) -> None:
    waiting.post(CommandKind.STOP)
    outcome = waiting.back_off()
    assert outcome is not None and outcome.state is JobState.CANCELLED
    assert waiting.answers == [(CommandKind.STOP, "done")]


def test_a_stop_that_exports_ends_the_wait_and_is_left_to_the_ranks(waiting: Waiting) -> None:
    waiting.has_saved()
    waiting.post(CommandKind.BUDGET, CommandKind.STOP)
    assert waiting.back_off() is None
    assert waiting.answers == [(CommandKind.BUDGET, "done")]


def test_ranks_that_have_not_begun_are_called_off_by_what_needs_none(waiting: Waiting) -> None:
    assert not waiting.is_called_off()
    waiting.post(CommandKind.BUDGET, CommandKind.SUSPEND)
    assert not waiting.is_called_off()
    waiting.post(CommandKind.PAUSE)
    assert waiting.is_called_off()


def test_ranks_that_shall_export_are_left_alone_whatever_lies_behind_the_stop(waiting: Waiting) -> None:
    waiting.has_saved()
    waiting.post(CommandKind.STOP, CommandKind.PAUSE)
    assert not waiting.is_called_off()


def test_ranks_that_shall_export_or_have_begun_are_left_alone(waiting: Waiting, start: StartRecord) -> None:
    waiting.has_saved()
    waiting.post(CommandKind.STOP)
    assert not waiting.is_called_off()
    append_records(waiting.paths.journal, [start])
    waiting.post(CommandKind.PAUSE)
    assert not waiting.is_called_off()


@pytest.fixture
def start() -> StartRecord:
    return StartRecord(
        t=1.0,
        attempt=1,
        step=5,
        sequences=160,
        charged_s=1.0,
        world_size=1,
        device="cpu",
        device_name="fake",
        precision="fp32",
        kernels="eager",
        kernels_reason="a fake",
        num_parameters=1000,
        micro_batch=1,
        accumulation=1,
        sequence_length=128,
        train_sequences=1000,
        validation_sequences=10,
    )


STEP = StepRecord(
    t=1.0,
    step=50,
    sequences=1600,
    charged_s=10.0,
    progress=0.5,
    loss=5.0,
    lr=1e-3,
    grad_norm=1.0,
    sequences_per_s=160.0,
    tokens_per_s=20480.0,
)
"""The newest reported step: steps are reported once a second."""
SAVED = CheckpointRecord(
    t=1.9,
    step=58,
    sequences=1856,
    charged_s=10.9,
    name=step_folder_name(58),
    size_bytes=1,
    seconds=0.1,
    stall_s=0.1,
    why="pause",
)
FAILED = EndRecord(t=1.9, step=58, sequences=1856, charged_s=10.9, reason="failed", detail="a test")
ROLLBACK = RollbackRecord(
    t=1.9,
    step=40,
    sequences=1856,
    charged_s=10.9,
    from_step=58,
    skipped_sequences=576,
    cause="a test",
    number=1,
)


@pytest.mark.parametrize(
    ("unit", "amount", "last", "spent"),
    [
        (BudgetUnit.STEPS, 100.0, SAVED, 58.0),
        (BudgetUnit.STEPS, 100.0, FAILED, 58.0),
        (BudgetUnit.STEPS, 100.0, ROLLBACK, 40.0),
        (BudgetUnit.SEQUENCES, 3200.0, SAVED, 1856.0),
    ],
)
def test_a_budget_changed_while_paused_counts_the_steps_since_the_last_step_record(
    tmp_path: Path, start: StartRecord, unit: BudgetUnit, amount: float, last: JournalRecord, spent: float
) -> None:
    paths = RunPaths(tmp_path)
    text = recipe_text(steps=100).replace("steps = 100", f"{unit} = {amount:.0f}")
    paths.recipe.write_text(format_recipe(parse_recipe(text, name="fake")))
    append_records(paths.journal, [start, STEP, last])
    request = BudgetRequest(unit=unit, amount=2 * amount)
    post(paths.control, verb=CommandKind.BUDGET, asked_by="a test", now=2.0, budget=request)

    answer_stale_commands(paths, still_valid=frozenset(), detail="", now=2.0)

    records = read_journal(paths.journal)
    assert [record.spent for record in records if isinstance(record, BudgetRecord)] == [spent]
    plan = fold_records(records).budget_plan(read_recipe(paths.recipe).granted)
    assert plan.schedule_progress(spent) == pytest.approx(spent / amount), "the schedule continues without a jump"


def test_a_budget_that_only_the_next_start_and_the_end_would_spend_is_refused(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    text = recipe_text(steps=20).replace("steps = 20", "hours = 1.0")
    paths.recipe.write_text(format_recipe(parse_recipe(text, name="fake")))
    paths.control.mkdir()
    ledger = Ledger(paths.ledger)
    ledger.begin(since_s=time.monotonic() - 100.0)
    ledger.end(at_s=100.0)
    step = StepRecord(
        t=0,
        step=5,
        sequences=160,
        charged_s=99.0,
        progress=0.03,
        loss=5.0,
        lr=1e-3,
        grad_norm=1.0,
        sequences_per_s=1.0,
        tokens_per_s=1.0,
        reserve_s=8.0,
    )
    append_records(paths.journal, [step])
    outcomes = []
    for left_s in (1.0, 17.0, 20.0):
        request = BudgetRequest(unit=BudgetUnit.HOURS, amount=(100.0 + left_s) / 3600)
        post(paths.control, verb=CommandKind.BUDGET, asked_by="a test", now=0.0, budget=request)
        answer_stale_commands(paths, still_valid=frozenset(), detail="", now=0.0)
        outcomes.append(read_journal(paths.journal)[-1].model_dump()["outcome"])
    # The start of ranks takes 10 s, the end 8 s.
    assert outcomes == ["refused", "refused", "done"]
