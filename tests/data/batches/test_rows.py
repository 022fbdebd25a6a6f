"""Rows out of the stream, in both packings."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.data.arrays import IndexArray
from bertd.data.batches.packing import MIN_TARGET_TOKENS, SHORT_SHARE, SentenceSpans, pack_sentences
from bertd.data.batches.rows import open_sequences
from bertd.data.dataset.shards import DataSet
from bertd.errors import ShardError


def test_full_packing_is_the_stream_cut_into_windows(dataset: DataSet) -> None:
    facts = dataset.manifest.tokenizer
    stream = dataset.split("train").tokens[:]
    sequences = open_sequences(dataset, split="train", sequence_length=32, packing="full")
    assert sequences.num_sequences == len(stream) // 30
    rows = sequences.rows(np.arange(sequences.num_sequences))
    assert rows.dtype == np.int64 and rows.shape == (sequences.num_sequences, 32)
    assert (rows[:, 0] == facts.cls).all() and (rows[:, -1] == facts.sep).all()
    assert rows[:, 1:-1].flatten().tolist() == stream[: sequences.num_sequences * 30].tolist()


def test_rows_come_in_the_order_asked_for_with_repeats(dataset: DataSet) -> None:
    sequences = open_sequences(dataset, split="train", sequence_length=16, packing="full")
    everything = sequences.rows(np.arange(sequences.num_sequences))
    indices = np.array([5, 0, 5, sequences.num_sequences - 1])
    assert sequences.rows(indices).tolist() == everything[indices].tolist()


@pytest.mark.parametrize("sequence_length", [8, 32, 128])
def test_sentence_packing_loses_no_token_and_crosses_no_document(dataset: DataSet, sequence_length: int) -> None:
    facts = dataset.manifest.tokenizer
    split = dataset.split("train")
    sequences = open_sequences(dataset, split="train", sequence_length=sequence_length, packing="sentences")
    rows = sequences.rows(np.arange(sequences.num_sequences))
    texts = []
    for row in rows.tolist():
        end = row.index(facts.sep)
        assert row[0] == facts.cls and all(token == facts.pad for token in row[end + 1 :])
        texts.append(row[1:end])
    joined = [token for text in texts for token in text]
    assert joined == [token for token in split.tokens[:].tolist() if token != facts.sep]


def whole_documents(sentence_lengths: list[list[int]]) -> tuple[IndexArray, IndexArray]:
    """Offsets of documents and sentences in a stream where a [SEP] closes each document."""
    documents, sentences, end = [], [], 0
    for lengths in sentence_lengths:
        documents.append(end)
        for length in lengths:
            sentences.append(end)
            end += length
        end += 1
    return np.array([*documents, end]), np.array([*sentences, end])


corpora = st.lists(st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=60), min_size=1, max_size=80)


def pack(corpus: list[list[int]], *, width: int) -> SentenceSpans:
    documents, sentences = whole_documents(corpus)
    return pack_sentences(documents=documents, sentences=sentences, width=width)


@given(corpus=corpora, width=st.integers(min_value=2, max_value=70))
def test_rows_cover_every_document_without_gap_or_overlap(corpus: list[list[int]], width: int) -> None:
    documents, sentences = whole_documents(corpus)
    spans = pack_sentences(documents=documents, sentences=sentences, width=width)
    ends = spans.starts + spans.lengths
    assert (spans.lengths >= 1).all() and (spans.lengths <= width).all()
    covered = [token for start, end in zip(spans.starts, ends, strict=True) for token in range(start, end)]
    seps = set((documents[1:] - 1).tolist())
    assert covered == [token for token in range(documents[-1]) if token not in seps]


@given(corpus=corpora, width=st.integers(min_value=40, max_value=70))
def test_sentences_that_fit_a_row_stay_whole(corpus: list[list[int]], width: int) -> None:
    _, sentences = whole_documents(corpus)
    spans = pack(corpus, width=width)
    assert set(spans.starts.tolist()) <= set(sentences.tolist())


@pytest.mark.parametrize("seed", range(5))
def test_many_documents_are_packed_as_each_would_be_alone(seed: int) -> None:
    draw = np.random.default_rng(seed)
    corpus = [draw.integers(1, 41, size=draw.integers(1, 60)).tolist() for _ in range(120)]
    documents, sentences = whole_documents(corpus)
    together = pack_sentences(documents=documents, sentences=sentences, width=30)
    alone = []
    for first, last in zip(documents[:-1], documents[1:], strict=True):
        mine = sentences[(sentences >= first) & (sentences <= last)]
        one = pack_sentences(documents=np.array([first, last]), sentences=mine, width=30)
        alone += list(zip(one.starts.tolist(), one.lengths.tolist(), strict=True))
    assert list(zip(together.starts.tolist(), together.lengths.tolist(), strict=True)) == alone


def test_a_tenth_of_the_rows_aims_at_a_shorter_length() -> None:
    # Sentences of one token fill every row to its target length.
    spans = pack([[1] * 400_000], width=126)
    lengths = spans.lengths[:-1]
    short = lengths[lengths < 126]
    expected = SHORT_SHARE * (1 - 1 / (126 - MIN_TARGET_TOKENS + 1))
    assert abs(len(short) / len(lengths) - expected) < 5 * (expected / len(lengths)) ** 0.5
    assert short.min() >= MIN_TARGET_TOKENS and abs(short.mean() - (MIN_TARGET_TOKENS + 125) / 2) < 10


def test_a_split_too_small_for_one_sequence_is_refused(dataset: DataSet) -> None:
    with pytest.raises(ShardError, match="train split has .* tokens, not enough for one sequence of 9000000; set data"):
        open_sequences(dataset, split="train", sequence_length=9_000_000, packing="full")


@pytest.fixture
def copied(dataset: DataSet, tmp_path: Path) -> DataSet:
    return DataSet.open(Path(shutil.copytree(dataset.root, tmp_path / "copy")))


def test_a_file_cut_short_under_a_reader_is_an_error_that_names_it(copied: DataSet) -> None:
    sequences = open_sequences(copied, split="train", sequence_length=32, packing="full")
    tokens = copied.root / "train.tokens"
    os.truncate(tokens, 100)
    with pytest.raises(ShardError, match=f"{tokens}: changed while it was in use"):
        sequences.rows(np.arange(4))


def test_a_file_written_to_under_a_reader_is_an_error_that_names_it(copied: DataSet) -> None:
    sequences = open_sequences(copied, split="train", sequence_length=32, packing="full")
    tokens = copied.root / "train.tokens"
    content = tokens.read_bytes()
    tokens.write_bytes(b"\1" + content[1:])
    os.utime(tokens, ns=(0, 0))
    with pytest.raises(ShardError, match=f"{tokens}: changed while it was in use"):
        sequences.rows(np.arange(4))


def test_a_file_cut_between_the_check_and_the_read_is_an_error(
    copied: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = copied.split("train").tokens
    monkeypatch.setattr(tokens, "check", lambda: None)
    os.truncate(copied.root / "train.tokens", 100)
    with pytest.raises(ShardError, match="ends at number 50; it was cut short"):
        tokens.read(np.array([40]), np.array([30]), width=30)


@pytest.mark.parametrize("name", ["train.tokens", "train.documents", "train.sentences"])
def test_no_file_of_a_split_kills_the_process_when_it_is_cut_short(copied: DataSet, name: str) -> None:
    split = copied.split("train")
    files = {"train.tokens": split.tokens, "train.documents": split.documents, "train.sentences": split.sentences}
    path = copied.root / name
    assert files[name][1:4].tolist() == np.fromfile(path, dtype="<u2" if "tokens" in name else "<i8")[1:4].tolist()
    os.truncate(path, 0)
    for place in (slice(None), 2):
        with pytest.raises(ShardError, match=f"{path}: changed while it was in use"):
            files[name][place]
