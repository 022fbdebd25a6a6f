"""The workload of every contender: one optimizer update over the same masked sequences.

Synthetic token ids follow Zipf's law, like text: with uniform ids, fewer gradients would add up in the same embedding
rows than in training, and a matrix of zeros would even make a GPU draw less power.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bertd.data.batches.batches import TrainBatches
from bertd.data.batches.masking import IGNORE_INDEX
from bertd.data.batches.mixed_sequences import open_mixture
from bertd.data.dataset.mixture import DataMixture
from bertd.model.encoder import EncoderConfig
from bertd.model.flops import training_flops
from bertd.run.recipe.mixture_text import find_data_sets
from bertd.run.recipe.schema import Recipe
from bertd.train.autotune.attention_backend import MIN_TIMED_SEQUENCES, AttentionChoice, choose_attention
from bertd.train.autotune.attention_workload import AttentionWorkload
from bertd.train.backends.apex.check import Feature
from bertd.train.backends.apex.detect import Apex, detect_apex
from bertd.train.backends.precision import Precision, choose_precision
from bertd.train.distributed.process_group import Ranks
from bertd.train.run_inputs import build_masker, encoder_config

SYNTHETIC_VOCABULARY = 30_522
"""Vocabulary size of bert-base-uncased."""
_NUM_SPECIAL = 5
_SHORT_SHARE = 0.1
"""Share of rows of random length. Source: bertd.data.batches.packing, after Devlin et al. 2019's short_seq_prob."""
_SENTENCE_LENGTH = 25
"""Approximate word pieces in an English sentence; a row's padding is shorter than its next sentence."""


@dataclass(frozen=True)
class BenchBatch:
    """The masked sequences of one update."""

    inputs_NS: Tensor
    positions_NM: Tensor
    labels_NM: Tensor
    attention_mask_NS: Tensor | None = None
    """False at padding; None if there is no padding."""

    def rows(self, start: int, stop: int) -> BenchBatch:
        part = slice(start, stop)
        attention_mask_NS = None if self.attention_mask_NS is None else self.attention_mask_NS[part]
        return BenchBatch(self.inputs_NS[part], self.positions_NM[part], self.labels_NM[part], attention_mask_NS)

    def to(self, device: torch.device) -> BenchBatch:
        attention_mask_NS = None if self.attention_mask_NS is None else self.attention_mask_NS.to(device)
        return BenchBatch(
            self.inputs_NS.to(device), self.positions_NM.to(device), self.labels_NM.to(device), attention_mask_NS
        )

    @property
    def text_share(self) -> float:
        """Share of the positions that are not padding."""
        return 1.0 if self.attention_mask_NS is None else float(self.attention_mask_NS.float().mean())

    def dense_labels(self) -> Tensor:
        """NS: labels as stock models expect them."""
        return dense_labels(self.inputs_NS, self.positions_NM, self.labels_NM)


@dataclass(frozen=True)
class Workload:
    """The work of one update, the same for all contenders."""

    recipe: Recipe
    dataset: DataMixture | None
    """None for synthetic tokens."""
    config: EncoderConfig
    sequence_length: int
    predictions: int
    batch: BenchBatch
    padded: BenchBatch
    """The same number of rows, padded as with packing = "sentences"."""
    recipe_text_share: float
    """Share of the data set's rows that is text, as the recipe packs them; 1 without a data set."""
    device: torch.device
    precision: Precision
    attention: AttentionChoice
    """Measured on a GPU; empty on CPU."""
    apex: Apex
    """The apex modules that work on this machine."""

    @property
    def num_sequences(self) -> int:
        """Sequences in one update."""
        return len(self.batch.inputs_NS)

    @property
    def flops(self) -> float:
        """Model FLOPs of one update; the same number for all, so that saved work shows as speed."""
        each = training_flops(self.config, sequence_length=self.sequence_length, predictions=self.predictions)
        return each * self.num_sequences

    def without_dropout(self) -> Workload:
        """The workload with both dropouts off."""
        return replace(self, config=replace(self.config, dropout=0.0, attention_dropout=0.0))


def dense_labels(inputs_NS: Tensor, positions_NM: Tensor, labels_NM: Tensor) -> Tensor:
    """NS: labels as stock models expect them, IGNORE_INDEX where nothing is predicted."""
    return torch.full_like(inputs_NS, IGNORE_INDEX).scatter(1, positions_NM, labels_NM)


