"""Training a vocabulary: which documents are held out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from bertd.data.commands import vocab
from bertd.data.prepare.tokenize_part import text_hash
from bertd.errors import OutputExistsError


def held_out_text() -> str:
    """The first of some texts whose hash holds it out."""
    texts = (f"the night train of day {day} came late again" for day in itertools.count())
    return next(text for text in texts if text_hash(text) % vocab._HELD_OUT_EVERY == 0)


def train(tmp_path: Path, texts: list[str], *options: str) -> int:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return vocab.main([str(corpus), "--out", str(tmp_path / "vocab"), "--size", "60", *options])


def test_a_corpus_whose_only_document_would_be_held_out_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, [held_out_text()], "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["documents"], report["held_out_words"], report["tokens_per_word"]) == (1, 0, None)
    assert report["entries"] > 20
    assert train(tmp_path, [held_out_text()], "--replace") == 0
    assert "the corpus is too small to hold text out" in capsys.readouterr().out


def test_a_document_is_held_out_where_others_are_left_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = held_out_text()
    assert train(tmp_path, [text, "the night train of a day without a number"], "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["documents"], report["held_out_words"]) == (2, len(text.split()))


def test_a_vocabulary_is_replaced_only_when_asked_and_nothing_else_ever_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, ["the night train came late"]) == 0
    before = (tmp_path / "vocab" / "tokenizer.json").read_bytes()
    assert train(tmp_path, ["quiet rivers run under bright stones"]) == OutputExistsError.exit_code
    assert "vocab: exists; give another --out, or --replace to make it again" in capsys.readouterr().err
    assert (tmp_path / "vocab" / "tokenizer.json").read_bytes() == before
    (tmp_path / "vocab" / "added_tokens.json").write_text("{}")
    assert train(tmp_path, ["quiet rivers run under bright stones"], "--replace") == 0
    assert (tmp_path / "vocab" / "tokenizer.json").read_bytes() != before
    assert not (tmp_path / "vocab" / "added_tokens.json").exists()
    assert {entry.name for entry in tmp_path.iterdir()} == {"vocab", "corpus.jsonl"}


@pytest.mark.parametrize("content", ["model.safetensors", "notes.txt", "deep/tokenizer.json"])
def test_a_folder_that_is_not_a_vocabularys_is_refused_before_the_training(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocab, "find_sources", lambda _: pytest.fail("read the sources first"))
    (tmp_path / "vocab" / content).parent.mkdir(parents=True)
    for name in ("tokenizer.json", content):
        (tmp_path / "vocab" / name).write_text("mine")
    for options in ([], ["--replace"]):
        assert train(tmp_path, ["the night train"], *options) == OutputExistsError.exit_code
        assert "vocab: exists and is not a vocabulary; give another --out" in capsys.readouterr().err
    assert (tmp_path / "vocab" / content).read_text() == "mine"


def test_an_empty_folder_becomes_a_vocabularys_and_a_file_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vocab").mkdir()
    assert train(tmp_path, ["the night train came late"]) == 0
    assert (tmp_path / "vocab" / "tokenizer.json").is_file()
    assert vocab.main([str(tmp_path / "corpus.jsonl"), "--out", str(tmp_path / "corpus.jsonl"), "--replace"]) == 73
    assert "exists and is not a folder" in capsys.readouterr().err


def test_the_characters_that_are_not_trained_on_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["  the night train came late again", "half \ud800 a pair", "", "the night train came early"]
    assert train(tmp_path, texts, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["characters"]["read"] == sum(map(len, texts))
    assert report["characters"]["left_out"] == {"not valid UTF-8": 1, "spaces and line breaks": 2}
    assert report["characters"]["kept"] == sum(map(len, texts)) - 3
    assert report["skipped"] == {"no text": 1}
    assert train(tmp_path, texts, "--replace") == 0
    assert "characters read, " in capsys.readouterr().out
