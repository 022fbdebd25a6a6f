"""A run that starts from a checkpoint of stock transformers goes on where that stood, and reads it once."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event

import pytest

from bertd.errors import CheckpointError
from bertd.records import AlertRecord, EndRecord, StartRecord, ValidationRecord
from bertd.run.paths import newest_first
from tests.train.test_trainer import attempt, kind_of, make_run, run_to_end

FREQUENCY = "model.head_bias=frequency"


def export_of_a_run(folder: Path, dataset: Path) -> tuple[Path, float]:
    """An export, and its validation loss."""
    paths = make_run(folder, dataset)
    run_to_end(paths)
    loss = kind_of(paths, EndRecord)[0].validation_loss
    assert loss is not None
    return newest_first(paths.exports)[0], loss


def test_a_run_starts_with_the_loss_that_the_checkpoint_ended_with(tmp_path: Path, dataset: Path) -> None:
    export, loss = export_of_a_run(tmp_path / "first", dataset)
    paths = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"')

    run_to_end(paths)

    assert kind_of(paths, StartRecord)[0].start_from == f"MegatronBertForMaskedLM of {export}"
    before, *_, after = kind_of(paths, ValidationRecord)
    assert before.step == 0 and before.loss == pytest.approx(loss, abs=1e-6)
    assert after.loss < before.loss


def test_the_checkpoints_output_bias_stays_and_a_recipe_that_wants_another_is_told(
    tmp_path: Path, dataset: Path
) -> None:
    export, loss = export_of_a_run(tmp_path / "first", dataset)
    paths, told = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"', FREQUENCY), Event()
    with attempt(paths, stop_signal=told) as trainer:
        trainer.advance_one()
        told.set()
        trainer.run()
    run_to_end(paths, number=2)

    assert kind_of(paths, ValidationRecord)[0].loss == pytest.approx(loss, abs=1e-6)
    # Once: the second attempt resumes its own checkpoint.
    (alert,) = kind_of(paths, AlertRecord)
    assert (alert.code, alert.level) == ("head_bias_unused", "warning")
    assert alert.message.startswith('[model] head_bias = "frequency" has no effect') and str(export) in alert.message


def test_once_it_has_a_checkpoint_of_its_own_the_first_weights_are_not_read_again(
    tmp_path: Path, dataset: Path
) -> None:
    export, _ = export_of_a_run(tmp_path / "first", dataset)
    paths, told = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"'), Event()
    with attempt(paths, stop_signal=told) as trainer:
        trainer.advance_one()
        told.set()
        trainer.run()
    shutil.rmtree(export)

    run_to_end(paths, number=2)

    assert [start.start_from is None for start in kind_of(paths, StartRecord)] == [False, True]
    assert kind_of(paths, EndRecord)[0].step == 12


def test_a_checkpoint_of_another_shape_ends_the_run_before_it_starts(tmp_path: Path, dataset: Path) -> None:
    export, _ = export_of_a_run(tmp_path / "first", dataset)
    paths = make_run(tmp_path / "second", dataset, f'model.start_from="{export}"', "model.layers=3")

    with pytest.raises(CheckpointError, match=r"of another shape: num_hidden_layers = 2 \(layers\)"):
        run_to_end(paths)

    assert not paths.journal.exists()
