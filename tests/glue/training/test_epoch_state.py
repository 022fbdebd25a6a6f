"""A finetuning that was killed continues after its last epoch, with the numbers of one that was not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bertd.errors import NumericsError, StorageError
from bertd.glue import __main__
from bertd.glue.metrics import matthews
from bertd.glue.training import epoch_state
from bertd.glue.training.dev_predictions import unpack_predictions
from bertd.glue.training.evaluate import Evaluator
from bertd.records import AlertRecord, EndRecord, ScoreRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths
from bertd.train.backends.precision import Precision
from tests.glue.glue_jobs import write_cola, write_job
from tests.glue.tiny_export import save_tiny_export

FP16 = Precision(mode="fp16", dtype=torch.float16, needs_scaler=True)


class Killed(BaseException):
    """Stands for a signal."""


@pytest.fixture(autouse=True)
def each_epoch_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_state, "SAVE_EVERY_S", 0.0)


@pytest.fixture
def job(tmp_path: Path) -> JobPaths:
    return _write_job(tmp_path, "job")


def _write_job(tmp_path: Path, name: str) -> JobPaths:
    export, data = tmp_path / "export", tmp_path / "data"
    if not export.exists():
        save_tiny_export(export)
        write_cola(data, num_train=48)
    return write_job(tmp_path / name, data_dir=str(data), source=str(export), epochs=4, keep="best")


def _kill_in_epoch(monkeypatch: pytest.MonkeyPatch, paths: JobPaths, *, epoch: int) -> None:
    """Run the job until the evaluation after an epoch, and end it there as a signal would."""
    evaluate, calls = Evaluator.evaluate, iter(range(1, 10))

    def evaluate_or_die(self: Evaluator) -> dict[str, float]:
        if next(calls) == epoch:
            raise Killed
        return evaluate(self)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", evaluate_or_die)
        with pytest.raises(Killed):
            __main__.main([str(paths.root)])


def _results(paths: JobPaths) -> tuple[ScoreRecord, list[StepRecord]]:
    records = read_journal(paths.journal)
    assert isinstance(records[-1], EndRecord)
    score = next(record for record in records if isinstance(record, ScoreRecord))
    return score, [record for record in records if isinstance(record, StepRecord)]


@pytest.mark.parametrize("is_fp16", [False, True])
def test_a_killed_finetuning_gives_the_numbers_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_fp16: bool
) -> None:
    if is_fp16:
        monkeypatch.setattr("bertd.glue.job.choose_precision", lambda *_: FP16)
    whole, killed = _write_job(tmp_path, "whole"), _write_job(tmp_path, "killed")
    assert __main__.main([str(whole.root)]) == 0
    _kill_in_epoch(monkeypatch, killed, epoch=3)
    assert killed.epoch_state.is_dir()
    assert __main__.main([str(killed.root)]) == 0
    assert "cola: continues after epoch 2 of 4" in capsys.readouterr().out
    (expected, steps), (score, again) = _results(whole), _results(killed)
    ignored = {"t": 0.0, "seconds": 0.0, "training_s": 0.0, "kept": None}
    assert score.model_copy(update=ignored) == expected.model_copy(update=ignored)
    assert (again[-1].loss, again[-1].grad_norm, again[-1].step) == (
        steps[-1].loss,
        steps[-1].grad_norm,
        steps[-1].step,
    )
    assert again[-1].sequences == steps[-1].sequences == 4 * 48
    assert whole.dev_predictions.read_bytes() == killed.dev_predictions.read_bytes()
    kept, kept_again = (load_file(paths.finetuned_model / "model.safetensors") for paths in (whole, killed))
    assert all(torch.equal(kept[name], kept_again[name]) for name in kept)
    assert not killed.epoch_state.exists() and not whole.epoch_state.exists()


def test_a_saved_epoch_has_the_predictions_of_the_best_one(job: JobPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    _kill_in_epoch(monkeypatch, job, epoch=4)
    file = job.epoch_state / "predictions.npz"
    kept = unpack_predictions(file.read_bytes(), place="here")[""]
    saved = epoch_state.EpochState.model_validate_json((job.epoch_state / "state.json").read_bytes())
    assert matthews(kept.predicted, kept.true) == max(metrics["matthews"] for metrics in saved.metrics)
    # As an older version left it.
    file.unlink()
    assert __main__.main([str(job.root)]) == 0
    assert not [record for record in read_journal(job.journal) if isinstance(record, AlertRecord)]


@pytest.mark.parametrize("damage", ["torn", "settings", "data"])
def test_an_epoch_that_does_not_fit_is_a_warning_and_the_finetuning_begins_again(
    tmp_path: Path, job: JobPaths, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    _kill_in_epoch(monkeypatch, job, epoch=2)
    if damage == "torn":
        weights = job.epoch_state / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "settings":
        job.finetune_spec.write_text(job.finetune_spec.read_text().replace('"seed":42', '"seed":43'))
    else:
        train = tmp_path / "data" / "CoLA" / "train.tsv"
        train.write_text(train.read_text().split("\n", 1)[1])
    assert __main__.main([str(job.root)]) == 0
    alerts = [record for record in read_journal(job.journal) if isinstance(record, AlertRecord)]
    assert [alert.code for alert in alerts] == ["epoch_not_restored"]
    assert alerts[0].message.endswith("the finetuning begins again")
    assert _results(job)[0].epoch_scores is not None and len(_results(job)[0].epoch_scores or []) == 4


def test_a_disk_that_refuses_an_epoch_is_a_warning(job: JobPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(epoch_state, "save_file", refuse)
    assert __main__.main([str(job.root)]) == 0
    alerts = [record for record in read_journal(job.journal) if isinstance(record, AlertRecord)]
    assert {alert.code for alert in alerts} == {"epoch_not_saved"}
    assert "No space left on device" in alerts[0].message
    assert StorageError.__name__ not in [alert.code for alert in alerts]


def test_a_finetuning_that_diverged_keeps_no_epoch(job: JobPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, calls = Evaluator.evaluate, iter(range(1, 10))

    def diverge(self: Evaluator) -> dict[str, float]:
        if next(calls) == 3:
            raise NumericsError("a prediction is not finite")
        return evaluate(self)

    monkeypatch.setattr(Evaluator, "evaluate", diverge)
    assert __main__.main([str(job.root)]) == NumericsError.exit_code
    assert not job.epoch_state.exists()
