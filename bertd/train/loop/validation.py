"""Validation on a fixed set with fixed masks: the same tokens every time, for any number of ranks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.errors import ShardError
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

    def evaluate(self, forward: ForwardPass) -> ValidationResult:
        """Measure; every rank must call."""
        began_s = time.monotonic()
        loss_sum = torch.zeros((), device=self._ranks.device, dtype=torch.float64)
        num_tokens = torch.zeros_like(loss_sum)
        with forward.evaluation() as loss_fn:
            for batch in self._batches:
                loss_sum += loss_fn(batch)
                num_tokens += (batch.labels_BM != IGNORE_INDEX).sum()
        loss, tokens = self._ranks.all_reduce_sum(torch.stack([loss_sum, num_tokens])).tolist()
        return ValidationResult(
            loss=loss / tokens if tokens else math.nan,
            num_tokens=int(tokens),
            unigram_loss=self._unigram_loss,
            unigram_entropy=self._unigram_entropy,
            seconds=time.monotonic() - began_s,
        )


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
