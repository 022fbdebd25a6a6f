"""Measure loss and accuracy of any masked language model on fixed validation tokens with fixed masks of 15 %.

The tokens and the masks are those of a run's own validation where sequence length, packing, seed and [masking] are
equal, so the losses can be compared.

B sequences per micro-batch, S tokens per sequence, M masked tokens, V vocabulary.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bertd.data.batches.batches import validation_batches
from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.data.batches.mixed_sequences import open_mixture
from bertd.data.dataset.mixture import DataMixture
from bertd.data.dataset.unigram import token_shares
from bertd.errors import ShardError
from bertd.run.recipe.schema import Recipe
from bertd.train.loop.validation import unigram_cross_entropy
from bertd.train.run_inputs import build_validation_masker

MICRO_BATCH = 16

Predict = Callable[[MaskedBatch], Tensor]
"""The scores of the real vocabulary entries at the masked positions, BMV."""


@dataclass(frozen=True)
class Measured:
    """What a model scored."""

    loss: float
    """Nats per predicted token."""
    standard_error: float | None
    accuracy: float
    """0..1."""
    unigram_loss: float
    num_tokens: int
    num_sequences: int


@torch.no_grad()
def measure(
    predict: Predict,
    recipe: Recipe,
    dataset: DataMixture,
    *,
    max_sequences: int,
    device: torch.device,
    report: Callable[[float], None] = lambda share: None,
) -> Measured:
    """Predict the masked tokens of the validation split.

    Args:
        recipe: gives sequence length, packing, seed and masks.
        max_sequences: spread evenly over the split.
        report: is called with the share that is done, 0..1.

    Raises:
        ShardError: the split has no sequence, or no token of it is predicted.
    """
    section = recipe.data
    batches = validation_batches(
        sequences=open_mixture(
            dataset, split="validation", sequence_length=section.sequence_length, packing=section.packing
        ),
        masker=build_validation_masker(recipe, dataset.vocabulary),
        micro_batch=MICRO_BATCH,
        rank=0,
        world_size=1,
        max_sequences=max_sequences,
        device=device,
    )
    sums_B: list[tuple[float, int]] = []
    num_right = 0
    counts_V = torch.zeros(dataset.vocabulary.size, dtype=torch.int64)
    for index, batch in enumerate(batches):
        logits_BMV = predict(batch).float()
        is_label_BM = batch.labels_BM != IGNORE_INDEX
        losses_BM = F.cross_entropy(
            logits_BMV.transpose(1, 2), batch.labels_BM, ignore_index=IGNORE_INDEX, reduction="none"
        )
        num_right += int(((logits_BMV.argmax(-1) == batch.labels_BM) & is_label_BM).sum())
        sums_B += zip(losses_BM.double().sum(1).tolist(), is_label_BM.sum(1).tolist(), strict=True)
        counts_V += torch.bincount(batch.labels_BM[is_label_BM], minlength=len(counts_V)).cpu()
        report((index + 1) / len(batches))
    num_tokens = sum(count for _, count in sums_B)
    if not num_tokens:
        raise ShardError(
            f"{dataset.place}: not one token of its validation split is predicted; prepare it with more text"
        )
    return Measured(
        loss=sum(loss for loss, _ in sums_B) / num_tokens,
        standard_error=_standard_error(sums_B, num_tokens=num_tokens),
        accuracy=num_right / num_tokens,
        unigram_loss=unigram_cross_entropy(counts_V, torch.from_numpy(token_shares(dataset))),
        num_tokens=num_tokens,
        num_sequences=len(sums_B),
    )


def _standard_error(sums: list[tuple[float, int]], *, num_tokens: int) -> float | None:
    """Of the ratio of two sums over sequences. Source: Cochran, Sampling Techniques, 1977, section 2.11."""
    number = len(sums)
    if number < 2:  # noqa: PLR2004 - a spread needs two
        return None
    mean_loss = sum(loss for loss, _ in sums) / num_tokens
    residuals = [loss - mean_loss * count for loss, count in sums]
    return math.sqrt(statistics.fmean(each**2 for each in residuals) * number / (number - 1) / number) / (
        num_tokens / number
    )
