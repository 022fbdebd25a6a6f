"""Tags of words are learnt, scored by their kind, kept for stock transformers, and predicted as CoNLL's columns."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from bertd.errors import CheckpointError, CorpusError
from bertd.glue import __main__, predict
from bertd.glue.comparison.unit_sums import read_unit_sums
from bertd.glue.kinds.token_classification import TokenClassification, read_token_classification
from bertd.glue.model.classifier import load_classifier
from bertd.glue.model.finetuned_model import load_finetuned
from bertd.glue.model.head import Head, HeadKind
from bertd.glue.training.dev_predictions import unpack_predictions
from bertd.records import LAST_COLUMN, AlertRecord, MetricName, OwnTask, ScoreRecord
from bertd.run.journal import read_journal
from bertd.run.paths import JobPaths
from tests.glue.glue_jobs import write_job
from tests.glue.stock_encoders import save_stock_encoder
from tests.glue.tiny_export import save_byte_level_export, save_tiny_export

_TAGS = {"good": "B-ADJ", "bad": "B-ADJ", "cat": "B-PET", "dog": "B-PET"}
_PLAIN = ["a", "b", "sat", "ran"]


class Killed(BaseException):
    """Stands for a signal."""


def _write(path: Path, *, size: int, tags: dict[str, str] | None = None, outside: str = "O") -> Path:
    draw = random.Random(size)
    lines = ["-DOCSTART- -X- O\n"]
    for _ in range(size):
        words = draw.choices([*_PLAIN, *_TAGS], k=draw.randint(2, 9))
        lines += [f"{word} X {(_TAGS if tags is None else tags).get(word, outside)}" for word in words] + [""]
    path.write_text("\n".join(lines))
    return path


def _own(folder: Path, **fields: object) -> OwnTask:
    return OwnTask.model_validate(
        {
            "train": str(_write(folder / "train.conll", size=200)),
            "dev": str(_write(folder / "dev.conll", size=50)),
            "text": ("1",),
            "label": LAST_COLUMN,
            **fields,
        }
    )


def _finetune(folder: Path, export: Path, own: OwnTask, **fields: object) -> JobPaths:
    paths = write_job(folder / "job", task="pets", data_dir=str(folder), source=str(export), own=own, **fields)
    assert __main__.main([str(paths.root)]) == 0
    return paths


def _score(paths: JobPaths) -> ScoreRecord:
    return next(record for record in read_journal(paths.journal) if isinstance(record, ScoreRecord))


@pytest.mark.parametrize(
    "name", ["bert", "bert-without-head", "roberta", "distilbert", "electra", "modernbert", "mpnet"]
)
def test_entities_are_learnt_and_the_kept_model_is_stock_transformers_own(tmp_path: Path, name: str) -> None:
    export = save_stock_encoder(tmp_path / "export", name=name)
    paths = _finetune(tmp_path, export, _own(tmp_path), keep="best", epochs=2)
    score, folder = _score(paths), paths.finetuned_model
    assert (score.metric, score.chosen_by, score.num_train, score.num_dev) == ("f1", "f1", 200, 50)
    assert score.score > 0.9 and score.score == max(score.epoch_scores or [])
    assert set(score.metrics) == {"f1", "precision", "recall", "accuracy"}
    # Every word O.
    assert score.majority_score == 0 and 0.3 < score.majority_metrics["accuracy"] < 0.7
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    assert model.config.id2label == {0: "B-ADJ", 1: "B-PET", 2: "O"}
    ours, description = load_finetuned(folder)
    assert description is not None and (description.text, ours.kind) == (("1",), HeadKind.TOKENS)
    batch = AutoTokenizer.from_pretrained(folder)(["a good cat", "bad"], padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    torch.testing.assert_close(model(**batch).logits, ours.model.eval()(**batch).logits, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["megatron-bert", "roberta-prelayernorm", "byte-level"])
def test_our_own_exports_learn_entities(tmp_path: Path, family: str) -> None:
    folder = tmp_path / "export"
    is_bytes = family == "byte-level"
    export = save_byte_level_export(folder) if is_bytes else save_tiny_export(folder, family=family)
    assert _score(_finetune(tmp_path, export, _own(tmp_path), epochs=4)).score > 0.8


def test_predictions_are_conll_s_columns_and_score_what_the_journal_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = save_tiny_export(tmp_path / "export")
    paths = _finetune(tmp_path, export, _own(tmp_path), keep="best", epochs=1, lr=3e-3)
    model, dev, out = str(paths.finetuned_model), tmp_path / "dev.conll", tmp_path / "said.conll"
    assert predict.main([model, str(dev), "--out", str(out)]) == 0
    wanted = [line.split(" ") for line in dev.read_text().split("\n")[2:]]
    found = [line.split("\t") for line in out.read_text().split("\n")[:-1]]
    assert [row[0] for row in found] == [row[0] for row in wanted]
    right = [a[1] == b[2] for a, b in zip(found, wanted, strict=True) if len(a) > 1]
    kept = unpack_predictions(paths.dev_predictions.read_bytes(), place="here")["_words"]
    names = ["B-ADJ", "B-PET", "O"]
    for name, value in _score(paths).metrics.items():
        assert read_unit_sums(name, "_words", kept, place="").score == pytest.approx(value)
    assert [names[tag] for tag in kept.predicted] == [row[1] for row in found if len(row) > 1]
    assert [names[tag] for tag in kept.true] == [row[2] for row in wanted if len(row) > 1]
    assert sum(right) / len(right) == pytest.approx(_score(paths).metrics["accuracy"])
    tag = pipeline("token-classification", model=model, device="cpu", ignore_labels=[])
    sentence = found[: found.index([""])]
    assert [answer["entity"] for answer in tag(" ".join(row[0] for row in sentence))] == [row[1] for row in sentence]
    # Words alone, one of which the tokenizer leaves nothing of, and a sentence longer than the model.
    words = ["cat", "\u200b\x02", '"'] + ["dog"] * 70
    (tmp_path / "new.txt").write_text("\n".join(words))
    capsys.readouterr()
    assert predict.main([model, str(tmp_path / "new.txt")]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert [line.split("\t")[0] for line in lines[:-2]] == words and lines[1].endswith("\tO") and lines[-2:] == ["", ""]
    assert predict.main([model, str(dev), "--out", str(tmp_path / "x.csv")]) == CorpusError.exit_code
    assert "is a token classification; end the name in one of .conll" in capsys.readouterr().err


def test_tags_that_mark_no_entities_are_scored_by_accuracy(tmp_path: Path) -> None:
    tags = {"cat": "NOUN", "dog": "NOUN", "sat": "VERB"}
    train, dev = (
        _write(tmp_path / f"{name}.iob", size=size, tags=tags, outside="I-") for name, size in [("t", 90), ("d", 30)]
    )
    own = _own(tmp_path, train=str(train), dev=str(dev))
    kind = read_token_classification("pos", own)
    assert (kind.headline, kind.guess, set(kind.baseline())) == ("accuracy", "I-", {"accuracy"})
    with pytest.raises(CorpusError, match="tag 'I-' marks no entity"):
        read_token_classification("pos", own.model_copy(update={"metric": MetricName.F1}))
    assert read_token_classification("ner", _own(tmp_path, metric="accuracy")).headline == "accuracy"


def test_bilou_is_scored_as_entities_and_an_unknown_scheme_is_said(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.conll" for name in ("train", "dev")]

    def read(*tags: str) -> TokenClassification:
        own = _own(tmp_path).model_copy(update={"train": str(paths[0]), "dev": str(paths[1])})
        for path in paths:
            path.write_text("".join(f"word{number} {tag}\n" for number, tag in enumerate(tags * 3)))
        return read_token_classification("ner", own)

    bilou = read("B-PER", "L-PER", "O", "U-LOC")
    assert (bilou.headline, bilou.guess) == ("f1", "O")
    unknown = read("B-PER", "X-PER", "O")
    assert unknown.headline == "accuracy"
    codes = dict(unknown.warnings)
    assert "tag 'X-PER' marks no entity as IOB, BIOES, BILOU or BMES do" in codes["tags_not_entities"]
    assert "tags_not_entities" not in dict(read("NOUN", "VERB").warnings)


def test_without_a_development_set_whole_sentences_are_held_out(tmp_path: Path) -> None:
    own = _own(tmp_path, dev=None)
    kind = read_token_classification("pets", own)
    assert kind.num_train + kind.num_dev == 200 and kind.num_dev == pytest.approx(20, abs=5)
    assert not {s.words for s in kind.train} & {s.words for s in kind.dev}
    assert read_token_classification("pets", own).dev == kind.dev
    assert [code for code, _ in kind.warnings] == ["dev_held_out"]
    assert f"{kind.num_dev} of 200 sentences" in kind.dev_description


def test_what_a_person_should_know_of_the_data_is_said(tmp_path: Path) -> None:
    (tmp_path / "dev.bio").write_text("cat B-OTHER\nsat O\n")
    kind = read_token_classification("pets", _own(tmp_path, dev=str(tmp_path / "dev.bio")))
    assert kind.warnings[-1] == (
        "label_unseen",
        f"{tmp_path / 'dev.bio'}: 1 tags are not in the training set, and are never predicted: 'B-OTHER'",
    )
    same = _own(tmp_path)
    warned = read_token_classification("pets", same.model_copy(update={"dev": same.train})).warnings
    assert [code for code, _ in warned] == ["dev_overlap"]


@pytest.mark.parametrize(
    ("content", "label", "message"),
    [
        ("a O\nb O\n", "2", "have one tag, 'O'"),
        ("".join(f"a t{number}\n" for number in range(30)), "2", "30 different tags for 30 words"),
        ("a O\nb B-X\n", "3", "no column '3'; it has 2"),
    ],
)
def test_a_column_that_has_no_tags_is_refused(tmp_path: Path, content: str, label: str, message: str) -> None:
    (tmp_path / "bad.conll").write_text(content)
    path = str(tmp_path / "bad.conll")
    with pytest.raises(CorpusError, match=message):
        read_token_classification("pets", _own(tmp_path, train=path, dev=path, label=label))


def test_an_encoder_that_transformers_cannot_tag_with_is_refused(tmp_path: Path) -> None:
    export = save_tiny_export(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "reformer"}')
    with pytest.raises(CheckpointError, match="no token classification for model type 'reformer'"):
        load_classifier(export, Head(HeadKind.TOKENS, ("O", "B-X")), max_length=32)


def test_a_job_that_was_killed_continues_with_the_numbers_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertd.glue.training import epoch_state

    monkeypatch.setattr(epoch_state, "SAVE_EVERY_S", 0.0)
    export, own = save_tiny_export(tmp_path / "export"), _own(tmp_path)
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
    assert not [r for r in read_journal(paths.journal) if isinstance(r, AlertRecord) and r.code == "epoch_not_restored"]
