"""Counts of neighbours equal those of a loop over the text."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from bertd.train.cooccurrence import neighbour_counts
from bertd.train.cooccurrence.neighbour_counts import NeighbourCounts

SPECIAL = (0, 1)


def sample(num_tokens: int, *, vocab_size: int = 12) -> list[int]:
    chooser = random.Random(3)
    return chooser.choices(range(vocab_size), weights=range(vocab_size, 0, -1), k=num_tokens)


@pytest.mark.parametrize("offsets", [(1,), (-1,), (-3, -2), (2, 3), (-1, 1)])
def test_counts_are_those_of_a_loop(offsets: tuple[int, ...]) -> None:
    ids = sample(500)
    counts = NeighbourCounts.of_sample(torch.tensor(ids), vocab_size=12, special=SPECIAL)
    expected = np.zeros((12, len(counts.contexts_C)))
    contexts = counts.contexts_C.tolist()
    for place, word in enumerate(ids):
        for offset in offsets:
            other = place + offset
            if 0 <= other < len(ids) and ids[other] in contexts:
                expected[word, contexts.index(ids[other])] += 1
    assert np.array_equal(counts.at(offsets).numpy(), expected)


def test_contexts_are_the_most_frequent_words_without_special_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_counts, "_MAX_CONTEXTS", 3)
    ids = sample(2000)
    counts = NeighbourCounts.of_sample(torch.tensor(ids), vocab_size=12, special=SPECIAL)
    by_frequency = sorted(set(ids) - {*SPECIAL}, key=ids.count, reverse=True)
    assert counts.contexts_C.tolist() == by_frequency[:3]
    assert counts.frequencies_V.tolist() == [ids.count(word) for word in range(12)]


def test_a_large_vocabulary_has_fewer_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_counts, "_MAX_CELLS", 12 * 4 + 1)
    counts = NeighbourCounts.of_sample(torch.tensor(sample(2000)), vocab_size=12, special=SPECIAL)
    assert counts.at((1,)).shape == (12, 4)


def test_a_sample_is_spread_over_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_counts, "_BLOCK_TOKENS", 10)
    tokens = np.arange(1000)
    chosen = neighbour_counts._spread_blocks(tokens, max_tokens=50)
    assert chosen.reshape(5, 10)[:, 0].tolist() == [0, 247, 495, 742, 990]
    assert np.array_equal(neighbour_counts._spread_blocks(tokens, max_tokens=1000), tokens)
