"""A run validates and pauses by itself at its mark, and no start carries it past."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertd.errors import RunFolderError, StorageError
from bertd.records import EndRecord, StateRecord, ValidationRecord
from bertd.run.pause_mark import read_pause_mark, write_pause_mark
from bertd.train.checkpoint.async_saver import AsyncCheckpointer
from bertd.train.loop.control import ExitReason
from tests.train.loop.test_trainer import attempt, final_weights, kind_of, make_run, run_to_end


def test_a_run_validates_and_pauses_at_its_mark_and_again_until_it_has_a_later_one(
    tmp_path: Path, dataset: Path
) -> None:
    straight, marked = make_run(tmp_path / "a", dataset), make_run(tmp_path / "b", dataset)
    run_to_end(straight)
    write_pause_mark(marked.pause_mark, 1e-3)

    for number in (1, 2):
        with attempt(marked, number=number) as trainer:
            assert trainer.run() is ExitReason.PAUSED
            # The first step is taken before it: a run that has not trained has no loss to compare.
            assert trainer.state.step == 1
            assert trainer.state.validation_step == 1
    losses = [record.loss for record in kind_of(marked, ValidationRecord) if record.step == 1]
    assert losses == [losses[0]] * 2
    assert [record.step for record in kind_of(marked, StateRecord)] == [1, 1]
    assert "its sweep decides" in kind_of(marked, StateRecord)[0].reason

    write_pause_mark(marked.pause_mark, None)
    run_to_end(marked, number=3)
    assert kind_of(marked, EndRecord)[0].reason == "budget"
    mine, its = final_weights(straight), final_weights(marked)
    assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_the_loss_at_the_mark_is_measured_before_a_stop_rule_is_asked(tmp_path: Path, dataset: Path) -> None:
    paths = make_run(tmp_path / "run", dataset, "stop.rules=['after 0s loss > 0.1']")
    write_pause_mark(paths.pause_mark, 0.0)
    with attempt(paths) as trainer:
        trainer._update_state(validation_loss=9.0, step=1)
        assert trainer.execute_next_plan() is ExitReason.PAUSED
    write_pause_mark(paths.pause_mark, None)
    run_to_end(paths, number=2)
    assert kind_of(paths, EndRecord)[0].reason == "stopped"


def test_a_disk_that_refuses_the_pause_lets_the_run_continue(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_run(tmp_path / "run", dataset)

    def refuse(*arguments: object, **options: object) -> None:
        raise StorageError("the disk is full")

    write_pause_mark(paths.pause_mark, 1e-3)
    with attempt(paths) as trainer:
        with monkeypatch.context() as patch:
            patch.setattr(AsyncCheckpointer, "save", refuse)
            while trainer.state.step < 3:
                assert trainer.execute_next_plan() is ExitReason.NONE
        num_validations = len([record for record in kind_of(paths, ValidationRecord) if record.step])
        assert num_validations == 1, "it is not tried again at each step"
        assert trainer.run() is ExitReason.BUDGET


def test_a_damaged_mark_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "pause.json"
    assert read_pause_mark(path) is None
    path.write_text("?")
    with pytest.raises(RunFolderError, match=r"pause.json: not the time of a pause: .*; delete the file"):
        read_pause_mark(path)
