"""Order: a permutation of every epoch, shared out equally, resumable anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.data.arrays import HashArray
from bertd.data.batches import sampler
from bertd.data.batches.sampler import MAX_SEQUENCES, locate_sequences, rank_positions

seeds = st.integers(min_value=0, max_value=2**31 - 1)


@given(num_sequences=st.integers(min_value=1, max_value=3000), epoch=st.integers(min_value=0, max_value=50), seed=seeds)
def test_an_epoch_holds_every_sequence_exactly_once(num_sequences: int, epoch: int, seed: int) -> None:
    positions = np.arange(epoch * num_sequences, (epoch + 1) * num_sequences)
    located = locate_sequences(positions, num_sequences=num_sequences, seed=seed)
    assert (located.epochs == epoch).all()
    assert sorted(located.indices.tolist()) == list(range(num_sequences))


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 8])
@given(num_sequences=st.integers(min_value=1, max_value=500), seed=seeds, steps=st.integers(min_value=1, max_value=40))
def test_an_epoch_is_covered_exactly_once_by_any_number_of_ranks(
    world_size: int, num_sequences: int, seed: int, steps: int
) -> None:
    global_batch = 24
    met = [
        locate_sequences(
            rank_positions(first=step * global_batch, global_batch=global_batch, rank=rank, world_size=world_size),
            num_sequences=num_sequences,
            seed=seed,
        )
        for step in range(steps)
        for rank in range(world_size)
    ]
    keys = np.concatenate([located.keys for located in met])
    assert len(set(keys.tolist())) == len(keys) == steps * global_batch
    for epoch in range(steps * global_batch // num_sequences):
        assert ((keys // MAX_SEQUENCES) == epoch).sum() == num_sequences


@given(seed=seeds, start=st.integers(min_value=0, max_value=10**12), step=st.integers(min_value=1, max_value=700))
def test_a_position_leads_to_the_same_sequence_however_it_is_reached(seed: int, start: int, step: int) -> None:
    positions = np.arange(start, start + 2000)
    together = locate_sequences(positions, num_sequences=1_000_003, seed=seed)
    alone = locate_sequences(positions[::step], num_sequences=1_000_003, seed=seed)
    assert together.indices[::step].tolist() == alone.indices.tolist()


def test_epochs_and_seeds_order_differently() -> None:
    first = locate_sequences(np.arange(1000), num_sequences=1000, seed=1).indices
    next_epoch = locate_sequences(np.arange(1000, 2000), num_sequences=1000, seed=1).indices
    other_seed = locate_sequences(np.arange(1000), num_sequences=1000, seed=2).indices
    for other in (next_epoch, other_seed):
        # A random permutation agrees in one place on average; ten would be a one-in-ten-million chance.
        assert (first == other).sum() < 10


def test_neighbours_in_the_order_are_strangers_in_the_corpus() -> None:
    indices = locate_sequences(np.arange(100_000), num_sequences=100_000, seed=3).indices
    distances = np.abs(np.diff(indices))
    # Two random points of a line of length one are a third apart on average.
    assert abs(distances.mean() / 100_000 - 1 / 3) < 0.01
    correlation = np.corrcoef(np.arange(100_000), indices)[0, 1]
    assert abs(correlation) < 0.02


def test_every_place_of_the_order_is_equally_likely_for_a_sequence() -> None:
    places = np.array([locate_sequences(np.arange(20), num_sequences=20, seed=seed).indices[0] for seed in range(4000)])
    counts = np.bincount(places, minlength=20)
    # Chi-squared with 19 degrees of freedom: above 50.8 once in 10,000.
    assert ((counts - 200) ** 2 / 200).sum() < 50.8


def test_a_far_position_takes_no_more_work_than_a_near_one(monkeypatch: pytest.MonkeyPatch) -> None:
    permute, permuted = sampler._feistel, list[int]()

    def count_and_permute(values: HashArray, *, keys: HashArray, left: int, right: int) -> HashArray:
        permuted.append(len(values))
        return permute(values, keys=keys, left=left, right=right)

    monkeypatch.setattr(sampler, "_feistel", count_and_permute)
    for first in (0, 10**13):
        permuted.clear()
        locate_sequences(np.arange(first, first + 4096), num_sequences=30_000_000, seed=1)
        assert 4096 <= sum(permuted) < 4200, "nearly every position is permuted once"


def test_an_empty_split_cannot_be_ordered() -> None:
    with pytest.raises(ValueError, match="0 sequences"):
        locate_sequences(np.arange(3), num_sequences=0, seed=0)
