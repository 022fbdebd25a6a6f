"""Checkpoints are written during training, at most one at a time, and reported when complete."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from threading import Event

import pytest
import torch
from safetensors.torch import load_file

from bertd.errors import StorageError
from bertd.records import (
    AlertRecord,
    BudgetRequest,
    BudgetUnit,
    CheckpointRecord,
    CommandKind,
    CommandRecord,
    EndRecord,
    ExportRecord,
)
from bertd.run.checkpoint_index import read_checkpoint_index
from bertd.run.journal import read_journal
from bertd.run.mailbox import post
from bertd.run.paths import RunPaths, newest_first
from bertd.train.checkpoint.async_saver import AsyncCheckpointer
from bertd.train.checkpoint.export_checkpoint import export_run
from bertd.train.checkpoint.format import read_state, save_checkpoint
from bertd.train.checkpoint.staging import StagedTensors
from bertd.train.loop.trainer import Trainer
from tests.train.loop.test_trainer import attempt, kind_of, make_run, run_to_end
from tests.waiting import PATIENCE_S

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Event:
    """The writer thread waits for this event before it writes."""
    opened = Event()

    def wait_and_save(*arguments: object, **options: object) -> object:
        assert opened.wait(PATIENCE_S)
        return save_checkpoint(*arguments, **options)  # type: ignore[arg-type]  # passed through untyped

    monkeypatch.setattr("bertd.train.checkpoint.async_saver.save_checkpoint", wait_and_save)
    return opened


def only_when_asked(trainer: Trainer) -> AsyncCheckpointer:
    """Disable the saves of the interval, so that only the test's own saves remain."""
    trainer.state = trainer.state.model_copy(update={"next_checkpoint_s": 1e9})
    checkpointer = trainer.components.checkpointer
    assert isinstance(checkpointer, AsyncCheckpointer)
    return checkpointer


def run_with_a_fast_disk(paths: RunPaths, *, number: int = 1, steps: int = 12) -> None:
    """Run to `steps`, with each checkpoint complete before the next step, then pause."""
    stop_signal = Event()
    with attempt(paths, number=number, stop_signal=stop_signal) as trainer:
        checkpointer = only_when_asked(trainer)
        while trainer.state.step < steps:
            trainer.execute_next_plan()
            trainer.state = checkpointer.wait(trainer.state)
        stop_signal.set()
        trainer.run()


def test_training_continues_while_a_checkpoint_is_written(tmp_path: Path, dataset: Path, gate: Event) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.steps=1000000")
    with attempt(paths) as trainer:
        only_when_asked(trainer)
        trainer.execute_next_plan()
        trainer.execute_next_plan()
        weights = {name: tensor.clone() for name, tensor in trainer.components.model.state_dict().items()}
        post(paths.control, verb=CommandKind.CHECKPOINT, asked_by="uid 0", now=0.0)
        for _ in range(3):
            trainer.execute_next_plan()
        # The interval comes due while that save is in progress: it is skipped, and not done later.
        trainer.state = trainer.state.model_copy(update={"next_checkpoint_s": 0.0})
        trainer.execute_next_plan()
        trainer.execute_next_plan()
        assert (trainer.state.step, trainer.state.skipped_saves) == (7, 1)
        assert not kind_of(paths, CheckpointRecord) and not kind_of(paths, CommandRecord)
        gate.set()
        post(paths.control, verb=CommandKind.STOP, asked_by="uid 0", now=0.0)
        trainer.run()

    kinds = [record for record in read_journal(paths.journal) if isinstance(record, CheckpointRecord | CommandRecord)]
    saved, answered, *_ = kinds
    assert isinstance(saved, CheckpointRecord) and isinstance(answered, CommandRecord)
    assert (saved.step, saved.why, saved.skipped) == (2, "command", 1)
    assert (answered.number, answered.verb, answered.outcome) == (1, CommandKind.CHECKPOINT, "done")
    assert saved.stall_s < saved.seconds and saved.write_s < saved.seconds and 0 < saved.stall_share < 1
    # Steps since the save began are not in the checkpoint.
    written = load_file(paths.checkpoints / "step-000000002" / "model.safetensors")
    assert weights.keys() == written.keys() and all(torch.equal(weights[name], written[name]) for name in weights)
    # The state remembers how slow the slowest was, for the reserve at the end.
    assert read_state(newest_first(paths.checkpoints)[0]).save_s == saved.seconds


