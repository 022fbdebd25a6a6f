"""Token frequencies in the training text: a baseline that guesses without context."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bertd.data.dataset.mixture import DataMixture
from bertd.data.dataset.shards import DataSet

_MAX_COUNTED_TOKENS = 20_000_000
"""Tokens of the stream to count: enough for the frequency of every word that matters, and read in under a second."""


def token_shares(mixture: DataMixture) -> NDArray[np.float64]:
    """Share of each vocabulary entry in the training split, positive and summing to 1: shape (entries,).

    An entry that was not seen counts once, and so do special tokens, which are never predicted. A mixture's are the
    weighted mean of its data sets'.
    """
    shares_V: NDArray[np.float64] = np.average(
        [_token_shares(dataset) for dataset in mixture.sets], axis=0, weights=mixture.weights
    )
    return shares_V


def _token_shares(dataset: DataSet) -> NDArray[np.float64]:
    tokens = dataset.split("train").tokens[:_MAX_COUNTED_TOKENS]
    counts_V = np.bincount(tokens, minlength=dataset.vocabulary.size).astype(np.float64).clip(min=1)
    counts_V[list(dataset.vocabulary.special)] = 1
    shares_V: NDArray[np.float64] = counts_V / counts_V.sum()
    return shares_V
