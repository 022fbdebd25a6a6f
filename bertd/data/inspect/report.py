"""Measure what a data set means for a run: padding, epochs, and a few sequences as the model will see them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers.decoders import ByteLevel

from bertd.data.batches.rows import Packing, TokenSequences, open_sequences
from bertd.data.batches.sampler import locate_sequences
from bertd.data.dataset.shards import DataSet
from bertd.run.dataset_manifest import MAX_PACKED_SEQUENCES, count_sequences
from bertd.run.recipe.schema import MaskingSection
from bertd.tokenizer.vocabulary import Vocabulary

PACKINGS: tuple[Packing, ...] = ("full", "sentences")


@dataclass(frozen=True)
class PackingFacts:
    """One packing of the train split."""

    packing: str
    sequences: int
    """Sequences in an epoch."""
    padding_share: float
    """Of all tokens of an epoch."""
    epochs: float | None
    """Epochs that the budget's sequences make; None if they are not known."""


@dataclass(frozen=True)
class DecodedSequence:
    """A sequence as text."""

    number: int
    text: str
    """What the model sees; a predicted token reads `[what the model sees|the original]`."""


def measure_packings(dataset: DataSet, *, sequence_length: int, budget_sequences: float | None) -> list[PackingFacts]:
    """Measure both packings of the train split; that by sentences is left out where its rows would be too many.

    Args:
        budget_sequences: sequences that a run's budget covers; None if not known.

    Raises:
        ShardError: the split has no complete sequence.
    """
    tokenizer = dataset.manifest.tokenizer
    facts = []
    for packing in PACKINGS:
        if packing == "sentences" and not can_pack_sentences(dataset, sequence_length=sequence_length):
            continue
        sequences = open_sequences(dataset, split="train", sequence_length=sequence_length, packing=packing)
        padding = _padding_share(sequences, pad=tokenizer.pad)
        epochs = None if budget_sequences is None else budget_sequences / sequences.num_sequences
        facts.append(
            PackingFacts(packing=packing, sequences=sequences.num_sequences, padding_share=padding, epochs=epochs)
        )
    return facts


def can_pack_sentences(dataset: DataSet, *, sequence_length: int) -> bool:
    """Whether the train split has few enough rows of whole sentences."""
    counts = dataset.manifest.splits["train"]
    least = count_sequences(counts, sequence_length=sequence_length, packing="sentences")
    return least <= MAX_PACKED_SEQUENCES


_MAX_PADDING_SAMPLE = 20_000


def _padding_share(sequences: TokenSequences, *, pad: int) -> float:
    """Over all rows, or over evenly spread ones where there are many."""
    count = min(_MAX_PADDING_SAMPLE, sequences.num_sequences)
    chosen = np.arange(count, dtype=np.int64) * sequences.num_sequences // count
    return float((sequences.rows(chosen) == pad).mean())


def decode_sequences(
    dataset: DataSet, *, sequence_length: int, packing: str, masking: MaskingSection, count: int, seed: int
) -> list[DecodedSequence]:
    """The first sequences of a run, with the masks of its first epoch.

    Raises:
        ShardError: the split has no complete sequence.
    """
    import torch

    from bertd.data.batches.masking import IGNORE_INDEX, Masker

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
    located = locate_sequences(np.arange(count), num_sequences=sequences.num_sequences, seed=seed)
    batch = masker(torch.from_numpy(sequences.rows(located.indices)), torch.from_numpy(located.keys))
    decoded = []
    for row, number in enumerate(located.indices.tolist()):
        ids = batch.inputs_BS[row].tolist()
        labels = zip(batch.positions_BM[row].tolist(), batch.labels_BM[row].tolist(), strict=True)
        predicted = {position: label for position, label in labels if label != IGNORE_INDEX}
        decoded.append(DecodedSequence(number=number, text=_decode_row(ids, predicted, dataset.vocabulary)))
    return decoded


def _decode_row(ids: list[int], predicted: dict[int, int], vocabulary: Vocabulary) -> str:
    """A row as text.

    Args:
        ids: what the model sees.
        predicted: original ids by position.
    """
    tokens = [(token, predicted.get(position)) for position, token in enumerate(ids) if token != vocabulary.pad]
    if vocabulary.pieces_include_space:
        return _decode_row_with_spaces(tokens, vocabulary)
    entries = vocabulary.entries
    words = [
        entries[token] if label is None else f"[{entries[token].strip('[]')}|{entries[label]}]"
        for token, label in tokens
    ]
    return " ".join(words).replace(" ##", "")


def _decode_row_with_spaces(tokens: list[tuple[int, int | None]], vocabulary: Vocabulary) -> str:
    """Decode a row whose pieces include the spaces before them."""
    entries, is_continuation = vocabulary.entries, vocabulary.continuation_flags()
    spell = ByteLevel().decode if vocabulary.spells_bytes else _spell_sentencepiece

    def spell_alone(token: int) -> str:
        """A piece without its space; a piece that is only a space is shown as an open box."""
        return spell([entries[token]]).strip() or "\u2423"

    text, pieces = "", list[str]()
    for token, label in tokens:
        if label is None and token not in vocabulary.special:
            # Pieces are decoded together, since a character may be cut into several.
            pieces.append(entries[token])
            continue
        text += spell(pieces)
        pieces.clear()
        if label is None:
            text += f" {entries[token]} "
        else:
            seen = entries[token].strip("[]<>") if token == vocabulary.mask else spell_alone(token)
            text += f"{'' if is_continuation[label] else ' '}[{seen}|{spell_alone(label)}]"
    return " ".join((text + spell(pieces)).split())


def _spell_sentencepiece(pieces: list[str]) -> str:
    return "".join(pieces).replace("\u2581", " ")
