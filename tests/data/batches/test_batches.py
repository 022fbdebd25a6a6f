"""Micro-batches: the same sequences for any number of ranks, resumed anywhere, and errors of the thread are raised."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
import torch

from bertd.data.batches.batches import TrainBatches, validation_batches
from bertd.data.batches.masking import IGNORE_INDEX, MaskedBatch, Masker
from bertd.data.batches.rows import TokenSequences, open_sequences
from bertd.data.dataset.shards import DataSet
from bertd.errors import ShardError

CPU = torch.device("cpu")


@pytest.fixture
def sequences(dataset: DataSet) -> TokenSequences:
    return open_sequences(dataset, split="train", sequence_length=32, packing="full")


@pytest.fixture
def masker(dataset: DataSet) -> Masker:
    return Masker(
        seed=3,
        rate=0.15,
        max_predictions=5,
        replace=(0.8, 0.1, 0.1),
        vocabulary=dataset.vocabulary,
        sequence_length=32,
    )


def read(
    sequences: TokenSequences, masker: Masker, *, count: int, rank: int = 0, world_size: int = 1, first: int = 0
) -> list[MaskedBatch]:
    batches = TrainBatches(
        sequences=sequences,
        masker=masker,
        seed=11,
        global_batch=24,
        micro_batch=4,
        rank=rank,
        world_size=world_size,
        device=CPU,
        first_sequence=first,
    )
    try:
        return [batches.next_micro_batch() for _ in range(count)]
    finally:
        batches.close()


def rows_of(batches: list[MaskedBatch]) -> list[tuple[int, ...]]:
    """Inputs, positions and labels of every sequence."""
    whole = [torch.cat([batch.inputs_BS, batch.positions_BM, batch.labels_BM], dim=1) for batch in batches]
    return [tuple(row) for row in torch.cat(whole).tolist()]


def predicting_rows(batches: list[MaskedBatch]) -> list[tuple[int, ...]]:
    """The same for the sequences that have predictions."""
    predicts = [bool((labels != IGNORE_INDEX).any()) for batch in batches for labels in batch.labels_BM]
    return [row for row, is_used in zip(rows_of(batches), predicts, strict=True) if is_used]


def test_ranks_together_train_on_what_one_rank_would(sequences: TokenSequences, masker: Masker) -> None:
    steps = 2 * sequences.num_sequences // 24
    alone = rows_of(read(sequences, masker, count=steps * 6))
    for world_size in (2, 3):
        shares = [
            rows_of(read(sequences, masker, count=steps * 6 // world_size, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        share = 24 // world_size
        together = [row for step in range(steps) for rank in shares for row in rank[step * share : (step + 1) * share]]
        assert together == alone


def test_a_resumed_run_goes_on_with_the_very_next_sequence(sequences: TokenSequences, masker: Masker) -> None:
    whole = rows_of(read(sequences, masker, count=60))
    assert rows_of(read(sequences, masker, count=30, first=120)) == whole[120:]


def test_steps_of_another_size_go_on_with_the_very_next_sequence(sequences: TokenSequences, masker: Masker) -> None:
    whole = rows_of(read(sequences, masker, count=15))
    ranks = [
        TrainBatches(
            sequences=sequences,
            masker=masker,
            seed=11,
            global_batch=24,
            micro_batch=4,
            rank=rank,
            world_size=3,
            device=CPU,
            first_sequence=0,
        )
        for rank in range(3)
    ]
    try:
        first = [rows_of([batches.next_micro_batch() for _ in range(batches.accumulation)]) for batches in ranks]
        for batches in ranks:
            batches.resize(36, first_sequence=24)
        second = [rows_of([batches.next_micro_batch() for _ in range(batches.accumulation)]) for batches in ranks]
    finally:
        for batches in ranks:
            batches.close()

    assert [row for share in first + second for row in share] == whole


def test_an_epoch_shows_every_sequence_once_and_the_next_masks_it_anew(
    sequences: TokenSequences, masker: Masker
) -> None:
    num = sequences.num_sequences
    batches = read(sequences, masker, count=-(-2 * num // 4))
    inputs = torch.cat([batch.inputs_BS for batch in batches])
    positions = torch.cat([batch.positions_BM for batch in batches])
    labels = torch.cat([batch.labels_BM for batch in batches])
    slots = labels != IGNORE_INDEX
    originals = inputs.scatter(1, positions, torch.where(slots, labels, inputs.gather(1, positions)))
    first, second = originals[:num], originals[num : 2 * num]
    assert sorted(first.tolist()) == sorted(second.tolist())
    assert sorted(inputs[:num].tolist()) != sorted(inputs[num : 2 * num].tolist())


def test_an_error_of_the_reading_thread_reaches_the_trainer(dataset: DataSet, masker: Masker, tmp_path: Path) -> None:
    copied = DataSet.open(Path(shutil.copytree(dataset.root, tmp_path / "copy")))
    sequences = open_sequences(copied, split="train", sequence_length=32, packing="full")
    os.truncate(copied.root / "train.tokens", 10)
    with pytest.raises(ShardError, match="train.tokens: changed while it was in use"):
        read(sequences, masker, count=1)


def test_closing_ends_the_thread_and_refuses_more(sequences: TokenSequences, masker: Masker) -> None:
    before = threading.active_count()
    batches = TrainBatches(
        sequences=sequences,
        masker=masker,
        seed=0,
        global_batch=4,
        micro_batch=4,
        rank=0,
        world_size=1,
        device=CPU,
        first_sequence=0,
    )
    batches.next_micro_batch()
    assert batches.wait_s > 0
    batches.close()
    batches.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        batches.next_micro_batch()


def test_where_a_step_does_not_come_out_even_rows_that_predict_nothing_fill_it(
    sequences: TokenSequences, masker: Masker
) -> None:
    """24 sequences on 5 ranks are shares of 5, 5, 5, 5 and 4, each in two micro-batches of 4."""
    alone = rows_of(read(sequences, masker, count=12))
    ranks = [read(sequences, masker, count=4, rank=rank, world_size=5) for rank in range(5)]

    for batch in (batch for rank in ranks for batch in rank):
        assert batch.inputs_BS.shape[0] == 4
    met = [(step, row) for rank in ranks for step in (0, 1) for row in predicting_rows(rank[2 * step : 2 * step + 2])]
    assert [row for step in (0, 1) for of, row in met if of == step] == alone


@pytest.mark.parametrize("max_sequences", [7, 100, 10**9])
def test_the_validation_set_is_the_same_for_any_number_of_ranks(
    sequences: TokenSequences, masker: Masker, max_sequences: int
) -> None:
    def share(rank: int, world_size: int) -> list[tuple[int, ...]]:
        batches = validation_batches(
            sequences=sequences,
            masker=masker,
            micro_batch=4,
            rank=rank,
            world_size=world_size,
            max_sequences=max_sequences,
            device=CPU,
        )
        return rows_of(batches) if batches else []

    alone = share(0, 1)
    assert len(alone) == min(max_sequences, sequences.num_sequences)
    for world_size in (2, 3, 8):
        shares = [share(rank, world_size) for rank in range(world_size)]
        assert [row for rows in shares for row in rows] == alone
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
