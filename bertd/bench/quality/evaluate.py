"""Evaluate any model that stock transformers loads, on fixed validation tokens with fixed masks of 15 %.

Arms may train with other masks or shapes, so their own validation losses are not used: losses at different masking
rates cannot be compared.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from bertd.data.batches.batches import validation_batches
from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch
from bertd.data.batches.mixed_sequences import open_mixture
from bertd.data.dataset.mixture import DataMixture
from bertd.data.dataset.unigram import token_shares
from bertd.run.recipe.schema import Recipe
from bertd.train.loop.validation import unigram_cross_entropy
from bertd.train.run_inputs import build_validation_masker

_MICRO = 16


@dataclass(frozen=True)
class Mean:
    """A mean over sequences, in nats."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Mean of at least two values."""
        return cls(statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)))


@dataclass(frozen=True)
class Evaluation:
    """One model's loss on the evaluator's tokens."""

    losses: tuple[float, ...]
    """Mean loss of each sequence, in nats per predicted token."""

    @property
    def mean(self) -> Mean:
        """Mean over the sequences."""
        return Mean.of(self.losses)

    def minus(self, other: Evaluation) -> Mean:
        """This loss minus the other's, paired by sequence, so that a sequence's difficulty cancels out."""
        return Mean.of([mine - theirs for mine, theirs in zip(self.losses, other.losses, strict=True)])


class Evaluator:
    """Holds the masked validation tokens and evaluates models on them."""

    def __init__(self, recipe: Recipe, *, max_sequences: int) -> None:
        """Read the tokens; `recipe` gives data set, sequence length and masks.

        Raises:
            ShardError: the data set cannot be read.
        """
        dataset = DataMixture.open(recipe.data.weights)
        self._vocab_size = dataset.vocabulary.size
        self.batches: list[MaskedBatch] = validation_batches(
            sequences=open_mixture(
                dataset, split="validation", sequence_length=recipe.data.sequence_length, packing="full"
            ),
            masker=build_validation_masker(recipe, dataset.vocabulary),
            micro_batch=_MICRO,
            rank=0,
            world_size=1,
            max_sequences=max_sequences,
            device=torch.device("cpu"),
        )
        counts_V = torch.zeros(self._vocab_size, dtype=torch.float64)
        for batch in self.batches:
            counts_V += torch.bincount(_labels(batch), minlength=self._vocab_size)
        self.num_tokens = int(counts_V.sum())
        self.unigram_loss = unigram_cross_entropy(counts_V, torch.from_numpy(token_shares(dataset)))
        """Loss, in nats, of a guess by the token frequencies of the training text."""
        self.uniform_loss = math.log(self._vocab_size)

    @torch.no_grad()
    def evaluate(self, export: Path) -> Evaluation:
        """Load a model with stock transformers and measure its loss."""
        from transformers import AutoModelForMaskedLM  # slow import (a second) that the tests of the table do not need

        model = AutoModelForMaskedLM.from_pretrained(export, local_files_only=True).eval()
        losses: list[float] = []
        for batch in self.batches:
            logits_BSV = model(input_ids=batch.inputs_BS).logits[..., : self._vocab_size]
            index_BM1 = batch.positions_BM.unsqueeze(-1)
            logits_BMV = logits_BSV.gather(1, index_BM1.expand(-1, -1, logits_BSV.size(-1))).float()
            each_BM = F.cross_entropy(
                logits_BMV.transpose(1, 2), batch.labels_BM, ignore_index=IGNORE_INDEX, reduction="none"
            )
            counts_B = (batch.labels_BM != IGNORE_INDEX).sum(1)
            losses += (each_BM.sum(1) / counts_B).tolist()
        return Evaluation(tuple(losses))


def _labels(batch: MaskedBatch) -> torch.Tensor:
    return batch.labels_BM[batch.labels_BM != IGNORE_INDEX]
