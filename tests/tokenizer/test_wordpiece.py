"""Tokenizers: ids equal those of the library, whatever way they are opened and however fast they are made."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertd.data.commands.vocab import main as vocab_main
from bertd.data.commands.vocab import train_vocabulary
from bertd.data.sources.sentences import split_sentences
from bertd.errors import CorpusError, VocabularyError
from bertd.tokenizer.cached_encoder import CachedEncoder
from bertd.tokenizer.kind import VocabularyKind, detect_kind
from bertd.tokenizer.tokenizer import open_tokenizer, vocabulary_from_tokenizer
from bertd.tokenizer.wordpiece import Casing, read_casing

_TRICKY = (
    "[SEP] [MASK] e\u0301tat na\u00efve\x0cone\x85two\u00a0three\u2028four\ufeff 中文字 \ufb01ne İstanbul Ωσς 👍🏽 "
    "a\u200db don't -- … \x1c\x00x"
)


def reference(where: Path, sentences: list[str]) -> list[list[int]]:
    tokenizer = open_tokenizer(str(where))
    tokenizer.encode_special_tokens = True
    return [list(encoding.ids) for encoding in tokenizer.encode_batch(sentences, add_special_tokens=False)]


def remembered(encoder: CachedEncoder, sentences: list[str]) -> list[list[int]]:
    encoded = encoder.encode(sentences)
    ids = encoded.tokens.tolist()
    split, end = [], 0
    for length in encoded.lengths.tolist():
        split.append(ids[end : end + length])
        end += length
    assert end == len(ids)
    return split


@given(sentences=st.lists(st.text(max_size=60), max_size=12))
@settings(max_examples=100)
def test_remembered_runs_give_the_ids_of_the_library(vocab: Path, sentences: list[str]) -> None:
    encoder = CachedEncoder(open_tokenizer(str(vocab)))
    sentences = [*sentences, _TRICKY]
    assert remembered(encoder, sentences) == reference(vocab, sentences)
    assert remembered(encoder, sentences) == reference(vocab, sentences)


def test_forgetting_changes_nothing(vocab: Path) -> None:
    encoder = CachedEncoder(open_tokenizer(str(vocab)), max_chunks=3)
    for sentences in (["the river walks under a stone", "never always"], ["green light"], ["the river"]):
        assert remembered(encoder, sentences) == reference(vocab, sentences)


def test_text_that_spells_a_special_token_is_text(vocab: Path) -> None:
    tokenizer = open_tokenizer(str(vocab))
    special = vocabulary_from_tokenizer(tokenizer, place="test").special
    unk = vocabulary_from_tokenizer(tokenizer, place="test").unk
    ids = CachedEncoder(tokenizer).encode(["[CLS] [SEP] [MASK] [PAD]"]).tokens.tolist()
    assert ids and not (special - {unk}) & set(ids)


@pytest.mark.parametrize(
    ("casing", "text", "normal"),
    [
        (Casing(lowercase=True, strip_accents=True), "Été", "ete"),
        (Casing(lowercase=True, strip_accents=False), "Été", "été"),
        (Casing(lowercase=False, strip_accents=False), "Été", "Été"),
        (Casing(lowercase=False, strip_accents=True), "Été", "Ete"),
    ],
)
def test_stock_transformers_loads_a_trained_vocabulary_with_its_casing(
    tmp_path: Path, casing: Casing, text: str, normal: str
) -> None:
    from transformers import AutoTokenizer

    source = tmp_path / "text.txt"
    source.write_text("Été été Ete ete Zebra zebra. " * 50)
    report = train_vocabulary([str(source)], out=tmp_path / "vocab", size=60, casing=casing)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "vocab")
    ours = open_tokenizer(str(tmp_path / "vocab"))
    assert read_casing(ours) == casing
    assert len(loaded) == report.entries
    sentence = f"{text} zebra, Zebra!"
    assert loaded(sentence)["input_ids"] == ours.encode(sentence).ids
    assert loaded.convert_tokens_to_string(loaded.tokenize(text)) == normal
    assert [loaded.pad_token, loaded.mask_token] == ["[PAD]", "[MASK]"]


@pytest.mark.parametrize(
    ("options", "casing"),
    [
        ([], Casing(lowercase=True, strip_accents=True)),
        (["--keep-accents"], Casing(lowercase=True, strip_accents=False)),
        (["--cased"], Casing(lowercase=False, strip_accents=False)),
        (["--cased", "--no-keep-accents"], Casing(lowercase=False, strip_accents=True)),
    ],
)
def test_case_and_accents_are_chosen_apart(
    corpus: Path, tmp_path: Path, options: list[str], casing: Casing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vocab_main([str(corpus / "00.txt"), "--out", str(tmp_path / "v"), "--size", "60", *options]) == 0
    assert read_casing(open_tokenizer(str(tmp_path / "v"))) == casing
    assert "entries from 1 document" in capsys.readouterr().out


def test_a_script_of_many_characters_has_them_in_its_vocabulary(tmp_path: Path) -> None:
    draw = random.Random(4)
    characters = [chr(0x4E00 + number) for number in range(3000)]
    lines = tmp_path / "lines.jsonl"
    texts = ["".join(draw.choices(characters, k=100)) + "。" for _ in range(1000)]
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) + "no object\n")
    casing = Casing(lowercase=False, strip_accents=False)
    report = train_vocabulary([str(lines)], out=tmp_path / "v", size=8000, casing=casing)
    assert report.entries > 3000 and report.unknown_share is not None and report.unknown_share < 0.001
    assert report.skipped == {"not a JSON object": 1}


def test_a_bare_vocab_txt_is_the_same_tokenizer(vocab: Path, tmp_path: Path) -> None:
    bare = tmp_path / "vocab.txt"
    bare.write_bytes((vocab / "vocab.txt").read_bytes().replace(b"\n", b"\r\n"))
    sentences = ["The river, said People.", _TRICKY]
    assert reference(bare, sentences) == reference(vocab, sentences)
    bare.write_bytes(b"\xef\xbb\xbf" + bare.read_bytes())
    assert reference(bare, sentences) == reference(vocab, sentences)
    bare.write_text((vocab / "vocab.txt").read_text(), encoding="utf-16")
    with pytest.raises(VocabularyError, match="cannot read the vocabulary: it is not UTF-8; save it as UTF-8"):
        open_tokenizer(str(bare))


def test_the_same_text_trains_the_same_vocabulary_in_another_process(corpus: Path, vocab: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bertd.data.commands.vocab",
        str(corpus),
        "--size",
        "120",
        "--out",
        str(tmp_path / "v"),
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["entries"] == open_tokenizer(str(vocab)).get_vocab_size()
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        assert (tmp_path / "v" / name).read_bytes() == (vocab / name).read_bytes()


def test_a_vocabulary_is_found_by_its_hub_name(vocab: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--some--encoder" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "vocab.txt").write_bytes((vocab / "vocab.txt").read_bytes())
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("c0ffee")
    code = (
        "from bertd.tokenizer.tokenizer import open_tokenizer; print(open_tokenizer('some/encoder').get_vocab_size())"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) == open_tokenizer(str(vocab)).get_vocab_size()
    other = code.replace("some/encoder", "some/other")
    failed = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, env=environment, check=False)
    assert (
        "some/other: no such folder or file, and cannot be fetched from the hub: HF_HUB_OFFLINE is set; give"
        in failed.stderr
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not a tokenizer"),
        ("[PAD]\n[CLS]\n[SEP]\n[MASK]\nword\n", r"lacks \[UNK\] or <unk>; use"),
        ("[PAD]\n[UNK]\nword\n", r"lacks \[CLS\] or <s>, \[SEP\] or </s>, \[MASK\] or <mask>"),
        ("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\nword\n", "'word' occurs twice"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text(content)
    with pytest.raises(VocabularyError, match=message):
        open_tokenizer(str(path))


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("normalizer", {"type": "Lowercase"}),
        ("normalizer", {"clean_text": False}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("added_tokens", [{"id": 5, "content": "two words", "special": False}]),
    ],
)
def test_wordpiece_that_cuts_otherwise_than_bert_is_told_from_it(vocab: Path, part: str, content: Any) -> None:
    tree = json.loads(open_tokenizer(str(vocab)).to_str())
    assert detect_kind(tree) is VocabularyKind.WORDPIECE
    tree[part] = tree[part] + content if isinstance(content, list) else tree[part] | content
    assert detect_kind(tree) is VocabularyKind.OTHER


def test_an_empty_corpus_trains_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    with pytest.raises(CorpusError, match="no text to train a vocabulary on"):
        casing = Casing(lowercase=True, strip_accents=True)
        train_vocabulary([str(tmp_path)], out=tmp_path / "vocab", size=100, casing=casing)
    assert not (tmp_path / "vocab").exists()


def test_sentences_end_at_full_stops_and_line_breaks_and_not_at_titles() -> None:
    text = "Dr. Smith went to Washington. He left\nA heading\n\nIt cost $3.50. See Fig. 3 for more."
    assert [sentence.strip() for sentence in split_sentences(text, language="en")] == [
        "Dr. Smith went to Washington.",
        "He left",
        "A heading",
        "It cost $3.50.",
        "See Fig. 3 for more.",
    ]


@pytest.mark.realdata
def test_ids_equal_the_published_ones_of_bert_base_uncased(real_data: Path) -> None:
    folder = real_data / "reference" / "wordpiece_vectors" / "prepro_std" / "bert_base_uncased_lower"
    glue = real_data / "glue"

    def fields(path: Path, columns: tuple[int, ...], *, skip: int) -> list[tuple[str, ...]]:
        lines = path.read_text(encoding="utf-8-sig").split("\n")[skip : skip + 6]
        return [tuple(line.split("\t")[column] for column in columns) for line in lines]

    texts: dict[str, list[tuple[str, ...]]] = {
        "cola_train": fields(glue / "CoLA" / "train.tsv", (3,), skip=0),
        # The 10,000 rows here do not include those of the vectors.
        "mnli_train": [
            (
                "Conceptually cream skimming has two basic dimensions - product and geography.",
                "Product and geography are what make cream skimming work.",
            )
        ],
        "stsb_train": fields(glue / "STS-B" / "train.tsv", (7, 8), skip=1),
    }
    for where in ("bert-base-uncased-tokenizer.json", "bert-base-uncased-vocab.txt"):
        encoder = CachedEncoder(open_tokenizer(str(real_data / "vocab" / where)))
        for name, rows in texts.items():
            published = [json.loads(line) for line in (folder / f"{name}.json").read_text().splitlines()]
            for vector, row in zip(published, rows, strict=False):
                ids = [101]
                for text in row:
                    ids += [*encoder.encode([text]).tokens.tolist(), 102]
                assert ids == vector["token_id"], (name, row)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["bert-base-uncased-tokenizer.json", "bert-base-cased-vocab.txt"])
def test_remembered_runs_give_the_ids_of_the_library_on_real_text(real_data: Path, name: str) -> None:
    where = real_data / "vocab" / name
    encoder = CachedEncoder(open_tokenizer(str(where)))
    wiki = (real_data / "wikiextractor" / "AA" / "wiki_07").read_text().splitlines()
    novel = (real_data / "novels" / "Gaskell_Ruth_1855.txt").read_text().splitlines()
    sentences = [*wiki[:4000], *novel[:4000]]
    assert remembered(encoder, sentences) == reference(where, sentences)


@pytest.mark.realdata
def test_the_case_of_a_bare_vocabulary_is_told_by_its_capitals(real_data: Path) -> None:
    cased = open_tokenizer(str(real_data / "vocab" / "bert-base-cased-vocab.txt"))
    uncased = open_tokenizer(str(real_data / "vocab" / "bert-base-uncased-vocab.txt"))
    assert read_casing(cased) == Casing(lowercase=False, strip_accents=False)
    assert read_casing(uncased) == Casing(lowercase=True, strip_accents=True)
