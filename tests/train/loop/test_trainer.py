"""Complete runs on a tiny model: commands, budgets, rollbacks, and bit-for-bit resumes."""

from __future__ import annotations

import itertools
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TypeVar

import psutil
import pytest
import torch
from safetensors.torch import load_file

from bertd.errors import CheckpointError, NumericsError, ShardError, StorageError
from bertd.jobs.runner.exit_analysis import classify_pretrain_exit
from bertd.jobs.runner.stale_commands import answer_stale_commands
from bertd.records import (
    AlertRecord,
    BudgetRecord,
    BudgetRequest,
    BudgetUnit,
    CheckpointRecord,
    CommandKind,
    CommandRecord,
    EndRecord,
    ExportRecord,
    JobState,
    JournalRecord,
    Outcome,
    Record,
    RollbackRecord,
    StartRecord,
    StateRecord,
    StepRecord,
    ValidationRecord,
)
from bertd.run.checkpoint_index import read_checkpoint_index
from bertd.run.execution_text import execution_choices
from bertd.run.journal import JournalWriter, read_journal
from bertd.run.ledger import Ledger
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths, newest_first
from bertd.run.recipe.load import format_recipe, parse_recipe
from bertd.train.build_trainer import build_trainer
from bertd.train.checkpoint.format import save_checkpoint
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.control import ExitReason
from bertd.train.loop.step_reading import PendingReading
from bertd.train.loop.train_step import StepFigures
from bertd.train.loop.trainer import Trainer
from bertd.train.run_inputs import load_run_inputs
from tests.waiting import PATIENCE_S

ALONE = Ranks(rank=0, world_size=1, device=torch.device("cpu"), control=None)
TEXT = """
[run]
name = "tiny"
[budget]
steps = 12
[data]
shards = "{shards}"
sequence_length = 32
[model]
layers = 2
width = 32
heads = 2
ffn = 64
[optimizer]
peak_lr = 5e-3
[batch]
sequences = 8
micro = 4
[validation]
max_sequences = 16
[devices]
kind = "cpu"
count = 1
"""


def make_run(folder: Path, dataset: Path, *overrides: str) -> RunPaths:
    paths = RunPaths(folder)
    folder.mkdir()
    recipe = parse_recipe(TEXT.format(shards=dataset), name="tiny", overrides=list(overrides))
    paths.recipe.write_text(format_recipe(recipe))
    return paths


@contextmanager
def attempt(
    paths: RunPaths, *, number: int = 1, stop_signal: Event | None = None, ranks: Ranks = ALONE
) -> Iterator[Trainer]:
    """One attempt in this process, with a ledger that charges as in a runner."""
    ledger = Ledger(paths.ledger) if ranks.is_first else None
    if ledger is not None:
        ledger.begin()
    trainer = build_trainer(load_run_inputs(paths), ranks=ranks, attempt=number, stop_signal=stop_signal or Event())
    try:
        yield trainer
    finally:
        trainer.close()
        if ledger is not None:
            ledger.end()


def run_to_end(paths: RunPaths, *, number: int = 1, ranks: Ranks = ALONE) -> None:
    with attempt(paths, number=number, ranks=ranks) as trainer:
        trainer.run()


T = TypeVar("T", bound=Record)


def kind_of(paths: RunPaths, kind: type[T]) -> list[T]:
    return [record for record in read_journal(paths.journal) if isinstance(record, kind)]


def final_weights(paths: RunPaths) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_file(newest_first(paths.checkpoints)[0] / "model.safetensors")
    return weights


def test_a_run_ends_on_its_steps_with_everything_in_place(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset)

    run_to_end(paths)

    (end,) = kind_of(paths, EndRecord)
    assert (end.reason, end.step, end.sequences, end.lr) == ("budget", 12, 96, 0.0)
    first, *_, last = kind_of(paths, ValidationRecord)
    assert last.step == 12 and last.loss == end.validation_loss
    assert last.loss < first.loss
    assert last.num_tokens == first.num_tokens == 16 * 5
    assert [record.name for record in kind_of(paths, ExportRecord)] == ["step-000000012"] == [end.export]
    assert (paths.exports / "step-000000012" / "model.safetensors").is_file()
    assert kind_of(paths, CheckpointRecord)[-1].step == 12
    assert kind_of(paths, StepRecord)[0].step == 1
    assert paths.provenance.is_file()
    assert str(paths.journal) not in [file.path for file in psutil.Process().open_files()]


