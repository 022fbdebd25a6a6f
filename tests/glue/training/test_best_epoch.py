"""The epoch that is best on the development set is scored, and what that choice was is in the score."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bertd.glue import __main__
from bertd.glue.data.task_data import read_task_data
from bertd.glue.kinds.sequence_classification import SequenceClassification
from bertd.glue.model.classifier import load_classifier
from bertd.glue.progress import ProgressJournal
from bertd.glue.training import train
from bertd.glue.training.best_epoch import BestEpoch
from bertd.glue.training.dev_predictions import SetPredictions
from bertd.glue.training.evaluate import Evaluator
from bertd.records import EndRecord, FinetuneSpec, ScoreRecord, journal_record_adapter
from bertd.run.journal import JournalWriter, read_journal
from bertd.train.backends.precision import Precision
from tests.glue.glue_jobs import write_cola, write_job
from tests.glue.tiny_export import save_tiny_export

FP32 = Precision(mode="fp32", dtype=None, needs_scaler=False)


def test_the_first_of_the_best_epochs_is_kept_with_its_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    best = BestEpoch(metric="matthews", keeps_weights=True)
    for number, score in enumerate([0.1, 0.5, 0.5, 0.3], start=1):
        nn.init.constant_(model.weight, number)
        predictions = {"": SetPredictions(np.array([float(number)]), np.zeros(1))}
        best.consider({"matthews": score, "accuracy": number}, model, predictions=predictions)
    assert (best.epoch, best.metrics["accuracy"], best.last_metrics["accuracy"]) == (2, 2, 4)
    assert best.scores == [0.1, 0.5, 0.5, 0.3]
    assert best.predictions[""].predicted == [2.0]
    best.restore(model)
    assert model.weight.item() == 2


def test_the_score_says_which_epoch_it_is_of_and_what_the_last_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([0.2, 0.6, 0.4])
    monkeypatch.setattr(Evaluator, "evaluate", lambda _: {"matthews": (value := next(scores)), "accuracy": value / 2})
    export = save_tiny_export(tmp_path / "export")
    data_dir = write_cola(tmp_path / "data", num_train=32)
    paths = write_job(tmp_path / "job", data_dir=str(data_dir), source=str(export))
    assert __main__.main([str(paths.root)]) == 0
    score, end = read_journal(paths.journal)[-2:]
    assert isinstance(score, ScoreRecord) and isinstance(end, EndRecord)
    assert (score.score, score.chosen_epoch, score.chosen_by) == (0.6, 2, "matthews")
    assert score.metrics == {"matthews": 0.6, "accuracy": 0.3}
    assert score.last_metrics == {"matthews": 0.4, "accuracy": 0.2}
    assert score.epoch_scores == [0.2, 0.6, 0.4]
    assert score.dev == str(data_dir / "CoLA" / "dev.tsv")
    said = "after epoch 2 of 3, chosen on dev by matthews; the last epoch has 0.400"
    assert end.detail.endswith(said)
    assert capsys.readouterr().out.splitlines()[-1] == end.detail


def test_scores_of_older_versions_are_read() -> None:
    old = (
        '{"kind": "score", "t": 1, "task": "cola", "metric": "matthews", "score": 0.5, "majority_score": 0, '
        '"metrics": {}, "majority_metrics": {}, "num_train": 1, "num_dev": 1, "seed": 1, "lr": 1, "batch_size": 1, '
        '"epochs": 1, "source": "s", "seconds": 1}'
    )
    score = journal_record_adapter.validate_json(old)
    assert isinstance(score, ScoreRecord) and score.chosen_epoch is None
    spec = FinetuneSpec.model_validate_json('{"task": "cola", "data_dir": "/d", "source": "/e", "source_name": "1"}')
    assert (spec.own, spec.keep) == (None, "nothing")


def test_evaluating_between_epochs_changes_no_weight(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    spec = FinetuneSpec(
        task="cola",
        data_dir=str(write_cola(tmp_path / "data", num_train=48)),
        source=str(export),
        source_name="1",
        epochs=3,
        batch_size=16,
    )
    data = read_task_data(spec)
    trained = []
    for is_evaluated in (True, False):
        torch.manual_seed(0)
        classifier = load_classifier(export, data.task.head, max_length=32)
        evaluator = Evaluator(classifier, SequenceClassification.of(data), device=torch.device("cpu"), precision=FP32)

        def evaluate(_: object, evaluator: Evaluator = evaluator) -> None:
            evaluator.evaluate()

        with closing(JournalWriter(tmp_path / "journal.jsonl")) as journal:
            train.train(
                classifier,
                SequenceClassification.of(data),
                spec=spec,
                device=torch.device("cpu"),
                precision=FP32,
                progress=ProgressJournal(journal, began_s=0.0),
                after_epoch=evaluate if is_evaluated else None,
            )
        trained.append(classifier.model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
