"""How often each frequent word stands at an offset from each word, in a sample of the training text.

Shapes: V vocabulary entries, C context words, the most frequent ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertd.data.arrays import IndexArray
from bertd.data.dataset.array_file import ArrayFile
from bertd.data.dataset.mixture import DataMixture

_MAX_TOKENS = 6_000_000
"""Of the sample: twice as many lowered the first loss of the small model in docs/quality.md by hundredths only."""
_BLOCK_TOKENS = 1 << 16
"""The sample is made of such pieces, spread evenly over each data set."""
_MAX_CONTEXTS = 2048
_MAX_CELLS = 1 << 26
"""Of a table of counts: 256 MB of float32."""


@dataclass(frozen=True)
class NeighbourCounts:
    """A sample of the text, from which tables of counts are made."""

    frequencies_V: Tensor
    """int64: how often each entry is in the sample."""
    contexts_C: Tensor
    """int64 ids of the context words, the most frequent first; no special tokens."""
    _cells: Tensor
    """int64: for each token of the sample the first cell of its row in a table, which has a column for all words that
    are no context words, too."""
    _columns: Tensor
    """int64: for each token of the sample its column."""

    @classmethod
    def of_text(cls, mixture: DataMixture, *, device: torch.device) -> NeighbourCounts:
        """Take the sample of a run's data, each data set by its weight."""
        total = sum(mixture.weights)
        sample = np.concatenate(
            [
                _spread_blocks(dataset.split("train").tokens, max_tokens=_MAX_TOKENS * weight // total)
                for dataset, weight in zip(mixture.sets, mixture.weights, strict=True)
            ]
        )
        vocabulary = mixture.vocabulary
        return cls.of_sample(
            torch.from_numpy(sample.astype(np.int64)).to(device),
            vocab_size=vocabulary.size,
            special=vocabulary.special,
        )

    @classmethod
    def of_sample(cls, ids: Tensor, *, vocab_size: int, special: Iterable[int]) -> NeighbourCounts:
        """Find the context words of a sample, int64 ids."""
        frequencies_V = torch.bincount(ids, minlength=vocab_size)
        eligible_V = frequencies_V.clone()
        eligible_V[list(special)] = 0
        num_contexts = min(_MAX_CONTEXTS, _MAX_CELLS // vocab_size, int((eligible_V > 0).sum()))
        contexts_C = eligible_V.argsort(descending=True, stable=True)[:num_contexts]
        columns_V = torch.full_like(frequencies_V, num_contexts)
        columns_V[contexts_C] = torch.arange(num_contexts, device=ids.device)
        return cls(frequencies_V, contexts_C, _cells=ids * (num_contexts + 1), _columns=columns_V[ids])

    @property
    def num_tokens(self) -> int:
        """Of the sample."""
        return len(self._cells)

    def at(self, offsets: Iterable[int]) -> Tensor:
        """Count at some offsets together: VC, int64.

        Args:
            offsets: where the context word stands: 1 is the next token, -1 the one before.
        """
        V, width = len(self.frequencies_V), len(self.contexts_C) + 1
        cells = torch.cat([self._cells_at(offset) for offset in offsets])
        return torch.bincount(cells, minlength=V * width).view(V, width)[:, :-1]

    def _cells_at(self, offset: int) -> Tensor:
        distance = abs(offset)
        before, after = slice(None, -distance), slice(distance, None)
        if offset > 0:
            return self._cells[before] + self._columns[after]
        return self._cells[after] + self._columns[before]


def _spread_blocks(tokens: ArrayFile | IndexArray, *, max_tokens: int) -> IndexArray:
    """At most so many tokens, in blocks spread evenly over the text; all of a text that is not longer."""
    if len(tokens) <= max_tokens:
        return tokens[: len(tokens)]
    num_blocks = max(1, max_tokens // _BLOCK_TOKENS)
    begins = np.linspace(0, len(tokens) - _BLOCK_TOKENS, num_blocks).astype(np.int64)
    return np.concatenate([tokens[begin : begin + _BLOCK_TOKENS] for begin in begins])
