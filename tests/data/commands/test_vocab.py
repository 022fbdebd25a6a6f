"""Training a vocabulary: which documents are held out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from bertd.data.commands import vocab
from bertd.data.prepare.tokenize_part import text_hash


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
    assert train(tmp_path, [held_out_text()]) == 0
    assert "the corpus is too small to hold text out" in capsys.readouterr().out


def test_a_document_is_held_out_where_others_are_left_to_train_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = held_out_text()
    assert train(tmp_path, [text, "the night train of a day without a number"], "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["documents"], report["held_out_words"]) == (2, len(text.split()))
