"""Answers in contexts are learnt, scored as SQuAD's scripts do, kept for stock transformers, and predicted as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from bertd.errors import CheckpointError, CorpusError
from bertd.glue import __main__, predict
from bertd.glue.comparison.unit_sums import read_unit_sums
from bertd.glue.data.squad import read_squad
from bertd.glue.kinds.question_answering import read_question_answering
from bertd.glue.model.classifier import load_classifier
from bertd.glue.model.finetuned_model import load_finetuned
from bertd.glue.model.head import Head, HeadKind
from bertd.glue.training.dev_predictions import unpack_predictions
from bertd.records import SQUAD_LABEL, SQUAD_TEXT, AlertRecord, OwnTask, ScoreRecord
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import write_job
from tests.glue.kinds import official_squad
from tests.glue.squad_files import ask, write_paragraphs, write_squad
from tests.glue.stock_encoders import save_stock_encoder
from tests.glue.tiny_export import save_byte_level_export, save_tiny_export


class Killed(BaseException):
    """Stands for a signal."""


def _own(folder: Path, *, none_every: int | None = None, **fields: object) -> OwnTask:
    return OwnTask.model_validate(
        {
            "train": str(write_squad(folder / "train.json", size=200, none_every=none_every)),
            "dev": str(write_squad(folder / "dev.json", size=50, none_every=none_every)),
            "is_squad": True,
            "text": SQUAD_TEXT,
            "label": SQUAD_LABEL,
            **fields,
        }
    )


def _finetune(folder: Path, export: Path, own: OwnTask, **fields: object) -> JobPaths:
    paths = write_job(folder / "job", task="pets", data_dir=str(folder), source=str(export), own=own, **fields)
    assert __main__.main([str(paths.root)]) == 0
    return paths


def _score(paths: JobPaths) -> ScoreRecord:
    return next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))


def _golds(path: Path) -> dict[str, list[str]]:
    return {q.id: [answer.text for answer in q.answers] for q in read_squad(path, needs_answers=True).questions}


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "modernbert", "mpnet"])
def test_answers_are_learnt_and_the_kept_model_is_stock_transformers_own(tmp_path: Path, name: str) -> None:
    export = save_stock_encoder(tmp_path / "export", name=name)
    paths = _finetune(tmp_path, export, _own(tmp_path), keep="best", epochs=2)
    score, folder = _score(paths), paths.finetuned_model
    assert (score.metric, score.chosen_by, score.num_train, score.num_dev) == ("f1", "f1", 200, 50)
    # A part of the context at random, and no answer at all, are far below.
    assert score.score > 0.9 and score.majority_score == 0 and score.score == max(score.epoch_scores or [])
    assert set(score.metrics) == {"f1", "exact_match"}
    assert (score.max_length, score.stride, score.null_threshold) == (32, 16, None)
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    ours, description = load_finetuned(folder)
    assert description is not None and (ours.kind, description.null_threshold) == (HeadKind.SPANS, None)
    batch = AutoTokenizer.from_pretrained(folder)(["good?"] * 2, ["a cat sat", "b"], padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    stock, kept = model(**batch), ours.model.eval()(**batch)
    torch.testing.assert_close(stock.start_logits, kept.start_logits, rtol=0, atol=0)
    torch.testing.assert_close(stock.end_logits, kept.end_logits, rtol=0, atol=0)
    start, end = stock.start_logits[0].argmax(), stock.end_logits[0].argmax() + 1
    assert AutoTokenizer.from_pretrained(folder).decode(batch["input_ids"][0][start:end]) == "cat sat"


@pytest.mark.parametrize("family", ["megatron-bert", "roberta-prelayernorm", "byte-level"])
def test_our_own_exports_learn_answers(tmp_path: Path, family: str) -> None:
    folder = tmp_path / "export"
    is_bytes = family == "byte-level"
    export = save_byte_level_export(folder) if is_bytes else save_tiny_export(folder, family=family)
    # In bytes, "cat" begins as the word "c" does.
    assert _score(_finetune(tmp_path, export, _own(tmp_path), epochs=2)).score > (0.6 if is_bytes else 0.8)


def test_predictions_score_what_the_journal_says_by_the_official_script_of_2_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, own = save_tiny_export(tmp_path / "export"), _own(tmp_path, none_every=3)
    paths = _finetune(tmp_path, export, own, keep="best", epochs=2, lr=3e-3)
    score, model, dev, out = _score(paths), str(paths.finetuned_model), str(own.dev), tmp_path / "said.json"
    assert score.null_threshold is not None and "the threshold of no answer is chosen on it" in (score.dev or "")
    assert "null_threshold" not in score.metrics | (score.last_metrics or {})
    assert predict.main([model, dev, "--out", str(out)]) == 0
    said = json.loads(out.read_text())
    official = official_squad.evaluate_second(_golds(Path(dev)), said)
    names = {"f1": "f1", "exact_match": "exact", "has_answer_f1": "HasAns_f1", "has_answer_exact_match": "HasAns_exact"}
    names |= {"no_answer_f1": "NoAns_f1", "no_answer_exact_match": "NoAns_exact"}
    assert {names[name]: pytest.approx(100 * value) for name, value in score.metrics.items()} == official
    assert score.majority_score == pytest.approx(17 / 50) and score.score > 0.6
    kept = unpack_predictions(paths.dev_predictions.read_bytes(), place="here")["_questions"]
    assert kept.predicted.tolist() == [*said.values()]
    assert kept.true.tolist() == [(golds or [""])[0] for golds in _golds(Path(dev)).values()]
    for name in ("f1", "exact_match"):
        assert read_unit_sums(name, "_questions", kept, place="").score == pytest.approx(score.metrics[name])
    odds = json.loads((tmp_path / "said.null-odds.json").read_text())
    assert [text == "" for text in said.values()] == [value > score.null_threshold for value in odds.values()]
    # Of questions alone, and on the output; "" only by the threshold.
    new = write_paragraphs(tmp_path / "new.json", [{"context": "a cat sat", "qas": [{"id": 5, "question": "good?"}]}])
    capsys.readouterr()
    assert predict.main([model, str(new)]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["5"]
    for options, message in (
        (["--out", str(tmp_path / "x.csv")], "is a question answering; end the name in one of .json"),
        (["--text", "a"], "has no columns; leave it out"),
    ):
        assert predict.main([model, dev, *options]) == CorpusError.exit_code
        assert message in capsys.readouterr().err


def test_a_stock_model_answers_every_question_of_1_1_in_long_and_odd_contexts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = save_stock_encoder(tmp_path / "export", name="bert")
    own = _own(tmp_path)
    folder = _finetune(tmp_path, export, own, keep="best", epochs=2).finetuned_model
    (folder / "bertd_finetuning.json").unlink()
    long = " ".join(["a", "b", "c"] * 60)
    contexts = [
        f"{long} cat ran",
        f"cat ran {long}",
        f"{long} cat ran {long}",
        "\ufeffb\r\ncat ran\r\nb",
        "日本 cat ran é 🐈‍⬛",
        "cat ran b cat ran",
        "",
        " \u200b\r\n",
    ]
    path = write_paragraphs(tmp_path / "odd.json", [ask(context, id=str(n)) for n, context in enumerate(contexts)])
    assert predict.main([str(folder), str(path), "--out", str(tmp_path / "said.json")]) == 0
    assert list(json.loads((tmp_path / "said.json").read_text()).values()) == ["cat ran"] * 6 + [""] * 2
    assert not (tmp_path / "said.null-odds.json").exists()
    assert "note:" not in capsys.readouterr().err
    # Of a file of 2.0 no answer is one, where it is likelier than the best text: the model has no threshold.
    second = write_paragraphs(tmp_path / "second.json", [ask("cat ran b", id="5")], version="v2.0")
    assert predict.main([str(folder), str(second), "--out", str(tmp_path / "said.json")]) == 0
    (answer,), (odds,) = (
        json.loads((tmp_path / name).read_text()).values() for name in ("said.json", "said.null-odds.json")
    )
    assert answer == ("" if odds > 0 else "cat ran")
    assert "has no threshold of no answer: a question gets none where the log-odds of it are above 0" in (
        capsys.readouterr().err
    )


def test_wrong_offsets_are_counted_and_said(tmp_path: Path) -> None:
    paragraphs = [
        ask("a cat sat", ("cat", 2), id="right"),
        ask("a cat sat", ("cat", 3), id="moved"),
        ask("a cat sat", ("cat", 7), id="wrong"),
        ask("a cat sat", ("cat", 8), ("sat", 6), id="second"),
        ask("a cat sat", ("", 2), id="empty"),
        ask("a cat sat", id="none"),
    ]
    own = _own(tmp_path, train=str(write_paragraphs(tmp_path / "bad.json", paragraphs, version="v2.0")))
    kind = read_question_answering("pets", own)
    assert [question.id for question in kind.train] == ["right", "moved", "second", "none"]
    assert [kind.largest_stride(length) for length in (128, 384)] == [64, 128]
    assert kind.spans == [(2, 5), (2, 5), (6, 9), None] and kind.num_train == 4
    assert kind.warnings == [
        (
            "answers_left_out",
            f"{own.train}: 2 of 6 questions are left out: the context does not have their answers at answer_start "
            "('wrong', 'empty')",
        ),
        ("answers_moved", f"{own.train}: 1 answers begin in the word at answer_start but not there; corrected"),
        ("unanswerable", f"{own.train} has questions without an answer, and {own.dev} has none"),
    ]


@pytest.mark.parametrize(
    ("paragraph", "message"),
    [
        (ask("a cat sat", ("cat", 7)), r"no answer is at its answer_start, in characters from 0 \('q'\)"),
        (ask("a cat sat"), "no question has an answer; there is nothing to learn"),
    ],
)
def test_nothing_to_learn_is_an_error(tmp_path: Path, paragraph: dict[str, object], message: str) -> None:
    train = str(write_paragraphs(tmp_path / "bad.json", [paragraph]))
    with pytest.raises(CorpusError, match=message):
        read_question_answering("pets", _own(tmp_path, train=train))
    with pytest.raises(CorpusError, match="the contexts of 1 questions are too few to hold 10% out; give --dev"):
        read_question_answering("pets", _own(tmp_path, train=train, dev=None))


def test_without_a_development_set_whole_contexts_are_held_out(tmp_path: Path) -> None:
    paragraphs = [ask(f"cat {n % 50}", ("cat", 0), id=str(n)) for n in range(200)]
    own = _own(tmp_path, train=str(write_paragraphs(tmp_path / "all.json", paragraphs)), dev=None)
    kind = read_question_answering("pets", own)
    assert kind.num_train + kind.num_dev == 200 and kind.num_dev == 20
    assert not {q.context for q in kind.train} & {q.context for q in kind.dev}
    assert [code for code, _ in kind.warnings] == ["dev_held_out"] and "20 of 200 questions" in kind.dev_description
    same = read_question_answering("pets", own.model_copy(update={"dev": own.train}))
    assert same.warnings == [
        ("dev_overlap", f"{own.train}: 200 of 200 questions are in {own.train}, too; the score is too high")
    ]


def test_an_encoder_that_transformers_cannot_answer_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no question answering for model type 'esm'"):
        load_classifier(save_stock_encoder(tmp_path, name="esm"), Head(HeadKind.SPANS, ("start", "end")), max_length=32)


def test_a_job_that_was_killed_continues_with_the_numbers_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertd.glue.training import epoch_state

    monkeypatch.setattr(epoch_state, "SAVE_EVERY_S", 0.0)
    export, own = save_tiny_export(tmp_path / "export"), _own(tmp_path, none_every=3)
    whole = _score(_finetune(tmp_path, export, own, epochs=3, lr=1e-3))
    (tmp_path / "again").mkdir()
    paths = write_job(
        tmp_path / "again" / "job", task="pets", data_dir="/", source=str(export), own=own, epochs=3, lr=1e-3
    )
    save = epoch_state.EpochStore.save

    def save_and_die(*args: object) -> None:
        save(*args)  # type: ignore[arg-type]  # as given
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(epoch_state.EpochStore, "save", save_and_die)
        __main__.main([str(paths.root)])
    assert __main__.main([str(paths.root)]) == 0
    continued = _score(paths)
    assert continued.epoch_scores == whole.epoch_scores and continued.metrics == whole.metrics
    files = [JobPaths(folder / "job").dev_predictions for folder in (tmp_path, tmp_path / "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert continued.null_threshold == whole.null_threshold is not None
    assert not [r for r in read_journal(paths.journal) if isinstance(r, AlertRecord) and r.code == "epoch_not_restored"]
