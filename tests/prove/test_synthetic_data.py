"""Shards made on the spot are what bertd's own readers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from bertd.data.batches.rows import open_sequences
from bertd.data.dataset.shards import DataSet
from bertd.prove.synthetic_data import ensure_dataset, made_up_words


def test_the_folder_verifies_and_both_packings_read_it(tmp_path: Path) -> None:
    folder = ensure_dataset(tmp_path / "data", vocab_size=512, train_tokens=20_000, validation_tokens=2_000)
    dataset = DataSet.open(folder, verify=True)
    assert dataset.vocabulary.size == 512 and len(dataset.vocabulary.word_ids()) == 507
    for packing in ("full", "sentences"):
        rows = open_sequences(dataset, split="train", sequence_length=32, packing=packing).rows(np.arange(50))
        assert rows.shape == (50, 32) and (rows[:, 0] == dataset.vocabulary.cls).all() and rows.max() < 512
    tokens = dataset.split("train").tokens[:]
    counts = np.bincount(tokens, minlength=512)[5:]
    # Zipf: of 507 words the first has 1 / H(507) = 14.7 %.
    assert 0.12 < counts[0] / counts.sum() < 0.18


def test_it_is_the_same_every_time_and_made_once(tmp_path: Path) -> None:
    sizes = {"vocab_size": 64, "train_tokens": 2_000, "validation_tokens": 400}
    first, second = (ensure_dataset(tmp_path / name, **sizes) for name in ("a", "b"))
    assert DataSet.open(first).fingerprint == DataSet.open(second).fingerprint
    written = (first / "manifest.json").stat().st_mtime_ns
    assert ensure_dataset(first, **sizes) == first and (first / "manifest.json").stat().st_mtime_ns == written


def test_each_made_up_word_is_one_piece(tmp_path: Path) -> None:
    folder = ensure_dataset(tmp_path / "data", vocab_size=512, train_tokens=400, validation_tokens=400)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    words = made_up_words(512)
    assert len(set(words)) == 507
    assert tokenizer(" ".join(words[:100]), add_special_tokens=False)["input_ids"] == list(range(5, 105))
