"""Training a vocabulary: which documents are held out."""

from __future__ import annotations

import itertools
import json
import random
import unicodedata
from pathlib import Path

import pytest

from bertd.data.commands import vocab
from bertd.data.commands.prepare import main as prepare_main
from bertd.data.commands.vocab import main
from bertd.data.dataset.text_quality import read_quality
from bertd.data.prepare.parts.tokenize_part import text_hash
from bertd.errors import OutputExistsError
from bertd.tokenizer.tokenizer import open_tokenizer


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


def made_up_chinese(*, characters: int, length: int) -> str:
    """Text in which a few of very many characters are frequent, as in Chinese."""
    draw = random.Random(3)
    alphabet = [chr(0x4E00 + number) for number in range(characters)]
    weights = [1 / (rank + 1) for rank in range(characters)]
    chosen = draw.choices(alphabet, weights, k=length)
    return "".join(character + ("。\n" if number % 20 == 19 else "") for number, character in enumerate(chosen))


def test_free_entries_go_to_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zh.txt").write_text(made_up_chinese(characters=3000, length=60_000))
    assert main([str(tmp_path / "zh.txt"), "--out", str(tmp_path / "v"), "--size", "2000"]) == 0
    entries = (tmp_path / "v" / "vocab.txt").read_text().splitlines()
    # Half of them at first, then all that no piece of several characters took.
    assert len(entries) == 2000 and sum("\u4e00" <= entry <= "\u9fff" for entry in entries) > 1900
    assert "fewer than" not in capsys.readouterr().out


def test_text_without_spaces_between_words_is_measured_by_the_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = made_up_chinese(characters=300, length=20_000).splitlines()
    held_out = [line for line in lines if text_hash(line) % vocab._HELD_OUT_EVERY == 0]
    (tmp_path / "zh.txt").write_text("\n".join(lines))
    command = [f"lines:{tmp_path / 'zh.txt'}", "--out", str(tmp_path / "v"), "--size", "1000", "--replace"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    num_characters = sum(map(len, held_out))
    assert num_characters and report["held_out_characters"] == num_characters
    tokenizer = open_tokenizer(str(tmp_path / "v"))
    num_tokens = sum(len(tokenizer.encode(line, add_special_tokens=False)) for line in held_out)
    assert report["tokens_per_word"] is None
    assert report["tokens_per_character"] == pytest.approx(num_tokens / num_characters)
    assert main(command) == 0
    assert f"  on {num_characters:,} held-out characters: 1.000 tokens a character, 0.0" in capsys.readouterr().out


def test_a_vocabulary_that_is_smaller_than_asked_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("A lamp burns.")
    assert main([str(tmp_path / "a.txt"), "--out", str(tmp_path / "v"), "--size", "8192"]) == 0
    assert "  fewer than the 8,192 asked for: no two pieces that are left stand" in capsys.readouterr().out


HINDI = "मैं घर में हूँ और यह किताब है। वे नहीं जानते कि वह कहाँ रहती है।\n"


@pytest.mark.parametrize("options", [[], ["--keep-accents"]])
def test_marks_that_the_normalizer_deletes_are_reported_with_the_remedy(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hi.txt").write_text(HINDI * 40)
    assert main([str(tmp_path / "hi.txt"), "--out", str(tmp_path / "v"), "--size", "300", *options]) == 0
    told = capsys.readouterr().out
    arguments = ["--vocab", str(tmp_path / "v"), "--out", str(tmp_path / "set"), "--processes", "1"]
    assert prepare_main([str(tmp_path / "hi.txt"), *arguments]) == 0
    prepared = capsys.readouterr().out
    quality = read_quality(tmp_path / "set")
    assert quality is not None
    (source,) = quality.sources
    assert ("bertd data vocab --keep-accents" in told) == ("accents: the normalizer" in prepared) == (not options)
    # Independent: what stays of each word when BERT's normalizer has seen it.
    normalized = open_tokenizer(str(tmp_path / "v")).normalizer.normalize_str(HINDI)
    marks = [sum(unicodedata.category(one).startswith("M") for one in text) for text in (HINDI, normalized)]
    assert source.deleted_marks == 40 * (marks[0] - marks[1])
    assert ("में" in normalized) == bool(options)


def test_a_report_of_an_older_bertd_is_read(tmp_path: Path) -> None:
    counts = dict.fromkeys(("characters", "letters", "ascii_letters", "words", "tokens"), 1)
    source = counts | {"unknown": 0, "document_tokens": None, "sentence_tokens": None}
    (tmp_path / "quality.json").write_text(json.dumps({"sources": [source]}))
    quality = read_quality(tmp_path)
    assert quality is not None and quality.sources[0].deleted_marks is None and not quality.sources[0].remarks()
