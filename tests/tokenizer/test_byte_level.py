"""Byte-level vocabularies: ids equal the library's, and data sets work as with WordPiece."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bertd.data.batches.masking import IGNORE_INDEX, Masker
from bertd.data.dataset.shards import DataSet
from bertd.data.dataset.text_quality import read_quality
from bertd.data.prepare.parts import task_planner
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources.encodings import has_controls
from bertd.data.sources.readers.document import clean
from bertd.data.sources.sentences import split_spaced_sentences
from bertd.errors import VocabularyError
from bertd.tokenizer.cached_encoder import CachedEncoder
from bertd.tokenizer.kind import VocabularyKind, detect_kind
from bertd.tokenizer.tokenizer import open_tokenizer, vocabulary_from_tokenizer
from bertd.tokenizer.vocabulary import Vocabulary
from tests.data.conftest import made_up_text
from tests.tokenizers_as_published import ODD_TEXTS, modern_like, roberta_like

KINDS = {
    "roberta": roberta_like(),
    "roberta that begins with a space": roberta_like(adds_space=True),
    "modern": modern_like(),
}
_NO_WORD = re.compile(r"[<\[|]\S*\w|madeup|^ ")
"""Special, added and filler entries of the vocabularies of KINDS."""
_ODD_WORDS = st.sampled_from([word for text in ODD_TEXTS for word in re.split("( +)", text)])


@pytest.fixture(params=["roberta", "modern"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with the tokenizer of a kind."""
    (tmp_path / "source").mkdir()
    KINDS[request.param].save(str(tmp_path / "source" / "tokenizer.json"))
    return tmp_path / "source"


def fresh(kind: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(KINDS[kind].to_str())
    tokenizer.encode_special_tokens = True
    return tokenizer


def reference(tokenizer: Tokenizer, text: str) -> list[int]:
    """The library's ids of a text whose whitespace is single spaces; one at its beginning is kept."""
    single = " ".join(text.split())
    begin = " " if single and text[0].isspace() else ""
    return list(tokenizer.encode(begin + single, add_special_tokens=False).ids)


def test_words_and_special_tokens_are_told_from_what_fills_a_vocabulary_up() -> None:
    roberta, modern = (vocabulary_from_tokenizer(KINDS[name], place=name) for name in ("roberta", "modern"))
    assert roberta.kind is modern.kind is VocabularyKind.BYTE_LEVEL
    assert [roberta.cls, roberta.pad, roberta.sep, roberta.unk] == [0, 1, 2, 3] and roberta.mask_token == "<mask>"
    assert modern.size == KINDS["modern"].get_vocab_size() > 600 and modern.mask_token == "[MASK]"
    assert [modern.entries[number] for number in (modern.pad, modern.cls)] == ["[PAD]", "[CLS]"]
    for vocabulary in (roberta, modern):
        left_out = set(range(vocabulary.size)) - set(vocabulary.word_ids().tolist())
        no_words = {entry for entry in vocabulary.entries if _NO_WORD.search(entry)}
        assert {vocabulary.entries[number] for number in left_out} == no_words and len(no_words) >= 7
        goes_on = {vocabulary.entries[number] for number in np.flatnonzero(vocabulary.continuation_flags())}
        assert {"!", "e", "s"} <= goes_on and not {"Ġ", "Ġthe", vocabulary.mask_token} & goes_on


@pytest.mark.parametrize("kind", KINDS)
@given(sentences=st.lists(st.one_of(st.text(max_size=40), st.lists(_ODD_WORDS, max_size=9).map("".join)), max_size=9))
@settings(max_examples=25)
def test_remembered_runs_give_the_ids_of_the_library(kind: str, sentences: list[str]) -> None:
    encoder = CachedEncoder(fresh(kind), max_chunks=50)
    sentences = [*sentences, *ODD_TEXTS, *(f" {text}" for text in ODD_TEXTS)]
    for _ in range(2):
        encoded = encoder.encode(sentences)
        expected = [reference(fresh(kind), sentence) for sentence in sentences]
        assert encoded.lengths.tolist() == [len(ids) for ids in expected]
        assert encoded.tokens.tolist() == [number for ids in expected for number in ids]


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_spells_a_special_token_is_text(kind: str) -> None:
    special = vocabulary_from_tokenizer(KINDS[kind], place=kind).special
    ids = CachedEncoder(fresh(kind)).encode(["<s>x<mask> </s>", " [CLS] a [MASK]", "<unk>[PAD]"]).tokens.tolist()
    assert len(ids) > 20 and not special & set(ids)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (" \n\tOne. Two\nThree.  Four.", ["One. ", " Two", " Three.  ", " Four."]),
        ("Yes!No. 好。再。\r\nEnd", ["Yes!", "No. ", " 好。", "再。\r", " End"]),
    ],
)
def test_a_sentence_begins_with_the_space_that_parts_it_from_the_one_before(text: str, sentences: list[str]) -> None:
    assert [one for one in split_spaced_sentences(text, language="en") if one.strip()] == sentences