def test_a_step_overwrites_nothing_before_it_is_copied(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy starts as late as possible: when the next step is about to change the weights."""
    paths = make_run(tmp_path / "run", dataset, "budget.steps=1000000")
    is_about_to_step = Event()
    finish_copy, make_step_wait = StagedTensors.finish_copy, StagedTensors.make_step_wait

    def finish_copy_late(tensors: StagedTensors) -> None:
        assert is_about_to_step.wait(PATIENCE_S)
        finish_copy(tensors)

    def signal_and_wait(tensors: StagedTensors) -> None:
        is_about_to_step.set()
        make_step_wait(tensors)

    monkeypatch.setattr(StagedTensors, "finish_copy", finish_copy_late)
    monkeypatch.setattr(StagedTensors, "make_step_wait", signal_and_wait)
    with attempt(paths) as trainer:
        checkpointer = only_when_asked(trainer)
        trainer.execute_next_plan()
        before = {name: tensor.clone() for name, tensor in trainer.components.model.state_dict().items()}
        moments = {name: tensor.clone() for name, tensor in trainer.components.optimizers.tensors().items()}
        post(paths.control, verb=CommandKind.CHECKPOINT, asked_by="uid 0", now=0.0)
        trainer.execute_next_plan()
        trainer.state = checkpointer.wait(trainer.state)

    (saved,) = kind_of(paths, CheckpointRecord)
    assert saved.stall_s > 0
    for name, expected in (("model.safetensors", before), ("optimizer.safetensors", moments)):
        written = load_file(paths.checkpoints / "step-000000001" / name)
        assert written.keys() == expected.keys()
        assert all(torch.equal(written[key], expected[key]) for key in expected)


def test_a_marker_is_kept_and_exported_whatever_comes_after(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "checkpoint.markers=[0.24,0.25,0.5]", "checkpoint.keep=1")

    run_with_a_fast_disk(paths)

    assert [folder.name for folder in newest_first(paths.exports)] == [
        "step-000000012",
        "step-000000006",
        "step-000000003",
    ]
    assert [(each.name, each.markers) for each in kind_of(paths, ExportRecord)] == [
        ("step-000000003", [0.24, 0.25]),
        ("step-000000006", [0.5]),
        ("step-000000012", []),
    ]
    kept = read_checkpoint_index(paths).checkpoints
    assert [each.name for each in kept] == [folder.name for folder in newest_first(paths.checkpoints)]
    assert [(each.step, each.markers) for each in kept] == [(12, []), (6, [0.5]), (3, [0.24, 0.25])]
    assert "newest" in kept[0].reasons and kept[1].reasons[0] == "marker 0.5"
    assert any(reason.startswith("best validation loss") for each in kept for reason in each.reasons)
    # The export at a marker has its checkpoint's weights, not those of steps during the write.
    export_run(paths, step=6, out=tmp_path / "other")
    exported = paths.exports / "step-000000006" / "model.safetensors"
    assert exported.read_bytes() == (tmp_path / "other" / "model.safetensors").read_bytes()


def test_a_marker_is_met_once_over_attempts(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "checkpoint.markers=[0.25,0.5]")

    run_with_a_fast_disk(paths, steps=5)
    run_with_a_fast_disk(paths, number=2)

    assert [each.markers for each in kind_of(paths, ExportRecord)] == [[0.25], [0.5], []]


def test_a_full_disk_is_not_written_to_and_training_continues(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, "checkpoint.markers=[0.5]")
    post(paths.control, verb=CommandKind.CHECKPOINT, asked_by="uid 0", now=0.0)

    with attempt(paths) as trainer:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 1 << 20))
        trainer.run()

    alerts = kind_of(paths, AlertRecord)
    assert {alert.code for alert in alerts} == {"disk_low"}
    assert "0.00 GB free and 0.00 GB in checkpoints that may be deleted" in alerts[0].message
    # One for the command and one for the end; the marker would be tried again after the interval.
    assert len(alerts) == 2
    assert [each.outcome for each in kind_of(paths, CommandRecord)] == ["refused"]
    assert not newest_first(paths.checkpoints)
    # The export takes a third of the space of a checkpoint, so it is still tried.
    (end,) = kind_of(paths, EndRecord)
    assert end.export == "step-000000012"


def test_a_run_that_its_disk_cannot_hold_does_not_begin_but_one_that_has_trained_continues(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = make_run(tmp_path / "new", dataset)
    old = make_run(tmp_path / "old", dataset)
    run_with_a_fast_disk(old, steps=3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 60 << 20))

    with pytest.raises(StorageError, match=r"new: 0.1 GB free, about 0.1 GB needed for 5 checkpoints of 0.00 GB"):
        run_to_end(new)
    run_to_end(old, number=2)

    assert not new.journal.exists()
    assert {alert.code for alert in kind_of(old, AlertRecord)} == {"disk_low"}
    assert kind_of(old, EndRecord)[0].step == 12


def test_old_checkpoints_are_deleted_to_make_space_for_a_new_one(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset, "checkpoint.keep=3", "validation.every=10h")
    with attempt(paths) as trainer:
        checkpointer = only_when_asked(trainer)
        for _ in range(3):
            trainer.execute_next_plan()
            trainer.state = checkpointer.save(trainer.state, why="pause")
        assert len(newest_first(paths.checkpoints)) == 3
        size = read_checkpoint_index(paths).checkpoints[0].size_bytes
        # The reserve, and slightly less than a checkpoint needs.
        free = (64 << 20) + size - 100_000
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, free))
        trainer.execute_next_plan()
        trainer.state = checkpointer.save(trainer.state, why="pause")

    # Step 1 is the best by its validation loss, step 3 was the newest valid one.
    assert [folder.name for folder in newest_first(paths.checkpoints)] == [
        "step-000000004",
        "step-000000003",
        "step-000000001",
    ]


def test_commands_after_a_checkpoint_that_is_being_written_are_executed_meanwhile(
    tmp_path: Path, dataset: Path, gate: Event
) -> None:
    paths = make_run(tmp_path / "run", dataset, "budget.steps=1000000")
    with attempt(paths) as trainer:
        only_when_asked(trainer)
        clock = trainer.components.budget.clock

        def ask(verb: CommandKind) -> None:
            budget = BudgetRequest(unit=BudgetUnit.STEPS, amount=9) if verb is CommandKind.BUDGET else None
            post(paths.control, verb=verb, asked_by="uid 0", now=0.0, budget=budget)
            trainer.execute_next_plan()

        ask(CommandKind.CHECKPOINT)
        ask(CommandKind.SUSPEND)
        assert (trainer.state.step, clock.is_suspended) == (1, True)
        ask(CommandKind.RESUME)
        ask(CommandKind.BUDGET)
        assert (trainer.state.step, clock.is_suspended) == (3, False)
        assert not kind_of(paths, CommandRecord), "the journal answers in order"
        gate.set()
        trainer.run()
    answers = [(record.number, record.verb, record.outcome) for record in kind_of(paths, CommandRecord)]
    asked = (CommandKind.CHECKPOINT, CommandKind.SUSPEND, CommandKind.RESUME, CommandKind.BUDGET)
    assert answers == [(number, verb, "done") for number, verb in enumerate(asked, 1)]
    assert kind_of(paths, EndRecord)[0].step == 9