def plan_workload(recipe: Recipe, *, device: torch.device, num_sequences: int, is_synthetic: bool) -> Workload:
    """Plan updates of `num_sequences` with the recipe's model and masks.

    Raises:
        ShardError: the recipe's data set cannot be read; --synthetic needs none.
    """
    length = recipe.data.sequence_length
    predictions = recipe.masking.predictions(length)
    dataset = None
    if is_synthetic:
        vocab_size = SYNTHETIC_VOCABULARY
        batch = make_synthetic_batch(num_sequences, length=length, predictions=predictions, vocab_size=vocab_size)
    else:
        dataset = DataMixture.open(find_data_sets(recipe.data.shards))
        vocab_size = dataset.vocabulary.size
        batch = _read_batch(recipe, dataset, num_sequences)
    config = encoder_config(recipe, vocab_size=vocab_size)
    precision = choose_precision(recipe.precision, device)
    attention = AttentionWorkload.from_config(
        config,
        sequences=max(num_sequences, MIN_TIMED_SEQUENCES),
        length=length,
        predictions=predictions,
        is_masked=False,
    )
    single_rank = Ranks(rank=0, world_size=1, device=device, control=None)
    return Workload(
        recipe=recipe,
        dataset=dataset,
        config=config,
        sequence_length=length,
        predictions=predictions,
        batch=batch.to(device),
        padded=pad_batch(batch).to(device),
        recipe_text_share=1.0 if dataset is None else float((batch.inputs_NS != dataset.vocabulary.pad).float().mean()),
        device=device,
        precision=precision,
        attention=choose_attention(attention, precision=precision, ranks=single_rank),
        apex=detect_apex([Feature.LAYER_NORM, Feature.DENSE], device=device, dtype=precision.dtype),
    )


def pad_batch(batch: BenchBatch) -> BenchBatch:
    """Cut rows short, as packing whole sentences does; deterministic.

    A share of the rows (_SHORT_SHARE) gets a random length, the others lose up to one sentence. The number of
    predictions stays the same; their positions are drawn again from the remaining tokens.
    """
    num_rows, length = batch.inputs_NS.shape
    predictions = batch.positions_NM.size(1)
    generator = torch.Generator().manual_seed(1)
    cuts_N = torch.randint(0, min(_SENTENCE_LENGTH, length - predictions) + 1, (num_rows,), generator=generator)
    any_N = torch.randint(0, length - predictions + 1, (num_rows,), generator=generator)
    lengths_N = length - torch.where(torch.rand(num_rows, generator=generator) < _SHORT_SHARE, any_N, cuts_N)
    attention_mask_NS = torch.arange(length) < lengths_N[:, None]
    permutation_NS = (
        torch.rand(num_rows, length, generator=generator).masked_fill(~attention_mask_NS, 2.0).argsort(dim=1)
    )
    positions_NM = permutation_NS[:, :predictions].sort(dim=1).values
    inputs_NS = batch.inputs_NS.masked_fill(~attention_mask_NS, 0)
    return BenchBatch(inputs_NS, positions_NM, inputs_NS.gather(1, positions_NM), attention_mask_NS)


def make_synthetic_batch(num_sequences: int, *, length: int, predictions: int, vocab_size: int) -> BenchBatch:
    """Random sequences whose ids follow Zipf's law; deterministic."""
    generator = torch.Generator().manual_seed(0)
    ranks = torch.arange(1, vocab_size - _NUM_SPECIAL + 1, dtype=torch.float64)
    drawn = torch.multinomial(1 / ranks, num_sequences * length, replacement=True, generator=generator)
    ids_NS = drawn.view(num_sequences, length) + _NUM_SPECIAL
    permutation_NS = torch.rand(num_sequences, length, generator=generator).argsort(dim=1)
    positions_NM = permutation_NS[:, :predictions].sort(dim=1).values
    return BenchBatch(ids_NS, positions_NM, ids_NS.gather(1, positions_NM))


def train_batches(
    recipe: Recipe, dataset: DataMixture, *, num_sequences: int, micro: int, device: torch.device
) -> TrainBatches:
    """The recipe's data path, for one rank and steps of `num_sequences`."""
    data = recipe.data
    return TrainBatches(
        sequences=open_mixture(dataset, split="train", sequence_length=data.sequence_length, packing=data.packing),
        masker=build_masker(recipe, dataset.vocabulary),
        seed=recipe.run.seed,
        global_batch=num_sequences,
        micro_batch=micro,
        rank=0,
        world_size=1,
        device=device,
        first_sequence=0,
    )


def _read_batch(recipe: Recipe, dataset: DataMixture, num_sequences: int) -> BenchBatch:
    cpu = torch.device("cpu")
    batches = train_batches(recipe, dataset, num_sequences=num_sequences, micro=num_sequences, device=cpu)
    try:
        masked = batches.next_micro_batch()
    finally:
        batches.close()
    return BenchBatch(masked.inputs_BS, masked.positions_BM, masked.labels_BM)
