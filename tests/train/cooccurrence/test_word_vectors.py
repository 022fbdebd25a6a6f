"""Mutual information by hand, and factors as a full decomposition gives them."""

from __future__ import annotations

import math

import pytest
import torch

from bertd.train.cooccurrence.word_vectors import factorise, mutual_information

COUNTS = torch.tensor([[8, 0], [1, 3], [0, 0]])


def test_mutual_information_of_counts_by_hand() -> None:
    table = mutual_information(COUNTS)
    # Of 12 pairs 9 and 3 have the contexts.
    expected = torch.tensor([[math.log(8 / (8 * 9 / 12)), 0.0], [0.0, math.log(3 / (4 * 3 / 12))], [0.0, 0.0]])
    assert torch.allclose(table, expected)


def test_a_prior_draws_values_towards_zero_and_those_of_rare_pairs_more() -> None:
    plain, drawn = mutual_information(COUNTS), mutual_information(COUNTS, prior=1.0)
    assert drawn[1, 1].item() == pytest.approx(math.log((3 + 1) / (4 * 3 / 12 + 1)))
    assert drawn[0, 0] < plain[0, 0] and drawn[1, 1] < plain[1, 1]
    thousandfold = mutual_information(1000 * COUNTS, prior=1.0)
    assert torch.allclose(thousandfold, plain, atol=1e-3)


def test_contexts_that_never_stand_there_give_no_nan() -> None:
    counts = torch.tensor([[2, 0], [1, 0]])
    for prior in (0.0, 1.0):
        assert torch.isfinite(mutual_information(counts, prior=prior)).all()


def test_a_factor_has_the_largest_directions_of_the_table() -> None:
    generator = torch.Generator().manual_seed(1)
    # Singular values that fall fast, as those of real tables.
    left, _ = torch.linalg.qr(torch.randn(60, 30, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(30, 30, generator=generator))
    values = 0.5 ** torch.arange(30)
    table = left * values @ right.mT
    vectors = factorise(table, width=5, generator=generator)
    expected = left[:, :5] * values[:5].sqrt()
    # Each direction's sign is free.
    assert torch.allclose(vectors @ vectors.mT, expected @ expected.mT, atol=1e-3)


def test_a_table_of_few_words_has_vectors_of_the_width_asked_for() -> None:
    generator = torch.Generator().manual_seed(1)
    table = torch.rand(9, 4, generator=generator)
    table[3] = 0
    vectors = factorise(table, width=7, generator=generator)
    assert vectors.shape == (9, 7) and torch.isfinite(vectors).all()
    assert vectors[3].abs().max() < 1e-6 < vectors[4].norm()
