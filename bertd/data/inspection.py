"""What a data set holds and what it means for a run: the numbers, and a few sequences as the model will see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers.decoders import ByteLevel

from bertd.data.sampler import locate
from bertd.data.sequences import Packing, Sequences, open_sequences
from bertd.data.shards import DataSet
from bertd.data.vocabulary import Vocabulary
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
    shown = []
    for row, number in enumerate(located.indices.tolist()):
        ids = batch.inputs_BS[row].tolist()
        labels = zip(batch.positions_BM[row].tolist(), batch.labels_BM[row].tolist(), strict=True)
        predicted = {position: label for position, label in labels if label != IGNORE_INDEX}
        shown.append(Shown(number=number, text=_text_of(ids, predicted, dataset.vocabulary)))
    return shown


def _text_of(ids: list[int], predicted: dict[int, int], vocabulary: Vocabulary) -> str:
    """A row in words.

    Args:
        ids: what the model sees.
        predicted: by the place, what stood there.
    """
    places = [(token, predicted.get(place)) for place, token in enumerate(ids) if token != vocabulary.pad]
    if vocabulary.shows_spaces:
        return _spaced_text(places, vocabulary)
    entries = vocabulary.entries
    words = [
        entries[token] if label is None else f"[{entries[token].strip('[]')}|{entries[label]}]"
        for token, label in places
    ]
    return " ".join(words).replace(" ##", "")


def _spaced_text(places: list[tuple[int, int | None]], vocabulary: Vocabulary) -> str:
    """The same where pieces bring the spaces before them."""
    entries, goes_on = vocabulary.entries, vocabulary.continuations()
    spell = ByteLevel().decode if vocabulary.spells_bytes else _spell_sentencepiece

    def alone(token: int) -> str:
        """A piece without its space; one that is nothing else reads as an open box."""
        return spell([entries[token]]).strip() or "\u2423"

    text, run = "", list[str]()
    for token, label in places:
        if label is None and token not in vocabulary.special:
            # Pieces are decoded together, since a character may be cut into several.
            run.append(entries[token])
            continue
        text += spell(run)
        run.clear()
        if label is None:
            text += f" {entries[token]} "
        else:
            seen = entries[token].strip("[]<>") if token == vocabulary.mask else alone(token)
            text += f"{'' if goes_on[label] else ' '}[{seen}|{alone(label)}]"
    return " ".join((text + spell(run)).split())


def _spell_sentencepiece(pieces: list[str]) -> str:
    return "".join(pieces).replace("\u2581", " ")
