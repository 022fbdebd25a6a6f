"""Several data sets in one order: exact shares, own epochs, the same for any start and any number of ranks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from bertd.data.batches.batches import TrainBatches, validation_batches
from bertd.data.batches.masking import Masker
from bertd.data.batches.mixed_sequences import MixedSequences, open_mixture
from bertd.data.batches.sampler import VALIDATION_EPOCH
from bertd.data.dataset.mixture import DataMixture
from bertd.data.dataset.shards import DataSet
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from tests.data.conftest import made_up_text

LENGTH = 32


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, vocab: Path) -> Path:
    """A second data set, much smaller, with the same vocabulary."""
    folder = tmp_path_factory.mktemp("small")
    for number in range(8):
        (folder / f"{number}.txt").write_text(made_up_text(1000 + number, sentences=12))
    out = folder.with_name("small-set")
    prepare([str(folder)], out=out, options=PrepareOptions(vocab=str(vocab), validation_share=0.3), processes=1)
    return out


def open_mixed(dataset: DataSet, small: Path, weights: tuple[int, int], *, split: str = "train") -> MixedSequences:
    mixture = DataMixture.open({str(dataset.root): weights[0], str(small): weights[1]})
    opened = open_mixture(mixture, split=split, sequence_length=LENGTH, packing="full")
    assert isinstance(opened, MixedSequences)
    return opened


def test_every_cycle_has_each_set_as_often_as_its_weight(dataset: DataSet, small: Path) -> None:
    mixed = open_mixed(dataset, small, (3, 5))
    located = mixed.locate(np.arange(8000), seed=7)
    begins = np.cumsum([0, *(member.num_sequences for member in mixed.members)])
    members = np.searchsorted(begins, located.indices, side="right") - 1
    weights = np.array(mixed.weights)
    for cycle in members.reshape(-1, 8):
        assert np.bincount(cycle, minlength=2).tolist() == weights.tolist()
    # The slots of a cycle are mixed, not one set after the other.
    assert len({tuple(cycle) for cycle in members.reshape(-1, 8).tolist()}) > 20


def test_each_set_goes_through_its_own_epochs_whole(dataset: DataSet, small: Path) -> None:
    mixed = open_mixed(dataset, small, (1, 3))
    located = mixed.locate(np.arange(4 * 400), seed=7)
    begins = np.cumsum([0, *(member.num_sequences for member in mixed.members)])
    for number, member in enumerate(mixed.members):
        of_member = (located.indices >= begins[number]) & (located.indices < begins[number + 1])
        epochs, indices = located.epochs[of_member], located.indices[of_member] - begins[number]
        # Within a cycle the slots are permuted, so its sequences may be of two epochs in any order.
        assert sorted(epochs.tolist()) == (np.arange(len(epochs)) // member.num_sequences).tolist()
        for epoch in range(len(epochs) // member.num_sequences):
            assert sorted(indices[epochs == epoch].tolist()) == list(range(member.num_sequences))
    repeats = Counter(zip(located.epochs.tolist(), located.indices.tolist(), strict=True))
    assert max(repeats.values()) == 1


def test_a_position_is_found_alone_as_in_a_row(dataset: DataSet, small: Path) -> None:
    mixed = open_mixed(dataset, small, (2, 7))
    together = mixed.locate(np.arange(500), seed=3)
    for position in (0, 1, 17, 499):
        alone = mixed.locate(np.array([position]), seed=3)
        assert (alone.epochs[0], alone.indices[0]) == (together.epochs[position], together.indices[position])
    far = mixed.locate(np.array([10**15]), seed=3)
    assert 0 <= far.indices[0] < mixed.num_sequences


def test_weights_with_a_common_divisor_and_another_order_of_the_table_change_nothing(
    dataset: DataSet, small: Path
) -> None:
    positions = np.arange(300)
    once = open_mixed(dataset, small, (3, 1)).locate(positions, seed=5)
    mixture = DataMixture.open({str(small): 20, str(dataset.root): 60})
    again = open_mixture(mixture, split="train", sequence_length=LENGTH, packing="full").locate(positions, seed=5)
    assert once.indices.tolist() == again.indices.tolist() and once.epochs.tolist() == again.epochs.tolist()


def test_rows_are_those_of_the_member(dataset: DataSet, small: Path) -> None:
    mixed = open_mixed(dataset, small, (1, 1))
    located = mixed.locate(np.arange(50), seed=5)
    rows = mixed.rows(located.indices)
    begins = np.cumsum([0, *(member.num_sequences for member in mixed.members)])
    for row, index in zip(rows, located.indices, strict=True):
        number = int(np.searchsorted(begins, index, side="right")) - 1
        assert (row == mixed.members[number].rows(np.array([index - begins[number]]))[0]).all()


def make_masker(dataset: DataSet) -> Masker:
    return Masker(
        seed=3,
        rate=0.15,
        max_predictions=5,
        replace=(0.8, 0.1, 0.1),
        vocabulary=dataset.vocabulary,
        sequence_length=LENGTH,
    )


def test_ranks_together_train_on_what_one_rank_would_and_a_resumed_run_continues(dataset: DataSet, small: Path) -> None:
    mixed = open_mixed(dataset, small, (3, 2))

    def read(count: int, *, rank: int = 0, world_size: int = 1, first: int = 0) -> list[list[int]]:
        batches = TrainBatches(
            sequences=mixed,
            masker=make_masker(dataset),
            seed=11,
            global_batch=24,
            micro_batch=4,
            rank=rank,
            world_size=world_size,
            device=torch.device("cpu"),
            first_sequence=first,
        )
        try:
            rows: list[list[int]] = torch.cat([batches.next_micro_batch().inputs_BS for _ in range(count)]).tolist()
            return rows
        finally:
            batches.close()

    alone = read(36)
    halves = [read(18, rank=rank, world_size=2) for rank in range(2)]
    together = [row for step in range(6) for half in halves for row in half[step * 12 : (step + 1) * 12]]
    assert together == alone
    assert read(12, first=96) == alone[96:]


def test_validation_has_each_set_by_its_weight_and_a_small_one_again_with_other_masks(
    dataset: DataSet, small: Path
) -> None:
    mixed = open_mixed(dataset, small, (1, 9), split="validation")
    few = min(member.num_sequences for member in mixed.members)
    total = mixed.num_sequences
    chosen = mixed.choose_fixed(total)
    begins = np.cumsum([0, *(member.num_sequences for member in mixed.members)])
    for number, weight in enumerate(mixed.weights):
        of_member = (chosen.indices >= begins[number]) & (chosen.indices < begins[number + 1])
        assert int(of_member.sum()) == max(1, total * weight // 10)
    assert total * 9 // 10 > few and set(chosen.epochs.tolist()) > {VALIDATION_EPOCH}
    assert len(set(chosen.keys.tolist())) == len(chosen.keys)
    masker = make_masker(dataset)
    shares = [
        validation_batches(
            sequences=mixed,
            masker=masker,
            micro_batch=4,
            rank=rank,
            world_size=2,
            max_sequences=total,
            device=torch.device("cpu"),
        )
        for rank in range(2)
    ]
    assert sum(len(batch.inputs_BS) for share in shares for batch in share) == len(chosen.indices)


def test_one_data_set_alone_is_read_as_it_always_was(dataset: DataSet) -> None:
    mixture = DataMixture.open({str(dataset.root): 5})
    assert mixture.fingerprint == dataset.fingerprint and mixture.weights == (1,)
    assert not isinstance(open_mixture(mixture, split="train", sequence_length=32, packing="full"), MixedSequences)
