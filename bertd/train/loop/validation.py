"""Validation on a fixed set with fixed masks: the same tokens every time, for any number of ranks.

The last validation of a timed run has a deadline. The ranks agree before each batch whether all of them have time for
it; with time enough the result is bit for bit that of a validation without a deadline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.errors import ShardError
from bertd.train.backends.synchronize import synchronize
from bertd.train.distributed.process_group import Ranks
from bertd.train.loop.loss_fn import ForwardPass


@dataclass(frozen=True)
class ValidationResult:
    """Result of one pass over the validation set."""

    loss: float
    """Mean cross-entropy in nats over all ranks' predicted tokens."""
    num_tokens: int
    unigram_loss: float
    """Nats, of a guess by the token frequencies of the training text."""
    unigram_entropy: float
    """Nats, of a guess by the frequencies of the predicted tokens themselves."""
    seconds: float
    share: float = 1.0
    """Share of the set's sequences that was used, 0..1; below 1 only if a deadline cut it short."""


class Validator:
    """Measures the loss on this rank's share of the set, which stays on the device."""

    def __init__(self, batches: Sequence[MaskedBatch], *, shares_V: Tensor, ranks: Ranks) -> None:
        """Count the predicted tokens; every rank must call.

        Args:
            shares_V: frequency of each token in the training text, positive, float64.

        Raises:
            ShardError: no token is predicted.
        """
        self._batches = _pad_to_one_shape(batches)
        self._num_rows = [len(batch.inputs_BS) for batch in batches]
        """Sequences in each batch, without the rows that fill it."""
        self._max_batches = ranks.max_over_ranks(len(batches))
        self._ranks = ranks
        counts_V = torch.zeros(len(shares_V), dtype=torch.int64, device=ranks.device)
        for batch in batches:
            labels = batch.labels_BM[batch.labels_BM != IGNORE_INDEX]
            counts_V += torch.bincount(labels, minlength=len(shares_V))
        counts_V = ranks.all_reduce_sum(counts_V).cpu()
        if not counts_V.any():
            raise ShardError(
                "not one token of the validation set is predicted, since no word of its text fits into "
                'masking.max_predictions; set masking.unit = "token"'
            )
        self._unigram_loss = unigram_cross_entropy(counts_V, shares_V)
        self._unigram_entropy = unigram_cross_entropy(counts_V, counts_V / counts_V.sum())

    def warm_up(self, forward: ForwardPass) -> None:
        """Compile the evaluation graph, so that no measured pass includes the compilation."""
        if forward.is_compiled and self._batches:
            with forward.evaluation() as loss_fn:
                loss_fn(self._batches[0])

    def evaluate(self, forward: ForwardPass, *, max_seconds: float | None = None) -> ValidationResult:
        """Measure; every rank must call.

        Args:
            max_seconds: start no batch that would take longer than this in all, except the first; of rank 0, the other
                ranks may pass any number. None for the whole set, on every rank.
        """
        began_s = time.monotonic()
        deadline = None if max_seconds is None else _Deadline(self._ranks, max_seconds=max_seconds)
        loss_sum = torch.zeros((), device=self._ranks.device, dtype=torch.float64)
        num_tokens, num_rows = torch.zeros_like(loss_sum), 0
        with forward.evaluation() as loss_fn:
            for index in range(self._max_batches):
                if deadline is not None and not deadline.allows_batch():
                    break
                # Shares differ by a sequence, so a rank may have one batch less.
                for batch in self._batches[index : index + 1]:
                    loss_sum += loss_fn(batch)
                    num_tokens += (batch.labels_BM != IGNORE_INDEX).sum()
                    num_rows += self._num_rows[index]
        rows = torch.tensor([num_rows, sum(self._num_rows)], device=self._ranks.device, dtype=torch.float64)
        sums = self._ranks.all_reduce_sum(torch.cat([torch.stack([loss_sum, num_tokens]), rows]))
        loss, tokens, rows_used, rows_in_all = sums.tolist()
        return ValidationResult(
            loss=loss / tokens if tokens else math.nan,
            num_tokens=int(tokens),
            unigram_loss=self._unigram_loss,
            unigram_entropy=self._unigram_entropy,
            seconds=time.monotonic() - began_s,
            share=rows_used / rows_in_all,
        )


class _Deadline:
    """Whether there is time for one more batch; asked before each batch, by every rank."""

    def __init__(self, ranks: Ranks, *, max_seconds: float) -> None:
        """Begin; rank 0's `max_seconds` counts."""
        (self._max_seconds,) = ranks.broadcast([max_seconds])
        self._ranks = ranks
        self._began_s = self._asked_s = time.monotonic()
        self._batch_s = 0.0
        """The slowest batch so far."""
        self._num_batches = 0

    def allows_batch(self) -> bool:
        """Whether every rank has time for a batch as slow as its slowest; always for the first."""
        # A GPU may still be working on the batches before.
        synchronize(self._ranks.device)
        now_s = time.monotonic()
        self._batch_s, self._asked_s = max(self._batch_s, now_s - self._asked_s), now_s
        is_late = self._num_batches > 0 and now_s - self._began_s + self._batch_s > self._max_seconds
        self._num_batches += 1
        return not self._ranks.max_over_ranks(int(is_late))


def _pad_to_one_shape(batches: Sequence[MaskedBatch]) -> list[MaskedBatch]:
    """Fill a short last batch with rows that predict nothing: the compiled graph has one shape."""
    return [_pad_rows(batch, num_rows=len(batches[0].inputs_BS)) for batch in batches]


def _pad_rows(batch: MaskedBatch, *, num_rows: int) -> MaskedBatch:
    missing = num_rows - len(batch.inputs_BS)
    if not missing:
        return batch
    tensors = (batch.inputs_BS, batch.positions_BM, batch.labels_BM)
    padded = MaskedBatch(*(torch.cat([tensor, tensor[:1].expand(missing, -1)]) for tensor in tensors))
    return padded.without_predictions_after(num_rows - missing)


def unigram_cross_entropy(counts_V: Tensor, shares_V: Tensor) -> float:
    """Mean cross-entropy in nats of tokens with these counts, predicted by these shares; NaN without any token."""
    occurs_V = counts_V > 0
    return float(-(counts_V[occurs_V] * shares_V[occurs_V].log()).sum() / counts_V.sum())
