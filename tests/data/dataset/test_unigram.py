"""Token frequencies in the training text."""

from __future__ import annotations

import numpy as np
import pytest

from bertd.data.dataset.mixture import DataMixture
from bertd.data.dataset.shards import DataSet
from bertd.data.dataset.unigram import token_shares


def test_shares_follow_the_stream_and_leave_nothing_impossible(dataset: DataSet) -> None:
    tokens = np.asarray(dataset.split("train").tokens)
    special = set(dataset.vocabulary.special)
    ids = [each for each in np.unique(tokens).tolist() if each not in special]
    most, second = sorted(ids, key=lambda each: int((tokens == each).sum()), reverse=True)[:2]

    shares_V = token_shares(DataMixture.open({str(dataset.root): 1}))

    assert shares_V.shape == (dataset.vocabulary.size,)
    assert shares_V.sum() == pytest.approx(1.0) and shares_V.min() > 0
    assert shares_V[most] / shares_V[second] == pytest.approx((tokens == most).sum() / (tokens == second).sum())
    # Every window of the stream has special tokens, and none is ever to be guessed.
    assert all(shares_V[each] == shares_V.min() for each in special)
