"""Evaluation of any model that stock transformers loads, on fixed validation tokens under fixed masks of 15 %.

Arms may train with other masks or shapes, so no arm's own validation loss is used. Losses at another masking rate could
not be compared at all.
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
from bertd.data.batches.rows import open_sequences
from bertd.data.dataset.shards import DataSet
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
    """Its standard error."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Of at least two values."""
        return cls(statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)))


@dataclass(frozen=True)
class Evaluation:
    """One model's loss on the evaluator's tokens."""

    losses: tuple[float, ...]
    """Of each sequence, in nats for a predicted token."""

    @property
    def mean(self) -> Mean:
        """Over the sequences."""
        return Mean.of(self.losses)

    def minus(self, other: Evaluation) -> Mean:
        """How much higher this loss is than another, sequence by sequence: what is hard for both cancels out."""
        return Mean.of([mine - theirs for mine, theirs in zip(self.losses, other.losses, strict=True)])


class Evaluator:
    """Holds the tokens."""

    def __init__(self, recipe: Recipe, *, max_sequences: int) -> None:
        """`recipe` gives data set, length and masks.

        Raises:
            ShardError: the data set cannot be read.
        """
        dataset = DataSet.open(Path(recipe.data.shards))
        self._vocab_size = dataset.vocabulary.size
        self.batches: list[MaskedBatch] = validation_batches(
            sequences=open_sequences(
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
        """Nats: of a guess by how often each token stands in the training text."""
        self.uniform_loss = math.log(self._vocab_size)

    @torch.no_grad()
    def evaluate(self, export: Path) -> Evaluation:
        """Load a model by stock transformers and measure it."""
        from transformers import AutoModelForMaskedLM  # a second of import that tests of the table need not pay

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