def documents_of(dataset: DataSet) -> list[list[int]]:
    """Ids of the documents of both splits, without the separator."""
    documents = []
    for name in ("train", "validation"):
        arrays = dataset.split("train" if name == "train" else "validation")
        bounds = zip(arrays.documents[:-1], arrays.documents[1:], strict=True)
        documents += [arrays.tokens[first : last - 1].tolist() for first, last in bounds]
    return documents


def write_lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def test_the_stream_of_a_document_is_what_the_library_makes_of_it(source: Path, tmp_path: Path) -> None:
    texts = [made_up_text(number, sentences=12) for number in range(9)]
    texts += [*ODD_TEXTS, "\n".join(ODD_TEXTS)]
    texts += ["  \n\n The first. The second!\tThe third\r\n\r\n你好。再见！Yes!No.\x0bEnd. "]
    lines = write_lines(tmp_path / "lines.jsonl", texts)
    manifest = prepare(
        [str(lines)], out=tmp_path / "set", options=PrepareOptions(vocab=str(source), validation_share=0.0), processes=1
    )
    tokenizer = open_tokenizer(str(source))
    tokenizer.encode_special_tokens = True
    # Of the odd texts, those with control characters among a few words are no text, and are left out.
    texts = [text for text in texts if not has_controls(clean(text).encode())]
    expected = [reference(tokenizer, clean(text)) for text in texts]
    assert sorted(documents_of(DataSet.open(tmp_path / "set", verify=True))) == sorted(expected)
    facts = manifest.tokenizer
    assert (facts.lowercase, facts.strip_accents, manifest.vocab_size) == (False, False, tokenizer.get_vocab_size())
    quality = read_quality(tmp_path / "set")
    assert quality is not None
    assert quality.sources[0].words == sum(len(clean(text).split()) for text in texts)
    assert quality.sources[0].unknown == 0


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_data_set_is_the_same_bytes_each_time_and_for_any_number_of_processes(
    source: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        sys.executable,
        "-m",
        "bertd.data.commands.prepare",
        str(corpus),
        "--vocab",
        str(source),
        "--validation",
        "0.1",
    ]
    out = ["--out", str(tmp_path / "1"), "--processes", "1"]
    done = subprocess.run([*command, *out], capture_output=True, text=True, check=True)
    assert "entries, fingerprint" in done.stdout
    monkeypatch.setattr(task_planner, "PART_BYTES", 4000)
    monkeypatch.setattr(task_planner, "BLOCK_BYTES", 1000)
    options = PrepareOptions(vocab=str(source), validation_share=0.1)
    prepare([str(corpus)], out=tmp_path / "2", options=options, processes=2)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    # What was written is taken again, and is written as it was.
    again = PrepareOptions(vocab=str(tmp_path / "1" / "tokenizer"), validation_share=0.1)
    prepare([str(corpus)], out=tmp_path / "again", options=again, processes=1)
    assert contents(tmp_path / "1") == contents(tmp_path / "again")


