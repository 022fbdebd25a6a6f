"""What a data set holds and what it means for a run: the numbers, and a few sequences as the model will see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bertd.data.sampler import locate
from bertd.data.sequences import Packing, Sequences, open_sequences
from bertd.data.shards import DataSet
from bertd.run.recipe import MaskingSection

PACKINGS: tuple[Packing, ...] = ("full", "sentences")


@dataclass(frozen=True)
class PackingFacts:
    """One packing of the train split."""

    packing: str
    sequences: int
    """In an epoch."""
    padding_share: float
    """Of all tokens of an epoch."""
    epochs: float | None
    """That the sequences asked for make; None where none were."""


@dataclass(frozen=True)
class Shown:
    """A sequence in words."""

    number: int
    text: str
    """What the model sees; a predicted token reads `[what stands there|what stood there]`."""


def packing_facts(dataset: DataSet, *, sequence_length: int, budget_sequences: float | None) -> list[PackingFacts]:
    """Both packings of the train split at a length.

    Args:
        budget_sequences: what a run's budget buys; None if it is not known.

    Raises:
        ShardError: the split holds not one sequence.
    """
    tokenizer = dataset.manifest.tokenizer
    facts = []
    for packing in PACKINGS:
        sequences = open_sequences(dataset, split="train", sequence_length=sequence_length, packing=packing)
        padding = _padding_share(sequences, pad=tokenizer.pad)
        epochs = None if budget_sequences is None else budget_sequences / sequences.num_sequences
        facts.append(
            PackingFacts(packing=packing, sequences=sequences.num_sequences, padding_share=padding, epochs=epochs)
        )
    return facts


_PADDING_SAMPLE = 20_000


def _padding_share(sequences: Sequences, *, pad: int) -> float:
    """Over all rows, or evenly spread ones where there are many."""
    count = min(_PADDING_SAMPLE, sequences.num_sequences)
    chosen = np.arange(count, dtype=np.int64) * sequences.num_sequences // count
    return float((sequences.rows(chosen) == pad).mean())


def show_sequences(
    dataset: DataSet, *, sequence_length: int, packing: str, masking: MaskingSection, count: int, seed: int
) -> list[Shown]:
    """The first sequences of a run, with the masks of its first epoch.

    Raises:
        ShardError: the split holds not one sequence.
    """
    import torch

    from bertd.data.masking import IGNORE_INDEX, Masker

    sequences = open_sequences(dataset, split="train", sequence_length=sequence_length, packing=packing)
    masker = Masker(
        seed=seed,
        rate=masking.rate,
        max_predictions=masking.predictions(sequence_length),
        replace=masking.replace,
        vocabulary=dataset.vocabulary,
        sequence_length=sequence_length,
        unit=masking.unit,
        copies=masking.copies or None,
    )
    located = locate(np.arange(count), num_sequences=sequences.num_sequences, seed=seed)
    batch = masker(torch.from_numpy(sequences.rows(located.indices)), torch.from_numpy(located.keys))
    entries = dataset.vocabulary.entries
    shown = []
    for row, number in enumerate(located.indices.tolist()):
        ids = batch.inputs_BS[row].tolist()
        labels = zip(batch.positions_BM[row].tolist(), batch.labels_BM[row].tolist(), strict=True)
        predicted = {position: label for position, label in labels if label != IGNORE_INDEX}
        words = [
            f"[{entries[token].strip('[]')}|{entries[predicted[place]]}]" if place in predicted else entries[token]
            for place, token in enumerate(ids)
            if token != dataset.manifest.tokenizer.pad
        ]
        shown.append(Shown(number=number, text=" ".join(words).replace(" ##", "")))
    return shown
