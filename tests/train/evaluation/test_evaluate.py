"""bertd.train.evaluation: a checkpoint and its export score the same, and what the run's own validation measured."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.data.dataset.mixture import DataMixture
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.errors import CheckpointError, ShardError
from bertd.records import Evaluation, ValidationRecord
from bertd.run.job_report import REPORT_VARIABLE, read_progress_share, read_result_text
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths, RunPaths, newest_first
from bertd.run.recipe.load import read_recipe
from bertd.train.evaluation import command
from bertd.train.evaluation.command import evaluate_checkpoint, evaluate_export
from bertd.train.evaluation.measure import measure
from tests.train.loop.test_trainer import make_run, run_to_end

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> RunPaths:
    paths = make_run(tmp_path_factory.mktemp("ended") / "run", dataset)
    run_to_end(paths)
    return paths


def test_a_checkpoint_scores_what_the_runs_own_last_validation_measured(ended: RunPaths) -> None:
    evaluation, skipped = evaluate_checkpoint(ended, step=None, shards=None, max_sequences=None, device=CPU)
    last = [record for record in read_journal(ended.journal) if isinstance(record, ValidationRecord)][-1]
    assert skipped == []
    assert evaluation.loss == pytest.approx(last.loss, abs=1e-4)
    assert evaluation.num_tokens > 0 and 0 <= evaluation.accuracy <= 1
    assert evaluation.standard_error is not None and evaluation.standard_error > 0
    assert evaluation.model.startswith("run/step-")


def test_an_export_scores_what_its_checkpoint_does(ended: RunPaths, dataset: Path) -> None:
    recipe, export = read_recipe(ended.recipe), newest_first(ended.exports)[0]
    of_export = evaluate_export(
        export, shards=dataset, sequence_length=recipe.data.sequence_length, max_sequences=50, device=CPU
    )
    of_checkpoint, _ = evaluate_checkpoint(ended, step=None, shards=dataset, max_sequences=50, device=CPU)
    assert of_export.num_sequences == of_checkpoint.num_sequences == 50
    # Other masks, since an export has no seed of its own run, so not the same tokens.
    assert of_export.loss == pytest.approx(of_checkpoint.loss, abs=0.2)


def test_accuracy_and_loss_are_those_of_a_count_by_hand(ended: RunPaths, dataset: Path) -> None:
    recipe, opened, seen = read_recipe(ended.recipe), DataMixture.open({str(dataset): 1}), list[tuple[float, bool]]()

    def predict(batch: MaskedBatch) -> torch.Tensor:
        """Scores by the position alone, so that some are right; counts what each is by hand."""
        logits_BMV = torch.zeros(*batch.labels_BM.shape, opened.vocabulary.size)
        for b, m in (batch.labels_BM != IGNORE_INDEX).nonzero().tolist():
            label = int(batch.labels_BM[b, m])
            guess = label if len(seen) % 3 == 0 else (label + 1) % opened.vocabulary.size
            logits_BMV[b, m, guess] = 2.0
            seen.append((float(-F.log_softmax(logits_BMV[b, m], 0)[label]), guess == label))
        return logits_BMV

    shares = list[float]()
    measured = measure(predict, recipe, opened, max_sequences=40, device=CPU, report=shares.append)
    assert measured.num_tokens == len(seen) and measured.num_sequences == 40
    assert measured.loss == pytest.approx(math.fsum(loss for loss, _ in seen) / len(seen), abs=1e-6)
    assert measured.accuracy == pytest.approx(sum(right for _, right in seen) / len(seen))
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_job_says_how_far_it_is_and_what_came_of_it(
    ended: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JobPaths(tmp_path)
    monkeypatch.setenv(REPORT_VARIABLE, str(tmp_path))
    assert command.main([str(ended.root), "--sequences", "20", "--json"]) == 0
    evaluation = Evaluation.model_validate_json(job.result.read_bytes())
    assert json.loads(capsys.readouterr().out) == evaluation.model_dump(mode="json")
    assert read_result_text(job) == evaluation.text
    share = read_progress_share(job)
    assert share is not None and 0 < share <= 1


def test_what_cannot_be_evaluated_is_refused_in_a_line(
    ended: RunPaths, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = newest_first(ended.exports)[0]
    for arguments, code, words in (
        ([str(tmp_path / "nothing")], CheckpointError.exit_code, "no such folder"),
        ([str(export)], ShardError.exit_code, "give --shards"),
        ([str(export), "--shards", str(dataset), "--step", "3"], CheckpointError.exit_code, "one step alone"),
        ([str(tmp_path), "--shards", str(dataset)], CheckpointError.exit_code, "cannot load it"),
        ([str(ended.root), "--step", "999"], CheckpointError.exit_code, "no checkpoint of step 999"),
        ([str(ended.root), "--shards", str(tmp_path)], ShardError.exit_code, "manifest.json"),
        ([str(ended.root), "--sequence-length", "64"], CheckpointError.exit_code, "whose recipe has the length"),
    ):
        assert command.main(arguments) == code, arguments
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error


def test_a_data_set_with_another_vocabulary_is_refused(ended: RunPaths, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "tokenizer", tmp_path / "vocab")
    path = tmp_path / "vocab" / "tokenizer.json"
    tree = json.loads(path.read_text())
    vocabulary = tree["model"]["vocab"]
    a, b = sorted(vocabulary, key=vocabulary.__getitem__)[-2:]
    vocabulary[a], vocabulary[b] = vocabulary[b], vocabulary[a]
    path.write_text(json.dumps(tree))
    for other in (tmp_path / "vocab").iterdir():
        if other != path:
            other.unlink()
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n\n".join(f"The model reads the budget of step {n}. " * 8 for n in range(200)))
    prepare([str(corpus)], out=tmp_path / "other", options=PrepareOptions(vocab=str(path)), processes=1)
    with pytest.raises(CheckpointError, match="another vocabulary"):
        evaluate_checkpoint(ended, step=None, shards=tmp_path / "other", max_sequences=10, device=CPU)
    with pytest.raises(CheckpointError, match="vocabulary"):
        evaluate_export(
            newest_first(ended.exports)[0],
            shards=tmp_path / "other",
            sequence_length=16,
            max_sequences=10,
            device=CPU,
        )