def test_records_that_wait_for_space_are_written_when_an_attempt_is_closed(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an error, when no record of an end makes the journal write them."""
    paths = make_run(tmp_path / "run", dataset)
    real_append, is_full = JournalWriter.append, Event()

    def append(journal: JournalWriter, record: JournalRecord) -> None:
        if is_full.is_set():
            raise StorageError("the disk is full")
        real_append(journal, record)

    monkeypatch.setattr(JournalWriter, "append", append)
    with attempt(paths) as trainer:
        is_full.set()
        trainer.components.reporter.alert(trainer.state, code="made_up", message="waits for space")
        is_full.clear()
        assert "made_up" not in [record.code for record in kind_of(paths, AlertRecord)]
    assert "made_up" in [record.code for record in kind_of(paths, AlertRecord)]


@pytest.mark.parametrize("packing", ["full", "sentences"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_paused_run_continues_bit_for_bit(tmp_path: Path, dataset: Path, packing: str, optimizer: str) -> None:
    # Dropout is on (the recipe's default), so this also proves that its seeds do not depend on history.
    options = (f"data.packing={packing}", f"optimizer.kind={optimizer}")
    whole = make_run(tmp_path / "whole", dataset, *options)
    run_to_end(whole)
    resumed = make_run(tmp_path / "resumed", dataset, *options)
    stop_signal = Event()
    with attempt(resumed, stop_signal=stop_signal) as trainer:
        while trainer.state.step < 5:
            trainer.execute_next_plan()
        stop_signal.set()
        trainer.run()
    (paused,) = kind_of(resumed, StateRecord)
    assert paused.step == 5 and not kind_of(resumed, EndRecord)

    run_to_end(resumed, number=2)

    starts = kind_of(resumed, StartRecord)
    assert [(start.attempt, start.step, start.sequences) for start in starts] == [(1, 0, 0), (2, 5, 40)]
    ours, theirs = final_weights(whole), final_weights(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert kind_of(whole, EndRecord)[0].validation_loss == kind_of(resumed, EndRecord)[0].validation_loss


def test_a_ramp_takes_larger_steps_as_the_budget_is_spent_and_resumes_exactly(tmp_path: Path, dataset: Path) -> None:
    options = ("batch.sequences=16", "batch.ramp=[[0.25, 4], [0.5, 8]]")
    whole = make_run(tmp_path / "whole", dataset, *options)
    run_to_end(whole)
    resumed = make_run(tmp_path / "resumed", dataset, *options)
    stop_signal = Event()
    with attempt(resumed, stop_signal=stop_signal) as trainer:
        consumed = []
        while trainer.state.step < 7:
            trainer.execute_next_plan()
            consumed.append(trainer.state.sequences)
        stop_signal.set()
        trainer.run()

    run_to_end(resumed, number=2)

    assert consumed == [4, 8, 12, 20, 28, 36, 52]
    assert [start.accumulation for start in kind_of(resumed, StartRecord)] == [1, 4]
    (one,), (two,) = kind_of(whole, EndRecord), kind_of(resumed, EndRecord)
    assert one.sequences == two.sequences == 3 * 4 + 3 * 8 + 6 * 16
    ours, theirs = final_weights(whole), final_weights(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_padding_rows_of_an_uneven_batch_are_not_counted(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "uneven", dataset, "batch.sequences=15", "batch.micro=4", "budget.steps=2")

    run_to_end(paths)

    (start,), (end,) = kind_of(paths, StartRecord), kind_of(paths, EndRecord)
    assert (start.accumulation, start.empty_rows) == (4, 1)
    assert execution_choices(start)[-1].value == "1 rank x 4 sequences x 4, 1 empty"
    assert end.sequences == 2 * 15


def test_a_ramp_by_sequences_ends_where_its_budget_does(tmp_path: Path, dataset: Path) -> None:
    ramp = ("batch.sequences=16", "batch.ramp=[[0.25, 4], [0.5, 8]]")
    paths = make_run(tmp_path / "run", dataset, "budget.sequences=128", *ramp)

    run_to_end(paths)

    (end,) = kind_of(paths, EndRecord)
    assert (end.reason, end.lr) == ("budget", 0.0)
    # A quarter of the sequences in steps of 4, a quarter in steps of 8, the rest in steps of 16.
    assert (end.step, end.sequences) == (8 + 4 + 4, 128)


def test_commands_are_executed_in_order_and_acknowledged(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.steps=1000000")
    for verb in (CommandKind.CHECKPOINT, CommandKind.STOP):
        post(paths.control, verb=verb, asked_by="uid 0", now=0.0)

    run_to_end(paths)

    commands = kind_of(paths, CommandRecord)
    assert [(each.number, each.verb, each.outcome) for each in commands] == [
        (1, CommandKind.CHECKPOINT, "done"),
        (2, CommandKind.STOP, "done"),
    ]
    (end,) = kind_of(paths, EndRecord)
    assert end.reason == "stopped" and end.export is not None


def test_commands_that_come_during_the_last_validation_are_answered(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.steps=2")
    budget = BudgetRequest(unit=BudgetUnit.STEPS, amount=16)
    with attempt(paths) as trainer:
        validate = trainer._validate

        def validate_and_post(*, max_seconds: float | None = None) -> None:
            validate(max_seconds=max_seconds)
            if trainer.state.step == 2:
                post(paths.control, verb=CommandKind.BUDGET, asked_by="uid 0", now=0.0, budget=budget)
                post(paths.control, verb=CommandKind.PAUSE, asked_by="uid 0", now=0.0)

        monkeypatch.setattr(trainer, "_validate", validate_and_post)
        trainer.run()

    answers = kind_of(paths, CommandRecord)
    assert [(each.verb, each.outcome, each.detail) for each in answers] == [
        (CommandKind.BUDGET, "refused", "too late: training was over at step 2; submit another run"),
        (CommandKind.PAUSE, "done", "the run ended at step 2"),
    ]
    assert kind_of(paths, BudgetRecord) == []


def test_a_disk_that_refuses_a_checkpoint_does_not_stop_training(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset)
    for verb in (CommandKind.CHECKPOINT, CommandKind.PAUSE):
        post(paths.control, verb=verb, asked_by="uid 0", now=0.0)

    def refuse_until_the_end(*arguments: object, **options: object) -> object:
        if options["state"].step < 12:  # type: ignore[attr-defined]  # passed through untyped
            raise StorageError("/disk: cannot save the checkpoint: No space left on device; free space on that disk")
        return save_checkpoint(*arguments, **options)  # type: ignore[arg-type]  # passed through untyped

    monkeypatch.setattr("bertd.train.checkpoint.async_saver.save_checkpoint", refuse_until_the_end)
    run_to_end(paths)

    assert [each.outcome for each in kind_of(paths, CommandRecord)] == ["refused", "refused"]
    assert {alert.code for alert in kind_of(paths, AlertRecord)} == {"checkpoint_failed"}
    assert kind_of(paths, EndRecord)[0].step == 12


def test_a_loss_that_is_not_finite_ends_the_run_and_is_never_saved(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "optimizer.peak_lr=1e30", "schedule.warmup=0.0")

    with pytest.raises(NumericsError, match=r"step \d+: the loss is nan|inf"):
        run_to_end(paths)

    assert all(
        torch.isfinite(tensor).all()
        for folder in newest_first(paths.checkpoints)
        for tensor in load_file(folder / "model.safetensors").values()
    )
    assert not kind_of(paths, EndRecord)


def test_a_timed_budget_ends_inside_it_saved_and_exported(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A millisecond for each reading: on a busy machine three real seconds may be over before the first step.
    readings = itertools.count(1000)
    monkeypatch.setattr(time, "monotonic", lambda: next(readings) / 1000)
    paths = make_run(tmp_path / "run", dataset, f"budget.hours={3 / 3600}")

    run_to_end(paths)

    (end,) = kind_of(paths, EndRecord)
    assert end.reason == "budget" and end.lr == 0.0 and end.charged_s <= 3
    reserves_s = [record.reserve_s for record in kind_of(paths, StepRecord)]
    assert all(reserve_s is not None and reserve_s > 0 for reserve_s in reserves_s)
    assert [record.why for record in kind_of(paths, CheckpointRecord)][0] == "start"
    assert kind_of(paths, ValidationRecord)[-1].step == kind_of(paths, CheckpointRecord)[-1].step == end.step
    assert newest_first(paths.exports)


def test_a_last_validation_that_the_budget_cuts_short_says_so_everywhere(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.hours=1", "precision.kernels=eager")
    with attempt(paths) as trainer:
        trainer._warm_up()
        while trainer.state.step < 3:
            trainer.execute_next_plan()
        # Load at the end, for which no reserve is enough.
        spent_s = 3600.0 - 1e-3
        monkeypatch.setattr(trainer.components.budget.clock, "now_s", lambda: spent_s)
        assert trainer.execute_next_plan() is ExitReason.BUDGET

    (end,) = kind_of(paths, EndRecord)
    last = kind_of(paths, ValidationRecord)[-1]
    assert 0 < last.share == end.validation_share < 1
    assert end.validation_loss == last.loss and math.isfinite(last.loss)
    assert {record.share for record in kind_of(paths, ValidationRecord)[:-1]} <= {1.0}
    card = (newest_first(paths.exports)[0] / "README.md").read_text()
    assert f"nats on {last.share:.0%} of the sequences" in card


def test_a_budget_that_went_into_starting_is_a_failure_without_an_export_and_can_be_resumed(
    tmp_path: Path, dataset: Path
) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.hours=1e-7")

    run_to_end(paths)

    (end,) = kind_of(paths, EndRecord)
    assert end.reason == "failed" and end.detail.startswith("the budget went into starting: ")
    assert not kind_of(paths, StepRecord) and not newest_first(paths.exports)
    verdict = classify_pretrain_exit(0, read_journal(paths.journal), shutdown_requested=False)
    assert isinstance(verdict, Outcome) and verdict.state is JobState.FAILED

    budget = BudgetRequest(unit=BudgetUnit.HOURS, amount=100)
    post(paths.control, verb=CommandKind.BUDGET, asked_by="uid 0", now=0.0, budget=budget)
    answer_stale_commands(paths, still_valid=frozenset(), detail="void", now=1.0)
    with attempt(paths) as trainer:
        assert [trainer.execute_next_plan() for _ in range(2)] == [ExitReason.NONE, ExitReason.NONE]
        assert trainer.state.step == 2


def test_the_output_bias_can_begin_at_the_frequencies_of_the_data(tmp_path: Path, dataset: Path) -> None:
    plain, informed = (
        make_run(tmp_path / bias, dataset, "budget.steps=1", f"model.head_bias={bias}")
        for bias in ("zero", "frequency")
    )

    for paths in (plain, informed):
        run_to_end(paths)

    first, second = (kind_of(paths, ValidationRecord)[0] for paths in (plain, informed))
    assert second.loss < first.loss - 1.0
    # At step 0 the model knows only the token frequencies.
    assert second.loss == pytest.approx(second.unigram_loss, abs=0.1)
    assert second.unigram_loss > second.unigram_entropy


@pytest.mark.parametrize("packing", ["full", "sentences"])
def test_shards_cut_short_under_a_run_end_it_with_an_error_that_names_the_file(
    tmp_path: Path, dataset: Path, packing: str
) -> None:
    copied = Path(shutil.copytree(dataset, tmp_path / "copy"))
    with attempt(make_run(tmp_path / "run", copied, f"data.packing={packing}")) as trainer:
        for path in copied.glob("train.*"):
            os.truncate(path, 0)
        with pytest.raises(ShardError, match=f"{copied}/train.tokens: changed while it was in use"):
            trainer.run()


def test_a_changed_data_set_is_not_trained_on(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset)
    run_to_end(paths)
    state = newest_first(paths.checkpoints)[0]

    with pytest.raises(CheckpointError, match=r"recipe.toml was changed since"):
        text = paths.recipe.read_text().replace("seed = 42", "seed = 43")
        paths.recipe.write_text(text)
        run_to_end(paths, number=2)

    assert state.is_dir()


@pytest.mark.slow
@pytest.mark.long
def test_two_ranks_train_as_one_does(tmp_path: Path, dataset: Path) -> None:
    alone = make_run(tmp_path / "alone", dataset, "model.dropout=0.0", "model.attention_dropout=0.0")
    run_to_end(alone)
    together = make_run(
        tmp_path / "together", dataset, "model.dropout=0.0", "model.attention_dropout=0.0", "devices.count=2"
    )
    ledger = Ledger(together.ledger)
    ledger.begin()

    subprocess.run(
        [sys.executable, "-m", "bertd.train.distributed.launch", str(together.root)], check=True, timeout=PATIENCE_S
    )

    ours, theirs = final_weights(alone), final_weights(together)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    (one,), (two,) = kind_of(alone, EndRecord), kind_of(together, EndRecord)
    assert one.validation_loss == pytest.approx(two.validation_loss, abs=1e-5)


def test_a_budget_is_extended_at_the_next_step_and_survives_a_crash(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "schedule.warmup=0", "checkpoint.every=1h")
    budget = BudgetRequest(unit=BudgetUnit.STEPS, amount=16)
    with attempt(paths) as trainer:
        for _ in range(4):
            trainer.execute_next_plan()
        rate = trainer._lr
        post(paths.control, verb=CommandKind.BUDGET, asked_by="uid 0", now=0.0, budget=budget)
        trainer.execute_next_plan()
        # A third of the schedule was done; the rest takes 12 steps instead of 8.
        assert trainer._lr == pytest.approx(5e-3 * (2 / 3) * (1 - 0.5 / 12))
        assert 0 < rate - trainer._lr < 5e-3 / 12

    run_to_end(paths, number=2)

    (change,) = kind_of(paths, BudgetRecord)
    assert (change.step, change.before, change.after) == (4, 12, 16)
    assert [record.outcome for record in kind_of(paths, CommandRecord)] == ["done"]
    (end,) = kind_of(paths, EndRecord)
    assert (end.step, end.lr) == (16, 0.0)


def test_a_suspended_run_is_not_charged_and_continues_bit_for_bit(tmp_path: Path, dataset: Path) -> None:
    straight, suspended = make_run(tmp_path / "a", dataset), make_run(tmp_path / "b", dataset)
    run_to_end(straight)

    with attempt(suspended) as trainer:
        for _ in range(5):
            trainer.execute_next_plan()
        budget = trainer.components.budget
        post(suspended.control, verb=CommandKind.SUSPEND, asked_by="uid 0", now=0.0)
        for _ in range(2):
            assert trainer.execute_next_plan() is ExitReason.NONE
        suspended_s = budget.now_s()
        post(suspended.control, verb=CommandKind.CHECKPOINT, asked_by="uid 0", now=0.0)
        trainer.execute_next_plan()
        while not budget.clock.is_suspended:
            trainer.execute_next_plan()
        assert trainer.state.step == 5
        assert budget.now_s() > suspended_s, "a save is charged, a suspension is not"
        post(suspended.control, verb=CommandKind.RESUME, asked_by="uid 0", now=0.0)
        trainer.run()

    states = [(record.state, record.is_hot, record.step) for record in kind_of(suspended, StateRecord)]
    assert states == [(JobState.PAUSED, True, 5), (JobState.RUNNING, False, 5)] * 2
    assert "command" in [record.why for record in kind_of(suspended, CheckpointRecord)]
    mine, its = final_weights(straight), final_weights(suspended)
    assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_a_suspension_waits_for_the_update_that_the_device_still_has(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device that runs after the host, as a GPU does, its time is charged and its record comes first."""
    monkeypatch.setattr("bertd.train.loop.trainer.runs_after_host", lambda _: True)
    monkeypatch.setattr("bertd.train.loop.control._REPORT_EVERY_S", 0.0)
    paths = make_run(tmp_path / "run", dataset)
    with attempt(paths) as trainer:
        for _ in range(3):
            trainer.execute_next_plan()
        was_suspended: list[bool] = []
        finish, clock = trainer._train_step.finish_reading, trainer.components.budget.clock

        def finish_reading(reading: PendingReading) -> StepFigures:
            was_suspended.append(clock.is_suspended)
            return finish(reading)

        monkeypatch.setattr(trainer._train_step, "finish_reading", finish_reading)
        post(paths.control, verb=CommandKind.SUSPEND, asked_by="uid 0", now=0.0)
        trainer.execute_next_plan()
        assert was_suspended == [False] and clock.is_suspended
        post(paths.control, verb=CommandKind.RESUME, asked_by="uid 0", now=0.0)
        trainer.run()

    kinds = (StepRecord, StateRecord)
    records = [(each.kind, each.step) for each in read_journal(paths.journal) if isinstance(each, kinds)]
    assert records.index(("step", 3)) < records.index(("state", 3))


def test_a_signal_turns_a_suspension_into_a_pause(tmp_path: Path, dataset: Path) -> None:
    paths, stop_signal = make_run(tmp_path / "run", dataset), Event()
    with attempt(paths, stop_signal=stop_signal) as trainer:
        trainer.execute_next_plan()
        post(paths.control, verb=CommandKind.SUSPEND, asked_by="uid 0", now=0.0)
        trainer.execute_next_plan()
        stop_signal.set()
        assert trainer.run() is ExitReason.PAUSED

    assert [(record.state, record.is_hot) for record in kind_of(paths, StateRecord)] == [
        (JobState.PAUSED, True),
        (JobState.RUNNING, False),
        (JobState.PAUSED, False),
    ]
    assert newest_first(paths.checkpoints)[0].name == "step-000000001"


def losses_of(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, wrong: dict[int, float]) -> None:
    """Read the loss in every step, and replace it by 5 or by the value in `wrong`, whose keys count the reads."""
    monkeypatch.setattr("bertd.train.loop.control._REPORT_EVERY_S", 0.0)
    real, reads = trainer.components.train_step.finish_reading, iter(range(1000))

    def finish_reading(reading: PendingReading) -> StepFigures:
        return replace(real(reading), loss=wrong.get(next(reads), 5.0))

    monkeypatch.setattr(trainer.components.train_step, "finish_reading", finish_reading)


ROLLBACK = ("stop.on_nan=rollback", "stop.on_spike=rollback", "budget.steps=16")


@pytest.mark.parametrize(
    ("wrong", "code", "expected"),
    [
        (math.nan, "loss_not_finite", "step 12: the loss is nan; went back to step 4 and left out the 64 sequences"),
        (9.0, "loss_spike", "step 12: the loss jumped to 9.000, its band ended at 5.120; went back to step 4"),
    ],
)
def test_a_bad_loss_rolls_back_and_its_batches_are_skipped(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, wrong: float, code: str, expected: str
) -> None:
    paths = make_run(tmp_path / "run", dataset, *ROLLBACK)
    with attempt(paths) as trainer:
        losses_of(trainer, monkeypatch, {11: wrong})
        for _ in range(4):
            trainer.execute_next_plan()
        trainer._save("start")
        while not kind_of(paths, RollbackRecord):
            trainer.execute_next_plan()
        # Leave the attempt, as in a crash: the next one resumes from the checkpoint of the rollback.
        assert (trainer.state.step, trainer.state.sequences) == (4, 12 * 8)
    (back,) = kind_of(paths, RollbackRecord)
    assert (back.step, back.from_step, back.skipped_sequences, back.number) == (4, 12, 8 * 8, 1)
    (alert,) = kind_of(paths, AlertRecord)
    assert (alert.code, alert.level, alert.step) == (code, "warning", 4)
    assert alert.message.startswith(expected) and "optimizer.peak_lr" in alert.message

    with attempt(paths, number=2) as trainer:
        assert (trainer.state.step, trainer.state.sequences, trainer.state.rollbacks) == (4, 12 * 8, 1)
        trainer.run()
    (end,) = kind_of(paths, EndRecord)
    assert (end.step, end.sequences) == (16, 24 * 8)


def test_a_marker_that_a_rollback_undoes_is_passed_again(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, *ROLLBACK, "checkpoint.markers=[0.5]")
    with attempt(paths) as trainer:
        losses_of(trainer, monkeypatch, {9: math.nan})
        for _ in range(4):
            trainer.execute_next_plan()
        trainer._save("start")
        while trainer.state.markers_left:
            trainer.execute_next_plan()
        # As if the loss were read once a second: the marker came after the last good loss and before the bad one.
        trainer._loss_monitor.last_good_step = 4
        while not kind_of(paths, RollbackRecord):
            trainer.execute_next_plan()
        assert (trainer.state.step, trainer.state.markers_left) == (4, [0.5])
        trainer.run()
    assert [kept.step for kept in read_checkpoint_index(paths).checkpoints if 0.5 in kept.markers] == [8]


def test_a_report_that_is_read_a_step_late_has_the_figures_of_its_own_step(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.train.loop.control._REPORT_EVERY_S", 0.0)
    at_once, late = (make_run(tmp_path / name, dataset, "checkpoint.markers=[0.5]") for name in ("at_once", "late"))
    with attempt(at_once) as trainer:
        trainer.run()
    monkeypatch.setattr("bertd.train.loop.trainer.runs_after_host", lambda _: True)
    with attempt(late) as trainer:
        trainer.execute_next_plan()
        assert not kind_of(late, StepRecord), "the update may still be running"
        trainer.execute_next_plan()
        assert [record.step for record in kind_of(late, StepRecord)] == [1]
        trainer.run()

    def exact_figures(paths: RunPaths) -> list[tuple[float, ...]]:
        return [
            (each.step, each.sequences, each.progress, each.loss, each.lr, each.grad_norm)
            for each in kind_of(paths, StepRecord)
        ]

    assert exact_figures(late) == exact_figures(at_once)
    assert [each.step for each in kind_of(late, StepRecord)] == list(range(1, len(kind_of(late, StepRecord)) + 1))
    mine, its = final_weights(at_once), final_weights(late)
    assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_a_bad_loss_that_is_read_a_step_late_takes_the_step_after_it_back_too(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertd.train.loop.trainer.runs_after_host", lambda _: True)
    paths = make_run(tmp_path / "run", dataset, *ROLLBACK)
    with attempt(paths) as trainer:
        losses_of(trainer, monkeypatch, {11: math.nan})
        for _ in range(4):
            trainer.execute_next_plan()
        trainer._finish_update()
        trainer._save("start")
        while not kind_of(paths, RollbackRecord):
            trainer.execute_next_plan()
        assert not trainer.components.train_step.has_unread_loss, (
            "the loss of step 13 is not reported as that of step 5"
        )
        trainer.run()

    (back,) = kind_of(paths, RollbackRecord)
    assert (back.step, back.from_step, back.skipped_sequences) == (4, 13, 9 * 8)
    assert back.cause == "step 12: the loss is nan"
    steps = [record.step for record in kind_of(paths, StepRecord)]
    assert steps == [*range(1, 12), *range(5, 17)]


@pytest.mark.parametrize(("saved_with", "back_to"), [(5.0, 6), (9.0, 4)])
def test_a_rollback_uses_a_checkpoint_between_two_reports_if_its_loss_was_good(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, saved_with: float, back_to: int
) -> None:
    paths = make_run(tmp_path / "run", dataset, *ROLLBACK)
    with attempt(paths) as trainer:
        # Reads in order: eleven reports, the save's, and the report after it.
        losses_of(trainer, monkeypatch, {11: saved_with, 12: math.nan})
        for _ in range(4):
            trainer.execute_next_plan()
        trainer._save("start")
        for _ in range(7):
            # Enough losses for a band.
            trainer._loss_monitor.judge(trainer.components.train_step.take_loss(), trainer.state)
        monkeypatch.setattr("bertd.train.loop.control._REPORT_EVERY_S", math.inf)
        for _ in range(2):
            trainer.execute_next_plan()
        trainer._save("start")
        monkeypatch.setattr("bertd.train.loop.control._REPORT_EVERY_S", 0.0)
        while not kind_of(paths, RollbackRecord):
            trainer.execute_next_plan()

    assert [record.step for record in kind_of(paths, RollbackRecord)] == [back_to]


def test_a_run_goes_back_twice_and_then_fails(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = make_run(tmp_path / "run", dataset, *ROLLBACK)
    with attempt(paths) as trainer, pytest.raises(NumericsError, match="went back 2 times already"):
        losses_of(trainer, monkeypatch, {3: math.nan, 5: math.inf, 8: math.nan})
        trainer.run()
    assert [record.number for record in kind_of(paths, RollbackRecord)] == [1, 2]
    assert not kind_of(paths, EndRecord)


JUMPED = "step 12: the loss jumped to 9.000, its band ended at 5.120"
DIVERGED = "step 3: the loss is 50.000, above twice what a blind guess costs, "


@pytest.mark.parametrize(
    ("wanted", "wrong", "expected"),
    [
        ("alert", {11: 9.0, 12: 9.1}, JUMPED),
        ("hold", {11: 9.0}, JUMPED),
        ("alert", {2: 50.0, 3: 60.0}, DIVERGED),
        ("stop", {2: 50.0}, DIVERGED),
    ],
)
def test_a_spike_is_reported_once_and_does_what_the_recipe_says(
    tmp_path: Path,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    wrong: dict[int, float],
    expected: str,
) -> None:
    paths = make_run(tmp_path / "run", dataset, f"stop.on_spike={wanted}", "budget.steps=16")
    with attempt(paths) as trainer:
        losses_of(trainer, monkeypatch, wrong)
        while not kind_of(paths, AlertRecord):
            trainer.execute_next_plan()
        exit_reason = trainer.execute_next_plan()
    (alert,) = kind_of(paths, AlertRecord)
    assert alert.code == "loss_spike" and alert.message.startswith(expected) and "optimizer.peak_lr" in alert.message
    assert [record.reason.split(";")[0] for record in kind_of(paths, StateRecord) if record.is_hot] == (
        [expected] if wanted == "hold" else []
    )
    assert exit_reason is (ExitReason.STOPPED if wanted == "stop" else ExitReason.NONE)
    assert [record.reason for record in kind_of(paths, EndRecord)] == (["stopped"] if wanted == "stop" else [])


def test_a_loss_that_rises_slowly_is_reported_once_and_the_run_continues(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, "stop.on_spike=stop", "budget.steps=40")
    with attempt(paths) as trainer:
        losses_of(trainer, monkeypatch, {read: 5.0 + 0.1 * read for read in range(40)})
        trainer.run()
    (alert,) = kind_of(paths, AlertRecord)
    assert (alert.code, alert.level) == ("loss_rising", "warning")
    expected = rf"step {alert.step}: the loss is at 6\.\d+ \(running mean\), and was 5\.\d+ at its lowest; .*peak_lr"
    assert re.match(expected, alert.message)
    assert [(record.reason, record.step) for record in kind_of(paths, EndRecord)] == [("budget", 40)]