@pytest.mark.parametrize("model_type", [None, "roberta-prelayernorm", "modernbert", "bert", "megatron-bert"])
def test_stock_transformers_loads_the_tokenizer_of_a_data_set(
    source: Path, tmp_path: Path, model_type: str | None
) -> None:
    from transformers import AutoTokenizer

    lines = write_lines(tmp_path / "lines.jsonl", ["a river", "a stone"])
    prepare([str(lines)], out=tmp_path / "set", options=PrepareOptions(vocab=str(source)), processes=1)
    dataset = DataSet.open(tmp_path / "set")
    assert sorted(path.name for path in dataset.tokenizer_dir.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    config = json.loads((dataset.tokenizer_dir / "tokenizer_config.json").read_bytes())
    assert config["model_input_names"] == ["input_ids", "attention_mask"]
    written = json.loads((dataset.tokenizer_dir / "tokenizer.json").read_bytes())
    assert written == json.loads((source / "tokenizer.json").read_bytes())
    assert list(written["model"]["vocab"].values()) == sorted(written["model"]["vocab"].values())
    if model_type is not None:
        # An export has its configuration beside them.
        (dataset.tokenizer_dir / "config.json").write_text(json.dumps({"model_type": model_type}))
    loaded = AutoTokenizer.from_pretrained(dataset.tokenizer_dir)
    ours = Tokenizer.from_file(str(source / "tokenizer.json"))
    assert loaded.get_vocab() == ours.get_vocab() and len(loaded) == dataset.manifest.vocab_size
    for text in (*ODD_TEXTS, "Fill <mask> and [MASK]."):
        assert loaded(text)["input_ids"] == ours.encode(text).ids
        assert loaded(text, "A pair, <mask>.")["input_ids"] == ours.encode(text, "A pair, <mask>.").ids
    assert list(loaded("x")) == ["input_ids", "attention_mask"]
    roles = {role: getattr(loaded, f"{role}_token_id") for role in ("pad", "unk", "cls", "sep", "mask")}
    assert roles == dataset.vocabulary.special_by_role


def masked(vocabulary: Vocabulary, ids_BS: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The predicted positions (B, S), and the ids there."""
    masker = Masker(seed=7, rate=0.15, max_predictions=19, vocabulary=vocabulary, sequence_length=128, **options)
    batch = masker(ids_BS, torch.arange(len(ids_BS)))
    is_used_BM = batch.labels_BM != IGNORE_INDEX
    predicted_BS = torch.zeros_like(ids_BS, dtype=torch.bool)
    rows_B1 = torch.arange(len(ids_BS))[:, None]
    predicted_BS[rows_B1.expand_as(is_used_BM)[is_used_BM], batch.positions_BM[is_used_BM]] = True
    return predicted_BS, batch.inputs_BS.gather(1, batch.positions_BM)[is_used_BM]


@pytest.mark.parametrize("kind", ["roberta", "modern"])
def test_whole_words_are_masked_whole_and_nothing_special_is_drawn_for_them(kind: str) -> None:
    vocabulary = vocabulary_from_tokenizer(KINDS[kind], place=kind)
    encoder = CachedEncoder(fresh(kind))
    rows, words = [], []
    for number in range(300):
        text = made_up_text(number, sentences=14).replace("river", "Überriver-stone")
        chunks = text.split()
        chunks[1:] = [f" {chunk}" for chunk in chunks[1:]]
        pieces = [encoder.encode([chunk]).tokens.tolist() for chunk in chunks]
        rows.append([vocabulary.cls, *[token for piece in pieces for token in piece][:126], vocabulary.sep])
        words.append([-1, *[place for place, piece in enumerate(pieces) for _ in piece][:126], -1])
    ids_BS, words_BS = torch.tensor(rows), torch.tensor(words)
    predicted_BS, drawn = masked(vocabulary, ids_BS, replace=(0.0, 1.0, 0.0), unit="word")
    in_one_word_BS = (words_BS[:, 1:] == words_BS[:, :-1]) & (words_BS[:, 1:] >= 0)
    assert int(in_one_word_BS.sum()) > 10_000
    assert torch.equal(predicted_BS[:, 1:][in_one_word_BS], predicted_BS[:, :-1][in_one_word_BS])
    # The first word has no space before it, and is predicted like any other.
    assert 0.05 < float(predicted_BS[:, 1].float().mean()) < 0.25
    drawn_entries = {vocabulary.entries[number] for number in drawn.tolist()}
    assert len(drawn) > 3000 and len(drawn_entries) > 500 and not any(map(_NO_WORD.search, drawn_entries))


def changed(**parts: Any) -> Callable[[dict[str, Any]], None]:
    """Sets keys of the tree, such as model={"dropout": 0.1}."""

    def change(tree: dict[str, Any]) -> None:
        for name, value in parts.items():
            tree[name] = (tree[name] or {}) | value if isinstance(value, dict) else value

    return change


def adds(**token: Any) -> Callable[[dict[str, Any]], None]:
    """Adds a token that is not special."""

    def change(tree: dict[str, Any]) -> None:
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
        number = 1 + max(tree["model"]["vocab"].values())
        tree["added_tokens"].append({"id": number, **plain, **token})

    return change


def drops_mask(tree: dict[str, Any]) -> None:
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] != "<mask>"]
    del tree["model"]["vocab"]["<mask>"]


def unmarks_mask(tree: dict[str, Any]) -> None:
    next(token for token in tree["added_tokens"] if token["content"] == "<mask>")["special"] = False


_FEW = {"vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 5}, "merges": []}


@pytest.mark.parametrize(
    "change",
    [
        changed(model=_FEW | {"continuing_subword_prefix": "@@"}),
        changed(model={"end_of_word_suffix": "</w>"}),
        changed(model={"byte_fallback": True}),
        changed(pre_tokenizer={"use_regex": False}),
        changed(pre_tokenizer=None),
        changed(pre_tokenizer={"type": "Whitespace"}),
        changed(normalizer={"type": "NFKC"}),
        adds(content="two words"),
        adds(content=" "),
        adds(content="right", rstrip=True),
    ],
)
def test_a_tokenizer_that_may_look_across_spaces_is_told_from_the_others(
    change: Callable[[dict[str, Any]], None],
) -> None:
    tree = json.loads(KINDS["roberta"].to_str())
    assert detect_kind(tree) is VocabularyKind.BYTE_LEVEL
    change(tree)
    assert detect_kind(tree) is VocabularyKind.OTHER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(model={"dropout": 0.1}), r"encodes at random \(dropout 0.1\); set it to null"),
        (unmarks_mask, r"adds '<mask>' without marking it as special, .*; set special to true"),
        (drops_mask, r"lacks \[MASK\] or <mask>; use the vocabulary of a BERT-like model"),
        (changed(model=_FEW), r"its \d+ ids are not 0 to \d+; fix the vocabulary"),
        (changed(model={"type": "Unigram"}), "cannot|can load"),
    ],
)
def test_a_vocabulary_that_is_damaged_or_gives_no_certain_ids_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    tree = json.loads(KINDS["roberta"].to_str())
    change(tree)
    (tmp_path / "tokenizer.json").write_text(json.dumps(tree))
    with pytest.raises(VocabularyError, match=message):
        open_tokenizer(str(tmp_path))


@pytest.mark.parametrize("adds_space", [False, True])
def test_a_folder_of_entries_and_merges_is_robertas_tokenizer(tmp_path: Path, adds_space: bool) -> None:
    from transformers import AddedToken, RobertaTokenizer

    roberta_like().model.save(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": adds_space}))
    assert sorted(path.name for path in tmp_path.glob("[mv]*")) == ["merges.txt", "vocab.json"]
    ours = open_tokenizer(str(tmp_path))
    merges = [tuple(line.split(" ")) for line in (tmp_path / "merges.txt").read_text().splitlines()[1:]]
    stock = RobertaTokenizer(
        vocab=json.loads((tmp_path / "vocab.json").read_text()),
        merges=merges,
        add_prefix_space=adds_space,
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )
    assert ours.get_vocab() == stock.get_vocab()
    for text in ODD_TEXTS:
        assert ours.encode(text).ids == stock(text)["input_ids"]
        assert ours.encode(text, "A pair <mask>").ids == stock(text, "A pair <mask>")["input_ids"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("merges.txt", "#version: 0.2\nx y z\n", "vocab.json and merges.txt do not make a tokenizer"),
        ("vocab.json", '{"a": 0}', "vocab.json and merges.txt do not make a tokenizer"),
        ("merges.txt", None, "neither tokenizer.json nor vocab.txt nor vocab.json with merges.txt is in it"),
    ],
)
def test_entries_without_their_merges_are_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    roberta_like().model.save(str(tmp_path))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(VocabularyError, match=message):
        open_tokenizer(str(tmp_path))


@pytest.mark.realdata
@pytest.mark.parametrize("kind", KINDS)
def test_remembered_runs_give_the_ids_of_the_library_on_real_text(real_data: Path, kind: str) -> None:
    wiki = (real_data / "wikiextractor" / "AA" / "wiki_07").read_text().splitlines()
    novel = (real_data / "novels" / "Gaskell_Ruth_1855.txt").read_text().splitlines()
    sentences = [*wiki[:4000], *(f" {line}" for line in novel[:4000])]
    tokenizer = fresh(kind)
    expected = [reference(tokenizer, sentence) for sentence in sentences]
    encoded = CachedEncoder(fresh(kind)).encode(sentences)
    assert encoded.lengths.tolist() == [len(ids) for ids in expected]
    assert encoded.tokens.tolist() == [number for ids in expected for number in ids]
