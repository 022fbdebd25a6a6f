"""The finetuning job end to end, on an encoder that trains in seconds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertd.errors import CheckpointError, CorpusError, DeviceMemoryError, NumericsError, RunFolderError
from bertd.glue import __main__
from bertd.glue.data.examples import Example
from bertd.glue.model.classifier import load_classifier
from bertd.glue.tasks import TASKS
from bertd.glue.training.batches import pad, training_batches
from bertd.glue.training.encoding import encode
from bertd.records import AlertRecord, EndRecord, JournalRecord, ScoreRecord, StepRecord
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import write_cola, write_job, write_stsb
from tests.glue.tiny_export import WORDS, save_byte_level_export, save_tiny_export
from tests.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_export(tmp_path_factory.mktemp("export"))


def _one_alert(paths: JobPaths) -> AlertRecord:
    records = read_journal(paths.journal)
    assert [record.kind for record in records] == ["alert"]
    assert isinstance(records[0], AlertRecord)
    return records[0]


def _kinds(records: list[JournalRecord]) -> list[str]:
    return [record.kind for record in records]


def test_a_learnable_task_is_learnt_and_scored_beside_the_majority(tmp_path: Path, export: Path) -> None:
    data_dir = write_cola(tmp_path / "data")
    paths = write_job(tmp_path / "job", data_dir=str(data_dir), source=str(export))
    assert __main__.main([str(paths.root)]) == 0
    *steps, score, end = read_journal(paths.journal)
    assert steps and all(isinstance(step, StepRecord) for step in steps)
    last = steps[-1]
    assert isinstance(last, StepRecord)
    assert (last.step, last.sequences, last.progress) == (45, 720, 1.0)
    assert 0 < last.lr < 1e-2 / 45
    assert isinstance(score, ScoreRecord)
    assert (score.metric, score.num_train, score.num_dev, score.source) == ("matthews", 240, 60, "1-demo/000000010")
    assert score.score == score.metrics["matthews"] > 0.9
    assert score.precision == "fp32"
    assert score.majority_score == score.majority_metrics["matthews"] == 0.0
    assert score.majority_metrics["accuracy"] == pytest.approx(40 / 60)
    assert isinstance(end, EndRecord)
    assert (end.reason, end.step) == ("finished", 45)


def test_pairs_with_a_number_to_predict_are_learnt_too(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export", family="megatron-bert")
    data_dir = write_stsb(tmp_path / "data")
    paths = write_job(tmp_path / "job", task="sts-b", data_dir=str(data_dir), source=str(export), epochs=6)
    assert __main__.main([str(paths.root)]) == 0
    score = next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))
    assert set(score.metrics) == {"spearman", "pearson"}
    assert score.metrics["pearson"] > 0.8
    assert score.majority_metrics == {"spearman": 0.0, "pearson": 0.0}


def test_pairs_of_a_byte_level_vocabulary_are_learnt_and_padded(tmp_path: Path) -> None:
    export = save_byte_level_export(tmp_path / "export")
    classifier = load_classifier(export, TASKS["sts-b"].head, max_length=512)
    # The first two rows of RoBERTa's position table are unused.
    assert classifier.max_length == 32 and classifier.tokenizer.pad_token_id == 1
    encoded = encode([Example("a cat", "a dog sat", 1.0), Example("a", "b", 0.0)], classifier)
    tokens = classifier.tokenizer.convert_ids_to_tokens(encoded[0].input_ids)
    assert "".join(tokens) == "<s>a\u0120cat</s></s>a\u0120dog\u0120sat</s>" and tokens[0] == "<s>"
    long, short = pad(encoded, pad_id=classifier.tokenizer.pad_token_id).inputs["input_ids"].tolist()
    assert short == [*encoded[1].input_ids, *[1] * (len(long) - len(encoded[1].input_ids))] != encoded[1].input_ids

    paths = write_job(
        tmp_path / "job", task="sts-b", data_dir=str(write_stsb(tmp_path / "data")), source=str(export), epochs=6
    )
    assert __main__.main([str(paths.root)]) == 0
    score = next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))
    assert score.metrics["pearson"] > 0.8


def test_the_same_seed_gives_the_same_score_and_losses(tmp_path: Path, export: Path) -> None:
    data_dir = write_cola(tmp_path / "data", num_train=64)
    scores: list[tuple[dict[str, float], float]] = []
    for name in ("one", "two"):
        paths = write_job(tmp_path / name, data_dir=str(data_dir), source=str(export), epochs=1)
        assert __main__.main([str(paths.root)]) == 0
        records = read_journal(paths.journal)
        score = next(record for record in records if isinstance(record, ScoreRecord))
        step = [record for record in records if isinstance(record, StepRecord)][-1]
        scores.append((score.metrics, step.grad_norm))
    assert scores[0] == scores[1]


def test_bad_data_ends_with_its_exit_status_and_one_alert(tmp_path: Path, export: Path) -> None:
    data_dir = write_cola(tmp_path / "data")
    dev = data_dir / "CoLA" / "dev.tsv"
    dev.write_text("")
    paths = write_job(tmp_path / "job", data_dir=str(data_dir), source=str(export))
    assert __main__.main([str(paths.root)]) == CorpusError.exit_code
    alert = _one_alert(paths)
    assert (alert.level, alert.code) == ("error", "CorpusError")
    assert str(dev) in alert.message


def test_an_export_without_an_encoder_weight_is_refused(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    weights = load_file(export / "model.safetensors")
    del weights["bert.encoder.layer.0.attention.self.query.weight"]
    save_file(weights, export / "model.safetensors", metadata={"format": "pt"})
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export))
    assert __main__.main([str(paths.root)]) == CheckpointError.exit_code
    assert "1 weights of the encoder are missing" in _one_alert(paths).message


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    config = export / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 0'))
    with pytest.raises(CheckpointError, match="not of this architecture, such as bert.encoder.layer.0"):
        load_classifier(export, TASKS["cola"].head, max_length=32)


@pytest.mark.parametrize("damage", ["absent", "torn", "no_tokenizer"])
def test_a_damaged_export_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    export = save_tiny_export(tmp_path / "export")
    if damage == "absent":
        export = tmp_path / "nothing"
    elif damage == "torn":
        weights = export / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        (export / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=str(export)):
        load_classifier(export, TASKS["cola"].head, max_length=32)


def test_a_loss_that_is_not_finite_ends_the_job(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export")
    weights = load_file(export / "model.safetensors")
    weights["bert.embeddings.LayerNorm.weight"][:] = float("nan")
    save_file(weights, export / "model.safetensors", metadata={"format": "pt"})
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export))
    assert __main__.main([str(paths.root)]) == NumericsError.exit_code
    assert "update 1 of 45: loss nan" in _one_alert(paths).message


@pytest.mark.parametrize("fields", [{"epochs": 0}, {"lr": 0.0}, {"warmup": 1.0}, {"batch_size": -1}])
def test_a_setting_out_of_range_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: object) -> None:
    assert isinstance(fields, dict)
    paths = write_job(tmp_path / "job", data_dir="/nowhere", source="/nowhere", **fields)
    assert __main__.main([str(paths.root)]) == RunFolderError.exit_code
    assert f"{next(iter(fields))} = " in capsys.readouterr().err


def test_roberta_positions_start_after_the_padding_id(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path / "export", family="roberta-prelayernorm", positions=33)
    classifier = load_classifier(export, TASKS["cola"].head, max_length=512)
    assert classifier.max_length == 32
    (long,) = encode([Example("good " * 100, None, 1.0)], classifier)
    ids_BS = torch.tensor([long.input_ids])
    assert ids_BS.shape == (1, 32)
    classifier.model(input_ids=ids_BS, attention_mask=torch.ones_like(ids_BS))


def test_an_epoch_has_every_example_once_with_little_padding(export: Path) -> None:
    classifier = load_classifier(export, TASKS["cola"].head, max_length=32)
    draw = random.Random(3)
    examples = [Example(" ".join(draw.choices(WORDS, k=1 + index % 25)), None, float(index)) for index in range(333)]
    encoded = encode(examples, classifier)
    batches = list(training_batches(encoded, batch_size=16, pad_id=0, generator=torch.Generator().manual_seed(5)))
    assert sorted(value for batch in batches for value in batch.targets.tolist()) == list(range(333))
    real = sum(int(batch.inputs["attention_mask"].sum()) for batch in batches)
    assert real == sum(len(example.input_ids) for example in encoded)
    assert sum(batch.num_positions for batch in batches) < 1.15 * real


def test_sigterm_ends_a_finetuning_at_once(tmp_path: Path, export: Path) -> None:
    data_dir = write_cola(tmp_path / "data", num_train=2000)
    paths = write_job(tmp_path / "job", data_dir=str(data_dir), source=str(export), epochs=10_000)
    child = subprocess.Popen(
        [sys.executable, "-m", "bertd.glue", str(paths.root)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert child.stdout is not None
        # Training begins after this line.
        assert child.stdout.readline().startswith("cola: 2000 training and 60 development examples")
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_S) == -signal.SIGTERM
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


def test_memory_that_runs_out_is_one_line_with_its_remedy(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hungry(*_: object, **__: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr("bertd.glue.job.train", hungry)
    paths = write_job(tmp_path / "job", data_dir=str(write_cola(tmp_path / "data")), source=str(export))

    assert __main__.main([str(paths.root)]) == DeviceMemoryError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cola: the machine's memory is too small: ")
    assert "; lower one of batch_size = 16, max_length = 32" in line
    assert _one_alert(paths).message == line
