"""A kept model is what stock transformers loads, and `bertd predict` labels a table with it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from bertd.errors import CheckpointError, CorpusError, StorageError
from bertd.glue import __main__, predict
from bertd.glue.model.finetuned_model import load_finetuned
from bertd.records import AlertRecord, MetricName, OwnTask, ScoreRecord
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import draw_sentence, write_job, write_stsb
from tests.glue.stock_encoders import save_stock_encoder
from tests.glue.tiny_export import save_tiny_export

_LABELS = ("terrible", "great")


def _write_reviews(path: Path, *, size: int, has_labels: bool = True) -> Path:
    import random

    draw = random.Random(size)
    rows = []
    for index in range(size):
        record = {"text": draw_sentence(draw, label=index % 2), **({"y": _LABELS[index % 2]} if has_labels else {})}
        rows.append(json.dumps(record))
    path.write_text("\n".join(rows))
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> JobPaths:
    """A finetuning of reviews that kept its model; its export is gone."""
    folder = tmp_path_factory.mktemp("kept")
    export = save_tiny_export(folder / "export")
    own = OwnTask(
        train=str(_write_reviews(folder / "train.jsonl", size=240)),
        dev=str(_write_reviews(folder / "dev.jsonl", size=60)),
        text=("text",),
        label="y",
        metric=MetricName.F1,
    )
    paths = write_job(
        folder / "job", task="reviews", data_dir=str(folder), source=str(export), own=own, keep="best", epochs=4
    )
    assert __main__.main([str(paths.root)]) == 0
    shutil.rmtree(export)
    return paths


def _score(paths: JobPaths) -> ScoreRecord:
    return next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))


def test_stock_transformers_loads_the_kept_model_with_equal_logits_and_its_labels(kept: JobPaths) -> None:
    folder = kept.finetuned_model
    assert (_score(kept).kept, _score(kept).metric) == (str(folder), "f1")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert model.config.id2label == {0: "great", 1: "terrible"}
    assert model.config.label2id == {"great": 0, "terrible": 1}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ours, description = load_finetuned(folder)
    assert description is not None and (description.text, description.task) == (("text",), "reviews")
    batch = tokenizer(["a good cat", "bad"], padding=True, return_tensors="pt")
    torch.testing.assert_close(model(**batch).logits, ours.model.eval()(**batch).logits, rtol=0, atol=0)
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    assert [answer["label"] for answer in classify(["a good cat", "a bad dog"])] == ["great", "terrible"]


def test_the_kept_model_scores_what_the_journal_says(kept: JobPaths, tmp_path: Path) -> None:
    out = tmp_path / "said.jsonl"
    dev = kept.root.parent / "dev.jsonl"
    assert predict.main([str(kept.finetuned_model), str(dev), "--out", str(out)]) == 0
    said = [json.loads(line) for line in out.read_text().splitlines()]
    true = [json.loads(line)["y"] for line in dev.read_text().splitlines()]
    accuracy = float(np.mean([row["label"] == label for row, label in zip(said, true, strict=True)]))
    assert accuracy == pytest.approx(_score(kept).metrics["accuracy"]) and accuracy > 0.9
    assert all(0.5 <= row["probability"] <= 1 for row in said)


def test_predictions_need_no_label_column_and_are_a_table_on_the_output(
    kept: JobPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "new.csv"
    table.write_text('title,body\r\n1,"a good, good\ncat"\r\n2,a bad dog\r\n')
    assert predict.main([str(kept.finetuned_model), str(table), "--text", "body"]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert header == ["label", "probability"]
    assert [label for label, _ in rows] == ["great", "terrible"]
    assert predict.main([str(kept.finetuned_model), str(table)]) == CorpusError.exit_code
    assert "no column 'text'; it has 'title', 'body'" in capsys.readouterr().err


def test_the_output_is_as_the_umask_says_and_of_a_known_kind(
    kept: JobPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "said.csv"
    table = _write_reviews(tmp_path / "new.jsonl", size=4, has_labels=False)
    before = os.umask(0o027)
    try:
        assert predict.main([str(kept.finetuned_model), str(table), "--out", str(out)]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert len(out.read_text().splitlines()) == 5
    for wrong in (["--out", "said.xls"], ["--text", "a,b,c"], ["--text", "a,"]):
        assert predict.main([str(kept.finetuned_model), str(table), *wrong]) == 2
        assert wrong[0] in capsys.readouterr().err


def test_a_kept_model_is_readable_as_the_umask_says_and_nothing_else_is_left(kept: JobPaths) -> None:
    umask = os.umask(0)
    os.umask(umask)
    entries = list(kept.finetuned_model.iterdir())
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in entries} == {0o666 & ~umask}
    assert {"config.json", "model.safetensors", "tokenizer.json", "bertd_finetuning.json"} <= {e.name for e in entries}
    assert not [entry for entry in kept.root.iterdir() if entry.name.startswith(".")]


def test_a_number_is_predicted_and_stock_transformers_knows_it_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = write_stsb(tmp_path / "data")
    export = save_stock_encoder(tmp_path / "export", name="modernbert")
    paths = write_job(
        tmp_path / "job", task="sts-b", data_dir=str(data_dir), source=str(export), keep="best", epochs=1, lr=1e-3
    )
    assert __main__.main([str(paths.root)]) == 0
    model = AutoModelForSequenceClassification.from_pretrained(paths.finetuned_model)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")
    capsys.readouterr()
    assert predict.main([str(paths.finetuned_model), str(data_dir / "STS-B" / "dev.tsv")]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "score" and len(rows) == 60 and all(float(row) < 10 for row in rows)


def test_a_folder_without_a_finetuned_classifier_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = save_tiny_export(tmp_path / "export")
    table = _write_reviews(tmp_path / "new.jsonl", size=4)
    assert predict.main([str(export), str(table), "--text", "text"]) == CheckpointError.exit_code
    assert "no finetuned classifier in it" in capsys.readouterr().err


def test_a_stock_classifier_needs_the_columns_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = save_tiny_export(tmp_path / "export")
    stock = tmp_path / "stock"
    AutoModelForSequenceClassification.from_pretrained(export).save_pretrained(stock)
    AutoTokenizer.from_pretrained(export).save_pretrained(stock)
    table = _write_reviews(tmp_path / "new.jsonl", size=4)
    assert predict.main([str(stock), str(table)]) == CorpusError.exit_code
    assert "name those of" in capsys.readouterr().err
    assert predict.main([str(stock), str(table), "--text", "text"]) == 0


def test_a_disk_that_refuses_the_model_leaves_the_score_and_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = save_tiny_export(tmp_path / "export")
    own = OwnTask(train=str(_write_reviews(tmp_path / "train.jsonl", size=64)), text=("text",), label="y")
    paths = write_job(
        tmp_path / "job", task="r", data_dir=str(tmp_path), source=str(export), own=own, keep="best", epochs=1
    )

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", refuse)
    assert __main__.main([str(paths.root)]) == StorageError.exit_code
    records = read_journal(paths.journal)
    alerts = [record for record in records if isinstance(record, AlertRecord)]
    assert [alert.code for alert in alerts] == ["dev_held_out", "StorageError"]
    assert _score(paths).kept is None
    assert "held out with seed 42" in (_score(paths).dev or "")
    assert not [entry for entry in paths.root.iterdir() if "model" in entry.name]
